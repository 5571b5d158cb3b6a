//! Formats and takes.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::buffer::Bytes;
use super::signal::ChannelMap;
use crate::error::Error;
use crate::take::TakeOptions;
use crate::{channels, ledger, levels, pcm, take};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<PcmFormat>()?;
    module.add_class::<Gap>()?;
    module.add_class::<Segment>()?;
    module.add_class::<ClockPair>()?;
    module.add_class::<Tear>()?;
    module.add_class::<EndMark>()?;
    module.add_class::<ChannelLevels>()?;
    module.add_class::<TakeWriter>()?;
    module.add_class::<Take>()
}

#[pyclass(frozen, eq, hash, from_py_object, module = "core_rs")]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PcmFormat(pub pcm::PcmFormat);

#[pymethods]
impl PcmFormat {
    #[new]
    fn new(channels: i64, sample_rate_hz: i64, sample_type: &str) -> PyResult<Self> {
        // Out of the integer's range is out of the format's range, so any such value gives the right error.
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

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
struct Gap {
    start_frame: u64,
    frames: u64,
    cause: String,
    uncertainty_frames: u64,
}

#[pymethods]
impl Gap {
    fn __repr__(&self) -> String {
        format!(
            "Gap(start_frame={}, frames={}, cause={:?}, uncertainty_frames={})",
            self.start_frame, self.frames, self.cause, self.uncertainty_frames
        )
    }
}

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
struct Segment {
    path: String,
    start_frame: u64,
    frames: u64,
    sha256: Option<String>,
}

#[pymethods]
impl Segment {
    fn __repr__(&self) -> String {
        format!("Segment(path={:?}, start_frame={}, frames={})", self.path, self.start_frame, self.frames)
    }
}

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
struct ClockPair {
    frame: u64,
    boottime_ns: i64,
    utc_ns: i64,
}

#[pymethods]
impl ClockPair {
    fn __repr__(&self) -> String {
        format!("ClockPair(frame={}, boottime_ns={}, utc_ns={})", self.frame, self.boottime_ns, self.utc_ns)
    }
}

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
struct Tear {
    path: String,
    byte: u64,
    reason: String,
}

#[pymethods]
impl Tear {
    fn __repr__(&self) -> String {
        format!("Tear(path={:?}, byte={}, reason={:?})", self.path, self.byte, self.reason)
    }
}

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
struct EndMark {
    reason: String,
    end_frame: u64,
    gap_frames: u64,
    drained: bool,
}

#[pymethods]
impl EndMark {
    fn __repr__(&self) -> String {
        let drained = if self.drained { "True" } else { "False" };
        format!(
            "EndMark(reason={:?}, end_frame={}, gap_frames={}, drained={drained})",
            self.reason, self.end_frame, self.gap_frames
        )
    }
}

#[pyclass(frozen, eq, get_all, module = "core_rs")]
#[derive(PartialEq)]
pub struct ChannelLevels {
    peak_dbfs: f64,
    rms_dbfs: f64,
    clipped_frames: u64,
    zero_frames: u64,
    frozen_frames: u64,
}

#[pymethods]
impl ChannelLevels {
    fn __repr__(&self) -> String {
        format!(
            "ChannelLevels(peak_dbfs={}, rms_dbfs={}, clipped_frames={}, zero_frames={}, frozen_frames={})",
            self.peak_dbfs, self.rms_dbfs, self.clipped_frames, self.zero_frames, self.frozen_frames
        )
    }
}

#[pyclass(frozen, module = "core_rs")]
struct TakeWriter(ManuallyDrop<take::TakeWriter>);

impl TakeWriter {
    fn of(writer: take::TakeWriter) -> Self {
        Self(ManuallyDrop::new(writer))
    }
}

impl Drop for TakeWriter {
    /// Makes durable what came in, without the interpreter.
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not touched afterwards.
        let mut writer = Some(unsafe { ManuallyDrop::take(&mut self.0) });
        Python::try_attach(|py| py.detach(|| drop(writer.take())));
    }
}

#[pymethods]
impl TakeWriter {
    #[staticmethod]
    #[pyo3(signature = (
        folder, format, *, facts, flush_interval_ms = 500, segment_seconds = 60, ring_seconds = 10,
        waveform = true, checksums = true, spill_folders = Vec::new(), reserve_bytes = 0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn create(
        py: Python<'_>,
        folder: PathBuf,
        format: PcmFormat,
        facts: &str,
        flush_interval_ms: u32,
        segment_seconds: u32,
        ring_seconds: u32,
        waveform: bool,
        checksums: bool,
        spill_folders: Vec<PathBuf>,
        reserve_bytes: u64,
    ) -> PyResult<Self> {
        let facts = serde_json::from_str(facts)
            .map_err(|fault| Error::invalid(format!("facts are not a JSON object: {fault}")))?;
        let flush_interval = Duration::from_millis(u64::from(flush_interval_ms));
        let options = TakeOptions {
            flush_interval,
            segment_seconds,
            ring_seconds,
            waveform,
            checksums,
            spill_folders,
            reserve_bytes,
        };
        Ok(Self::of(py.detach(|| take::TakeWriter::create(&folder, format.0, facts, options))?))
    }

