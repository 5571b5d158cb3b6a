//! Formats and takes.

use pyo3::prelude::*;

use crate::pcm;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PcmFormat>()
}

#[pyclass(frozen, eq, hash, from_py_object, module = "core_rs")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PcmFormat(pub pcm::PcmFormat);

#[pymethods]
impl PcmFormat {
    #[new]
    fn new(channels: i64, sample_rate_hz: i64, sample_type: &str) -> PyResult<Self> {
        // Out of the integer's range is out of the format's range, so the nearest value gives the right error.
        let channels = u16::try_from(channels).unwrap_or(0);
        let sample_rate_hz = u32::try_from(sample_rate_hz).unwrap_or(0);
        Ok(Self(pcm::PcmFormat::new(channels, sample_rate_hz, sample_type.parse()?)?))
    }

    #[getter]
    fn channels(&self) -> usize {
        self.0.channels()
    }

    #[getter]
    fn sample_rate_hz(&self) -> u32 {
        self.0.sample_rate_hz()
    }

    #[getter]
    fn sample_type(&self) -> &'static str {
        self.0.sample_type().name()
    }

    #[getter]
    fn frame_bytes(&self) -> usize {
        self.0.frame_bytes()
    }

    fn __repr__(&self) -> String {
        format!("PcmFormat({}, {}, {:?})", self.channels(), self.sample_rate_hz(), self.sample_type())
    }
}
