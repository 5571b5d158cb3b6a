//! Stopping in time.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use pyo3::prelude::*;

use crate::error::Error;
use crate::stopping;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(end_after_signal, module)?)
}

/// The time runs before the interpreter is asked for again: somebody may hold it who never lets it go.
#[pyfunction]
fn end_after_signal(py: Python<'_>, told: RawFd, signals: Vec<u8>, seconds: f64) -> PyResult<bool> {
    // SAFETY: the caller hands the descriptor over.
    let told = unsafe { OwnedFd::from_raw_fd(told) };
    let limit = Duration::try_from_secs_f64(seconds)
        .map_err(|fault| Error::invalid(format!("seconds {seconds}: {fault}")))?;
    Ok(py.detach(|| {
        let is_told = stopping::hears_signal(told.into(), &signals)?;
        if is_told {
            stopping::end_process_after(limit);
        }
        Ok::<bool, Error>(is_told)
    })?)
}
