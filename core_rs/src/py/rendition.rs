//! Renditions of all codecs.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::signal::{ChannelMap, Waveform};
use super::take::{ChannelLevels, PcmFormat, Take};
use crate::error::{Error, Result};
use crate::rendition::{self, Beside, Codec, FlacCodec, Mp3Codec, Mp3Rate, WavCodec};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Rendition>()?;
    module.add_class::<RenditionSeal>()?;
    module.add("HEAD_BYTES", rendition::HEAD_BYTES)?;
    module.add("LAME_VERSION", rendition::lame_version())?;
    module.add("FLAC_VERSION", rendition::flac_version())
}

#[pyclass(module = "core_rs")]
struct Rendition(rendition::Rendition);

impl Rendition {
    fn create<C: Codec + 'static>(
        py: Python<'_>,
        path: PathBuf,
        format: PcmFormat,
        codec: impl FnOnce() -> Result<C> + Send,
    ) -> PyResult<Self> {
        Ok(Self(py.detach(|| rendition::Rendition::create(&path, format.0, Box::new(codec()?)))?))
    }
}

#[pymethods]
impl Rendition {
    #[staticmethod]
    fn wav(py: Python<'_>, path: PathBuf, format: PcmFormat) -> PyResult<Self> {
        Self::create(py, path, format, || Ok(WavCodec::new(format.0)))
    }

    #[staticmethod]
    fn flac(py: Python<'_>, path: PathBuf, format: PcmFormat) -> PyResult<Self> {
        Self::create(py, path, format, || FlacCodec::new(format.0))
    }

    #[staticmethod]
    #[pyo3(signature = (path, format, *, vbr_quality = None, bitrate_kbps = None))]
    fn mp3(
        py: Python<'_>,
        path: PathBuf,
        format: PcmFormat,
        vbr_quality: Option<u8>,
        bitrate_kbps: Option<u32>,
    ) -> PyResult<Self> {
        let rate = match (vbr_quality, bitrate_kbps) {
            (Some(quality), None) => Mp3Rate::Vbr { quality },
            (None, Some(kbps)) => Mp3Rate::Cbr { kbps },
            _ => return Err(Error::invalid("give either vbr_quality or bitrate_kbps").into()),
        };
        Self::create(py, path, format, || Mp3Codec::new(format.0, rate))
    }

    #[pyo3(signature = (take, start_frame, end_frame, channel_map, waveform = None))]
    fn append<'py>(
        &mut self,
        py: Python<'py>,
        take: &Bound<'py, Take>,
        start_frame: u64,
        end_frame: u64,
        channel_map: &Bound<'py, ChannelMap>,
        mut waveform: Option<PyRefMut<'py, Waveform>>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let (take, map) = (take.get(), &channel_map.get().0);
        let drawing = waveform.as_deref_mut().map(|waveform| &mut waveform.0);
        let rendition = &mut self.0;
        let mut beside = Beside::default();
        py.detach(|| rendition.append(&*take.lock(), start_frame, end_frame, map, drawing, &mut beside))?;
        Ok((PyBytes::new(py, &beside.bins), PyBytes::new(py, &beside.seek)))
    }

    #[getter]
    fn frames(&self) -> u64 {
        self.0.frames()
    }

    fn levels(&mut self) -> Vec<ChannelLevels> {
        self.0.levels().into_iter().map(ChannelLevels::from).collect()
    }

    fn integrated_lufs(&self) -> f64 {
        self.0.integrated_lufs()
    }

    fn finish(&mut self, py: Python<'_>) -> PyResult<RenditionSeal> {
        let rendition = &mut self.0;
        Ok(RenditionSeal(py.detach(|| rendition.finish())?))
    }
}

#[pyclass(frozen, module = "core_rs")]
struct RenditionSeal(rendition::RenditionSeal);

#[pymethods]
impl RenditionSeal {
    #[getter]
    fn head<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.head)
    }

    #[getter]
    fn head_sha256(&self) -> &str {
        &self.0.head_sha256
    }

    #[getter]
    fn body_sha256(&self) -> &str {
        &self.0.body_sha256
    }

    #[getter]
    fn body_block_sums(&self) -> &str {
        &self.0.body_block_sums
    }

    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    #[getter]
    fn frames(&self) -> u64 {
        self.0.frames
    }

    #[getter]
    fn seek<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.seek)
    }
}
