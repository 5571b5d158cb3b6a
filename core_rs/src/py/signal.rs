//! What is computed from samples: maps, waveforms, levels, digests, renditions, known signals.

use pyo3::prelude::*;

pub fn register(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
