//! Room on disks.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::room;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<DiskRoom>()?;
    module.add_function(wrap_pyfunction!(disk_room, module)?)?;
    module.add_function(wrap_pyfunction!(keep_reserve, module)?)?;
    module.add_function(wrap_pyfunction!(give_back_reserve, module)?)?;
    Ok(())
}

#[pyclass(frozen, get_all, module = "core_rs")]
struct DiskRoom {
    free_bytes: u64,
    total_bytes: u64,
    reserve_bytes: u64,
    reserved_bytes: u64,
    usable_bytes: u64,
}

#[pymethods]
impl DiskRoom {
    fn __repr__(&self) -> String {
        format!(
            "DiskRoom(free_bytes={}, total_bytes={}, reserve_bytes={}, reserved_bytes={}, usable_bytes={})",
            self.free_bytes, self.total_bytes, self.reserve_bytes, self.reserved_bytes, self.usable_bytes
        )
    }
}

#[pyfunction]
fn disk_room(py: Python<'_>, folder: PathBuf, reserve_bytes: u64) -> PyResult<DiskRoom> {
    let room = py.detach(|| room::room(&folder, reserve_bytes))?;
    let usable_bytes = room.usable_bytes();
    let room::Room { free_bytes, total_bytes, reserve_bytes, reserved_bytes } = room;
    Ok(DiskRoom { free_bytes, total_bytes, reserve_bytes, reserved_bytes, usable_bytes })
}

#[pyfunction]
fn keep_reserve(py: Python<'_>, folder: PathBuf, reserve_bytes: u64) -> PyResult<bool> {
    Ok(py.detach(|| room::keep_reserve(&folder, reserve_bytes))?)
}

#[pyfunction]
fn give_back_reserve(py: Python<'_>, folder: PathBuf) -> PyResult<bool> {
    Ok(py.detach(|| room::give_back_reserve(&folder))?)
}
