//! One segment: a WAV or RF64 file that is valid after every flush and after any crash.
//!
//! On disk after a crash: every flush that has a record in the sums file, whole; perhaps bytes of the flush that was under way.
//! The head speaks of the last finished or the interrupted flush. A fault of writing or syncing ends the segment: the kernel may
//! have dropped the pages that it could not write, so the same file is never synced again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, sha256_file};
use crate::error::{Error, Result};
use crate::pcm::PcmFormat;
use crate::sums::{FlushRecord, SumsWriter, sums_path};
use crate::wav::{self, DataLength};

/// Where the samples of every segment begin.
pub const DATA_OFFSET: u64 = wav::SMALLEST_DATA_OFFSET;

/// The name of a segment in its folder.
pub fn segment_name(index: u64, start_frame: u64) -> String {
    format!("{index:06}-{start_frame:014}.wav")
}

/// The index in a name that [`segment_name`] made.
pub fn segment_index(name: &str) -> Option<u64> {
    let (index, start_frame) = name.strip_suffix(".wav")?.split_once('-')?;
    let (index, start_frame) = (index.parse().ok()?, start_frame.parse().ok()?);
    (segment_name(index, start_frame) == name).then_some(index)
}

/// What a segment was when it was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedSegment {
    /// Frames in it.
    pub frames: u64,
    /// Length of the file.
    pub bytes: u64,
    /// Of the whole file, if sums are on.
    pub sha256: Option<String>,
}

/// A segment that is being written.
pub struct OpenSegment {
    path: PathBuf,
    file: File,
    sums: SumsWriter,
    format: PcmFormat,
    full_bytes: u64,
    written_bytes: u64,
    flushed_bytes: u64,
    checks: Option<Checks>,
}

/// Sums that run along.
struct Checks {
    block: crc32fast::Hasher,
    /// Of the file as it will be if it gets full; its head, which comes first, is known only then.
    full_file: Digest,
}

impl OpenSegment {
    /// Creates the file with its head, and its sums file. Both names are durable on return.
    ///
    /// # Errors
    /// `Io`, also when one exists already.
    pub fn create(path: PathBuf, format: PcmFormat, full_frames: u64, checksums: bool) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let sums = SumsWriter::create(&path)?;
        let full_bytes = full_frames * format.frame_bytes() as u64;
        let checks = checksums.then(|| {
            let mut full_file = Digest::default();
            full_file.update(&wav::head(&format, DataLength::Bytes(full_bytes), DATA_OFFSET));
            Checks { block: crc32fast::Hasher::new(), full_file }
        });
        let segment =
            Self { path, file, sums, format, full_bytes, written_bytes: 0, flushed_bytes: 0, checks };
        segment.write_head()?;
        if let Some(folder) = segment.path.parent() {
            sync_folder(folder)?;
        }
        Ok(segment)
    }

    /// Bytes of samples that still fit before it is full.
    pub fn room_bytes(&self) -> u64 {
        self.full_bytes.saturating_sub(self.written_bytes)
    }

    /// Frames that are durable.
    pub fn flushed_frames(&self) -> u64 {
        self.flushed_bytes / self.format.frame_bytes() as u64
    }

    /// Appends samples, of whole frames; durable after the next [`flush`](Self::flush).
    ///
    /// # Errors
    /// `Io`: drop the segment then; what was flushed stays good.
    pub fn append(&mut self, pcm: &[u8]) -> Result<()> {
        self.file
            .write_all_at(pcm, DATA_OFFSET + self.written_bytes)
            .map_err(Error::io("write", &self.path))?;
        self.written_bytes += pcm.len() as u64;
        if let Some(checks) = &mut self.checks {
            checks.block.update(pcm);
            checks.full_file.update(pcm);
        }
        Ok(())
    }

    /// Makes everything appended durable, then says so in the sums. With nothing new it writes nothing.
    ///
    /// `boottime_ns` belongs to the frame behind the last one.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn flush(&mut self, boottime_ns: i64) -> Result<()> {
        if self.flushed_bytes == self.written_bytes {
            return Ok(());
        }
        self.write_head()?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        let block_crc = self.checks.as_mut().map(|checks| std::mem::take(&mut checks.block).finalize());
        self.sums.append(&FlushRecord { end_byte: self.written_bytes, block_crc, boottime_ns })?;
        self.flushed_bytes = self.written_bytes;
        Ok(())
    }

    /// Ends a flushed segment. The sums file stays until [`forget_sums`], after the ledger has what is returned.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn close(&mut self) -> Result<ClosedSegment> {
        let bytes = finish_file(&self.file, &self.path, &self.format, self.flushed_bytes)?;
        let is_full = self.flushed_bytes == self.full_bytes;
        let sha256 = match self.checks.take() {
            Some(mut checks) if is_full => {
                checks.full_file.update(padding(self.flushed_bytes));
                Some(checks.full_file.hex())
            }
            Some(_) => Some(sha256_file(&self.path, 0, None)?),
            None => None,
        };
        Ok(ClosedSegment { frames: self.flushed_bytes / self.format.frame_bytes() as u64, bytes, sha256 })
    }

    fn write_head(&self) -> Result<()> {
        write_head(&self.file, &self.path, &self.format, self.written_bytes)
    }
}

/// Ends a segment that a crash left open at this many bytes of samples; the tail behind them was moved aside.
///
/// # Errors
/// `Io`.
pub fn close_recovered(
    path: &Path,
    format: &PcmFormat,
    data_bytes: u64,
    checksums: bool,
) -> Result<ClosedSegment> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    file.set_len(DATA_OFFSET + data_bytes).map_err(Error::io("shorten", path))?;
    write_head(&file, path, format, data_bytes)?;
    let bytes = finish_file(&file, path, format, data_bytes)?;
    file.sync_all().map_err(Error::io("sync", path))?;
    let sha256 = if checksums { Some(sha256_file(path, 0, None)?) } else { None };
    Ok(ClosedSegment { frames: data_bytes / format.frame_bytes() as u64, bytes, sha256 })
}

/// Removes the sums of a segment whose closing is durable in the ledger.
///
/// # Errors
/// `Io`.
pub fn forget_sums(segment: &Path) -> Result<()> {
    let path = sums_path(segment);
    match std::fs::remove_file(&path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(fault)),
        _ => Ok(()),
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// `Io`.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}

fn write_head(file: &File, path: &Path, format: &PcmFormat, data_bytes: u64) -> Result<()> {
    let head = wav::head(format, DataLength::Bytes(data_bytes), DATA_OFFSET);
    file.write_all_at(&head, 0).map_err(Error::io("write", path))
}

/// RIFF wants an even number of bytes. Returns the length of the file.
fn finish_file(file: &File, path: &Path, format: &PcmFormat, data_bytes: u64) -> Result<u64> {
    debug_assert!(data_bytes.is_multiple_of(format.frame_bytes() as u64));
    let end = DATA_OFFSET + data_bytes;
    let padding = padding(data_bytes);
    if !padding.is_empty() {
        file.write_all_at(padding, end).map_err(Error::io("write", path))?;
        file.sync_data().map_err(Error::io("sync", path))?;
    }
    Ok(end + padding.len() as u64)
}

/// What stands behind so many bytes of samples in a closed file.
pub fn padding(data_bytes: u64) -> &'static [u8] {
    if data_bytes.is_multiple_of(2) { &[] } else { &[0] }
}