    #[staticmethod]
    #[pyo3(signature = (
        folder, *, cause, flush_interval_ms = 500, segment_seconds = 60, ring_seconds = 10,
        waveform = true, checksums = true, spill_folders = Vec::new(), reserve_bytes = 0,
    ))]
    #[expect(clippy::too_many_arguments, reason = "keywords in Python")]
    fn resume(
        py: Python<'_>,
        folder: PathBuf,
        cause: &str,
        flush_interval_ms: u32,
        segment_seconds: u32,
        ring_seconds: u32,
        waveform: bool,
        checksums: bool,
        spill_folders: Vec<PathBuf>,
        reserve_bytes: u64,
    ) -> PyResult<Self> {
        let flush_interval = Duration::from_millis(u64::from(flush_interval_ms));
        let options = TakeOptions {
            flush_interval,
            segment_seconds,
            ring_seconds,
            waveform,
            checksums,
            spill_folders,
            reserve_bytes,
        };
        Ok(Self::of(py.detach(|| take::TakeWriter::resume(&folder, cause, options))?))
    }

    #[getter]
    fn format(&self) -> PcmFormat {
        PcmFormat(self.0.format())
    }

    /// Keeps the interpreter: the copy is shorter than handing it over, and nobody who holds the inlet waits for it.
    fn push(&self, buffer: Bytes, boottime_ns: i64) -> PyResult<u64> {
        Ok(self.0.push(&buffer, boottime_ns)?)
    }

    #[pyo3(signature = (frames, cause, uncertainty_frames = 0))]
    fn lost(&self, frames: u64, cause: &str, uncertainty_frames: u64) -> PyResult<()> {
        Ok(self.0.lost(frames, cause, uncertainty_frames)?)
    }

    fn interrupted(&self, cause: &str) -> PyResult<()> {
        Ok(self.0.interrupted(cause)?)
    }

    #[getter]
    fn next_frame(&self) -> u64 {
        self.0.next_frame()
    }

    #[getter]
    fn durable_frame(&self) -> u64 {
        self.0.durable_frame()
    }

    #[getter]
    fn durable_bytes(&self) -> u64 {
        self.0.durable_bytes()
    }

    #[getter]
    fn growth(&self) -> &'static str {
        self.0.growth().as_str()
    }

    #[getter]
    fn standing(&self) -> &'static str {
        self.0.standing().as_str()
    }

    #[getter]
    fn fault(&self) -> Option<String> {
        self.0.fault()
    }

    fn frame_at(&self, boottime_ns: i64) -> u64 {
        self.0.frame_at(boottime_ns)
    }

    fn mark(&self, py: Python<'_>, key: &str, frame: u64) -> PyResult<u64> {
        Ok(py.detach(|| self.0.mark(key, frame))?)
    }

    fn note_clock(&self, py: Python<'_>, boottime_ns: i64, utc_ns: i64) -> PyResult<()> {
        Ok(py.detach(|| self.0.note_clock(boottime_ns, utc_ns))?)
    }

    fn release(&self, py: Python<'_>, before_frame: u64) -> PyResult<u64> {
        Ok(py.detach(|| self.0.release(before_frame))?)
    }

    #[pyo3(signature = (reason, drain_seconds = 6.0))]
    fn close(&self, py: Python<'_>, reason: &str, drain_seconds: f64) -> PyResult<EndMark> {
        let drain_limit = Duration::try_from_secs_f64(drain_seconds)
            .map_err(|fault| Error::invalid(format!("drain_seconds {drain_seconds}: {fault}")))?;
        Ok(py.detach(|| self.0.close(reason, drain_limit))?.into())
    }
}

#[pyclass(frozen, module = "core_rs")]
pub struct Take(Mutex<take::Take>);

impl Take {
    /// Only to be held without the interpreter, or for a moment.
    pub fn lock(&self) -> MutexGuard<'_, take::Take> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look<T: Send>(&self, py: Python<'_>, look: impl FnOnce(&take::Take) -> T + Send) -> T {
        py.detach(|| look(&self.lock()))
    }
}

#[pymethods]
impl Take {
    #[staticmethod]
    fn open(py: Python<'_>, folder: PathBuf) -> PyResult<Self> {
        Ok(Self(Mutex::new(py.detach(|| take::Take::open(&folder))?)))
    }

    fn refresh(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(py.detach(|| self.lock().refresh())?)
    }

