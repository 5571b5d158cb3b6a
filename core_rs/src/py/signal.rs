//! What is computed from samples: maps, waveforms, levels, digests, known signals.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::Bytes;
use super::take::{ChannelLevels, PcmFormat};
use crate::waveform::Bits;
use crate::{channels, digest, growth, meter, synthetic, waveform};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<GrowthGuard>()?;
    module.add_class::<ChannelMap>()?;
    module.add_class::<LevelMeter>()?;
    module.add_class::<SignalWindow>()?;
    module.add_class::<Waveform>()?;
    module.add_class::<Digest>()?;
    module.add_class::<FileScan>()?;
    module.add_function(wrap_pyfunction!(coarser_waveform_py, module)?)?;
    module.add_function(wrap_pyfunction!(scan_wav_py, module)?)?;
    module.add_function(wrap_pyfunction!(sha256_file_py, module)?)?;
    module.add_function(wrap_pyfunction!(counter_pcm_py, module)?)?;
    module.add_function(wrap_pyfunction!(keyed_pcm_py, module)?)?;
    module.add_function(wrap_pyfunction!(tone_pcm_py, module)?)
}

#[pyclass(module = "core_rs")]
struct GrowthGuard(growth::GrowthGuard);

#[pymethods]
impl GrowthGuard {
    #[new]
    #[pyo3(signature = (quiet_after_seconds = 1.0, stalled_after_seconds = 3.0))]
    fn new(quiet_after_seconds: f64, stalled_after_seconds: f64) -> Self {
        Self(growth::GrowthGuard::new(quiet_after_seconds, stalled_after_seconds))
    }

    fn observe(&mut self, now_seconds: f64, bytes: u64) -> &'static str {
        self.0.observe(now_seconds, bytes).as_str()
    }
}

#[pyclass(frozen, eq, hash, module = "core_rs")]
#[derive(PartialEq, Eq, Hash)]
pub struct ChannelMap(pub channels::ChannelMap);

#[pymethods]
impl ChannelMap {
    #[new]
    fn new(rows: Vec<Vec<f64>>) -> PyResult<Self> {
        Ok(Self(channels::ChannelMap::new(rows)?))
    }

    #[staticmethod]
    fn identity(channels: usize) -> PyResult<Self> {
        Ok(Self(channels::ChannelMap::identity(channels)?))
    }

    #[staticmethod]
    #[pyo3(signature = (channels, *, inputs))]
    fn select(channels: Vec<usize>, inputs: usize) -> PyResult<Self> {
        Ok(Self(channels::ChannelMap::select(&channels, inputs)?))
    }

    #[staticmethod]
    #[pyo3(signature = (*, inputs))]
    fn mono(inputs: usize) -> PyResult<Self> {
        Ok(Self(channels::ChannelMap::mono(inputs)?))
    }

    #[staticmethod]
    #[pyo3(signature = (left, right, *, inputs))]
    fn stereo(left: usize, right: usize, inputs: usize) -> PyResult<Self> {
        Self::select(vec![left, right], inputs)
    }

    #[staticmethod]
    #[pyo3(signature = (channel = 0, *, inputs = 1))]
    fn mono_to_stereo(channel: usize, inputs: usize) -> PyResult<Self> {
        Self::select(vec![channel, channel], inputs)
    }

    #[getter]
    fn inputs(&self) -> usize {
        self.0.inputs()
    }

    #[getter]
    fn outputs(&self) -> usize {
        self.0.outputs()
    }

    #[getter]
    fn rows(&self) -> Vec<Vec<f64>> {
        self.0.rows().to_vec()
    }

    #[pyo3(signature = (pcm, sample_type, output_type = None))]
    fn apply<'py>(
        &self,
        py: Python<'py>,
        pcm: Bytes,
        sample_type: &str,
        output_type: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let input = sample_type.parse()?;
        let output = output_type.unwrap_or(sample_type).parse()?;
        let mut out = Vec::new();
        py.detach(|| self.0.apply(&pcm, input, output, &mut out))?;
        Ok(PyBytes::new(py, &out))
    }

    fn __repr__(&self) -> String {
        format!("ChannelMap({:?})", self.0.rows())
    }
}

#[pyclass(frozen, get_all, module = "core_rs")]
struct SignalWindow {
    boottime_ns: i64,
    frame: Option<u64>,
    frames: u64,
    repeated_frames: u64,
    channels: Vec<Py<ChannelLevels>>,
}

#[pyclass(frozen, module = "core_rs")]
struct LevelMeter(meter::LevelMeter);

#[pymethods]
impl LevelMeter {
    #[new]
    fn new(format: PcmFormat) -> Self {
        Self(meter::LevelMeter::new(format.0))
    }

    /// Keeps the interpreter, as the push into a take does: it is shorter than handing it over.
    #[pyo3(signature = (buffer, boottime_ns = 0, frame = None))]
    fn push(&self, buffer: Bytes, boottime_ns: i64, frame: Option<u64>) {
        self.0.push(&buffer, boottime_ns, frame);
    }

    fn levels(&self) -> Vec<ChannelLevels> {
        self.0.levels().into_iter().map(ChannelLevels::from).collect()
    }

