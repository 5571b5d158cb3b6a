//! Borrows the bytes of anything with the buffer protocol, whatever its item format.

use std::mem::MaybeUninit;
use std::ops::Deref;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyAny;

/// The bytes of a C-contiguous buffer; they stay valid, though not unchanged by others, until this is dropped.
pub struct Bytes {
    // Boxed, since exporters may keep the address of the view.
    view: Box<ffi::Py_buffer>,
}

// SAFETY: the exporter keeps the memory until PyBuffer_Release, from whatever thread it is read.
unsafe impl Send for Bytes {}
// SAFETY: as above; only shared reads happen.
unsafe impl Sync for Bytes {}

impl<'a, 'py> FromPyObject<'a, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(MaybeUninit::<ffi::Py_buffer>::zeroed());
        // SAFETY: the object is alive and the view is writable; PyBUF_SIMPLE asks for contiguous bytes.
        let status =
            unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), view.as_mut_ptr(), ffi::PyBUF_SIMPLE) };
        if status != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        // SAFETY: PyObject_GetBuffer filled it.
        Ok(Self { view: unsafe { view.assume_init() } })
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.view.len <= 0 || self.view.buf.is_null() {
            return &[];
        }
        // SAFETY: the exporter promised `len` bytes at `buf` until the release.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), self.view.len as usize) }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        Python::attach(|_| {
            // SAFETY: filled by PyObject_GetBuffer and released once, with the interpreter attached.
            unsafe { ffi::PyBuffer_Release(&mut *self.view) }
        });
    }
}