    fn give_up(&self, py: Python<'_>, path: PathBuf) {
        py.detach(|| self.lock().give_up(&path));
    }

    #[getter]
    fn folder(&self, py: Python<'_>) -> String {
        self.look(py, |take| take.folder().to_string_lossy().into_owned())
    }

    #[getter]
    fn format(&self, py: Python<'_>) -> PcmFormat {
        PcmFormat(self.look(py, take::Take::format))
    }

    #[getter]
    fn facts(&self, py: Python<'_>) -> String {
        self.look(py, |take| serde_json::Value::Object(take.facts().clone()).to_string())
    }

    #[getter]
    fn held_from_frame(&self, py: Python<'_>) -> u64 {
        self.look(py, take::Take::held_from_frame)
    }

    #[getter]
    fn durable_frame(&self, py: Python<'_>) -> u64 {
        self.look(py, take::Take::durable_frame)
    }

    #[getter]
    fn segments(&self, py: Python<'_>) -> Vec<Segment> {
        self.look(py, |take| take.segments().iter().map(|segment| Segment::of(take, segment)).collect())
    }

    #[getter]
    fn gaps(&self, py: Python<'_>) -> Vec<Gap> {
        self.look(py, |take| take.gaps().iter().cloned().map(Gap::from).collect())
    }

    #[getter]
    fn marks(&self, py: Python<'_>) -> std::collections::BTreeMap<String, u64> {
        self.look(py, |take| take.marks().clone())
    }

    #[getter]
    fn clock_pairs(&self, py: Python<'_>) -> Vec<ClockPair> {
        self.look(py, |take| take.clock_pairs().iter().copied().map(ClockPair::from).collect())
    }

    #[getter]
    fn tears(&self, py: Python<'_>) -> PyResult<Vec<Tear>> {
        let (folder, tears) = self.look(py, |take| (take.folder().to_path_buf(), take.tears()));
        let path = |file: &str| folder.join(file).to_string_lossy().into_owned();
        Ok(tears?
            .into_iter()
            .map(|tear| Tear { path: path(&tear.file), byte: tear.byte, reason: tear.reason })
            .collect())
    }

    #[getter]
    fn end(&self, py: Python<'_>) -> Option<EndMark> {
        self.look(py, |take| take.end().cloned()).map(EndMark::from)
    }

    #[pyo3(signature = (start_frame, end_frame, channel_map = None, sample_type = None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        start_frame: u64,
        end_frame: u64,
        channel_map: Option<&Bound<'_, ChannelMap>>,
        sample_type: Option<&str>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let map = channel_map.map(|map| &map.get().0);
        let sample_type = super::sample_type(sample_type)?;
        let frames = py.detach(|| {
            let take = self.lock();
            let sample_type = sample_type.unwrap_or(take.format().sample_type());
            let mut out = Vec::new();
            match map {
                Some(map) => take.read_mapped(start_frame, end_frame, map, sample_type, &mut out)?,
                None => {
                    let map = channels::ChannelMap::identity(take.format().channels())?;
                    take.read_mapped(start_frame, end_frame, &map, sample_type, &mut out)?;
                }
            }
            Ok::<_, Error>(out)
        })?;
        Ok(PyBytes::new(py, &frames))
    }

    fn verify(&self, py: Python<'_>) -> Vec<String> {
        self.look(py, take::Take::verify)
    }
}

impl Segment {
    fn of(take: &take::Take, segment: &take::SegmentState) -> Self {
        Self {
            path: take.folder().join(&segment.file).to_string_lossy().into_owned(),
            start_frame: segment.start_frame,
            frames: segment.frames,
            sha256: segment.closed.as_ref().and_then(|closed| closed.sha256.clone()),
        }
    }
}

impl From<ledger::Gap> for Gap {
    fn from(gap: ledger::Gap) -> Self {
        let ledger::Gap { start_frame, frames, cause, uncertainty_frames } = gap;
        Self { start_frame, frames, cause, uncertainty_frames }
    }
}

impl From<ledger::ClockPair> for ClockPair {
    fn from(pair: ledger::ClockPair) -> Self {
        let ledger::ClockPair { frame, boottime_ns, utc_ns } = pair;
        Self { frame, boottime_ns, utc_ns }
    }
}

impl From<ledger::EndMark> for EndMark {
    fn from(end: ledger::EndMark) -> Self {
        let ledger::EndMark { reason, end_frame, gap_frames, drained } = end;
        Self { reason, end_frame, gap_frames, drained }
    }
}

impl From<levels::ChannelLevels> for ChannelLevels {
    fn from(levels: levels::ChannelLevels) -> Self {
        let levels::ChannelLevels { peak_dbfs, rms_dbfs, clipped_frames, zero_frames, frozen_frames } =
            levels;
        Self { peak_dbfs, rms_dbfs, clipped_frames, zero_frames, frozen_frames }
    }
}
