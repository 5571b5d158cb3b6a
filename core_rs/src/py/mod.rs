//! The only place that knows Python: one file for each group of classes, here what they share.
//!
//! Every fault is translated once, by `From<Error> for PyErr`; work on disk runs detached from the interpreter.

mod buffer;
mod rendition;
mod room;
mod signal;
mod stopping;
mod take;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError};
use pyo3::prelude::*;

use crate::error::Error;
use crate::pcm::SampleType;

create_exception!(core_rs, AudioError, PyException);
create_exception!(core_rs, UnsupportedFormatError, AudioError);
create_exception!(core_rs, CorruptSegmentError, AudioError);
create_exception!(core_rs, SegmentMismatchError, AudioError);
create_exception!(core_rs, ChannelMapError, AudioError);
create_exception!(core_rs, TakeClosedError, AudioError);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            // Made from the errno where there is one, so that Python picks the subclass; the text still names the path.
            Error::Io { source, .. } => match source.raw_os_error() {
                Some(errno) => PyOSError::new_err((errno, text)),
                None => PyOSError::new_err(text),
            },
            Error::NoRoom { .. } => PyOSError::new_err((libc::ENOSPC, text)),
            Error::WritingFailed { .. } => PyOSError::new_err(text),
            Error::UnsupportedFormat { .. } => UnsupportedFormatError::new_err(text),
            Error::CorruptSegment { .. } => CorruptSegmentError::new_err(text),
            Error::SegmentMismatch { .. } => SegmentMismatchError::new_err(text),
            Error::ChannelMap { .. } => ChannelMapError::new_err(text),
            Error::TakeClosed { .. } => TakeClosedError::new_err(text),
            Error::Encoder { .. } | Error::InvalidArgument { .. } => AudioError::new_err(text),
        }
    }
}

fn sample_type(name: Option<&str>) -> PyResult<Option<SampleType>> {
    Ok(name.map(str::parse).transpose()?)
}

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("AudioError", py.get_type::<AudioError>())?;
    module.add("UnsupportedFormatError", py.get_type::<UnsupportedFormatError>())?;
    module.add("CorruptSegmentError", py.get_type::<CorruptSegmentError>())?;
    module.add("SegmentMismatchError", py.get_type::<SegmentMismatchError>())?;
    module.add("ChannelMapError", py.get_type::<ChannelMapError>())?;
    module.add("TakeClosedError", py.get_type::<TakeClosedError>())?;
    take::register(module)?;
    room::register(module)?;
    signal::register(module)?;
    stopping::register(module)?;
    rendition::register(module)
}