    fn windows(&self, py: Python<'_>) -> PyResult<Vec<SignalWindow>> {
        self.0.windows().into_iter().map(|window| SignalWindow::of(py, window)).collect()
    }
}

impl SignalWindow {
    fn of(py: Python<'_>, window: meter::Window) -> PyResult<Self> {
        let channels = window.channels.into_iter().map(|levels| Py::new(py, ChannelLevels::from(levels)));
        Ok(Self {
            boottime_ns: window.boottime_ns,
            frame: window.frame,
            frames: window.frames,
            repeated_frames: window.repeated_frames,
            channels: channels.collect::<PyResult<_>>()?,
        })
    }
}

#[pyclass(module = "core_rs")]
pub struct Waveform(pub waveform::Waveform);

#[pymethods]
impl Waveform {
    #[new]
    #[pyo3(signature = (format, frames_per_bin = 512, bits = 8))]
    fn new(format: PcmFormat, frames_per_bin: u32, bits: u32) -> PyResult<Self> {
        Ok(Self(waveform::Waveform::new(format.0, frames_per_bin, Bits::new(bits)?)?))
    }

    fn push<'py>(&mut self, py: Python<'py>, pcm: Bytes) -> PyResult<Bound<'py, PyBytes>> {
        self.0.format().frames_in(&pcm)?;
        let mut bins = Vec::new();
        let waveform = &mut self.0;
        py.detach(|| waveform.push(&pcm, &mut bins));
        Ok(PyBytes::new(py, &bins))
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let mut bins = Vec::new();
        self.0.finish(&mut bins);
        PyBytes::new(py, &bins)
    }

    #[getter]
    fn bins(&self) -> u64 {
        self.0.bins()
    }

    fn header<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.header())
    }
}

#[pyfunction(name = "coarser_waveform", signature = (bins, channels, bits, factor = 4))]
fn coarser_waveform_py(
    py: Python<'_>,
    bins: Bytes,
    channels: usize,
    bits: u32,
    factor: usize,
) -> PyResult<Bound<'_, PyBytes>> {
    let bits = Bits::new(bits)?;
    let coarser = py.detach(|| waveform::coarser(&bins, channels, bits, factor))?;
    Ok(PyBytes::new(py, &coarser))
}

#[pyclass(module = "core_rs")]
#[derive(Default)]
struct Digest(digest::Digest);

#[pymethods]
impl Digest {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn update(&mut self, py: Python<'_>, data: Bytes) {
        let digest = &mut self.0;
        py.detach(|| digest.update(&data));
    }

    fn hexdigest(&self) -> String {
        self.0.hex()
    }
}

#[pyclass(frozen, module = "core_rs")]
struct FileScan(digest::FileScan);

#[pymethods]
impl FileScan {
    #[getter]
    fn sha256(&self) -> &str {
        &self.0.sha256
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
    fn waveform<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.waveform)
    }

    #[getter]
    fn integrated_lufs(&self) -> Option<f64> {
        self.0.integrated_lufs
    }
}

#[pyfunction(name = "scan_wav", signature = (path, *, frames_per_bin = 512, bits = 8, loudness = false))]
fn scan_wav_py(
    py: Python<'_>,
    path: PathBuf,
    frames_per_bin: u32,
    bits: u32,
    loudness: bool,
) -> PyResult<FileScan> {
    let bits = Bits::new(bits)?;
    Ok(FileScan(py.detach(|| digest::scan_wav(&path, frames_per_bin, bits, loudness))?))
}

#[pyfunction(name = "sha256_file", signature = (path, start_byte = 0, end_byte = None))]
fn sha256_file_py(py: Python<'_>, path: PathBuf, start_byte: u64, end_byte: Option<u64>) -> PyResult<String> {
    Ok(py.detach(|| digest::sha256_file(&path, start_byte, end_byte))?)
}

#[pyfunction(name = "counter_pcm")]
fn counter_pcm_py(py: Python<'_>, start_frame: u64, frames: usize) -> PyResult<Bound<'_, PyBytes>> {
    let pcm = py.detach(|| synthetic::counter_pcm(start_frame, frames))?;
    Ok(PyBytes::new(py, &pcm))
}

#[pyfunction(name = "keyed_pcm")]
fn keyed_pcm_py(
    py: Python<'_>,
    start_frame: u64,
    frames: usize,
    channels: usize,
    key: u64,
) -> PyResult<Bound<'_, PyBytes>> {
    let pcm = py.detach(|| synthetic::keyed_pcm(start_frame, frames, channels, key))?;
    Ok(PyBytes::new(py, &pcm))
}

#[pyfunction(name = "tone_pcm")]
fn tone_pcm_py(
    py: Python<'_>,
    start_frame: u64,
    frames: usize,
    format: PcmFormat,
    hz: f64,
    dbfs_peak: f64,
) -> PyResult<Bound<'_, PyBytes>> {
    let pcm = py.detach(|| synthetic::tone_pcm(start_frame, frames, format.0, hz, dbfs_peak))?;
    Ok(PyBytes::new(py, &pcm))
}
