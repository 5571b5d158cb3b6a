//! SHA-256, by the processor's own instructions where it has them, and the one pass that reads a file for everything.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use sha2::Digest as _;

use crate::error::{Error, Result};
use crate::loudness::Loudness;
use crate::pcm::PcmFormat;
use crate::wav;
use crate::waveform::{Bits, Waveform};

/// SHA-256, incrementally.
#[derive(Clone, Default)]
pub struct Digest(sha2::Sha256);

impl Digest {
    /// Goes on with these bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest so far, in hexadecimal; more may follow.
    pub fn hex(&self) -> String {
        self.0.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Bytes of one block of [`BlockSums`].
pub const SUM_BLOCK_BYTES: usize = 1 << 20;

/// CRC-32 of block after block, so that a copy that is not what was written says where.
#[derive(Default)]
pub struct BlockSums {
    block: crc32fast::Hasher,
    block_bytes: usize,
    sums: Vec<u32>,
}

impl BlockSums {
    /// Goes on with these bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let part;
            (part, bytes) = bytes.split_at(bytes.len().min(SUM_BLOCK_BYTES - self.block_bytes));
            self.block.update(part);
            self.block_bytes += part.len();
            if self.block_bytes == SUM_BLOCK_BYTES {
                self.sums.push(std::mem::take(&mut self.block).finalize());
                self.block_bytes = 0;
            }
        }
    }

    /// Eight hexadecimal digits a block; the last one may be shorter.
    pub fn hex(&self) -> String {
        let last = (self.block_bytes > 0).then(|| self.block.clone().finalize());
        self.sums.iter().copied().chain(last).map(|sum| format!("{sum:08x}")).collect()
    }
}

/// SHA-256 of the bytes of a file from `start_byte` up to `end_byte`, or up to its end.
///
/// # Errors
/// [`Error::Io`]; [`Error::InvalidArgument`] when the file ends before `end_byte`.
pub fn sha256_file(path: &Path, start_byte: u64, end_byte: Option<u64>) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    file.seek(SeekFrom::Start(start_byte)).map_err(Error::io("read", path))?;
    let limit = end_byte.map_or(u64::MAX, |end| end.saturating_sub(start_byte));
    let mut digest = Digest::default();
    let read = read_blocks(&mut file.take(limit), path, |block| digest.update(block))?;
    if end_byte.is_some() && read < limit {
        let end = start_byte + read;
        return Err(Error::invalid(format!(
            "{} ends at byte {end}, before byte {}",
            path.display(),
            start_byte + limit
        )));
    }
    Ok(digest.hex())
}

/// What one reading of a WAV file found.
#[derive(Clone, Debug)]
pub struct FileScan {
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// Whole frames of its samples.
    pub frames: u64,
    /// A whole `.dat` file.
    pub waveform: Vec<u8>,
    /// R 128 integrated loudness; negative infinity below the gate.
    pub integrated_lufs: Option<f64>,
}

/// Digest, waveform and, if asked, loudness of a WAV or RF64 file in one reading.
///
/// # Errors
/// As [`wav::parse`]; [`Error::InvalidArgument`] for bins of no frames.
pub fn scan_wav(path: &Path, frames_per_bin: u32, bits: Bits, with_loudness: bool) -> Result<FileScan> {
    let mut file = File::open(path).map_err(Error::io("open", path))?;
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    let layout = wav::parse(&mut file, bytes, path)?;
    file.rewind().map_err(Error::io("read", path))?;

    let mut waveform = Waveform::new(layout.format, frames_per_bin, bits)?;
    let mut bins = waveform.header().to_vec();
    let mut loudness = with_loudness.then(|| Loudness::new(layout.format));
    let mut digest = Digest::default();
    let mut frames = Frames::new(layout.format);
    let data_end = layout.data_offset + layout.data_bytes;
    let mut position = 0;
    let read = read_blocks(&mut file, path, |block| {
        digest.update(block);
        let here = |byte: u64| byte.saturating_sub(position).min(block.len() as u64) as usize;
        let samples = &block[here(layout.data_offset)..here(data_end)];
        position += block.len() as u64;
        frames.split(samples, |pcm| {
            waveform.push(pcm, &mut bins);
            if let Some(loudness) = &mut loudness {
                loudness.push(pcm);
            }
        });
    })?;
    waveform.finish(&mut bins);
    bins[..waveform.header().len()].copy_from_slice(&waveform.header());
    Ok(FileScan {
        sha256: digest.hex(),
        bytes: read,
        frames: layout.frames(),
        waveform: bins,
        integrated_lufs: loudness.map(|loudness| loudness.integrated_lufs()),
    })
}

/// Large enough that calls cost nothing, small enough to stay in the second cache while all readers look at it.
pub const BLOCK_BYTES: usize = 256 * 1024;

fn read_blocks(reader: &mut impl Read, path: &Path, mut each: impl FnMut(&[u8])) -> Result<u64> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut total = 0;
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(total),
            Ok(read) => {
                each(&block[..read]);
                total += read as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
}

/// Joins frames that lie across two blocks.
struct Frames {
    frame_bytes: usize,
    torn: Vec<u8>,
}

impl Frames {
    fn new(format: PcmFormat) -> Self {
        Self { frame_bytes: format.frame_bytes(), torn: Vec::new() }
    }

    fn split(&mut self, mut samples: &[u8], mut each: impl FnMut(&[u8])) {
        if !self.torn.is_empty() {
            let missing = (self.frame_bytes - self.torn.len()).min(samples.len());
            self.torn.extend_from_slice(&samples[..missing]);
            samples = &samples[missing..];
            if self.torn.len() < self.frame_bytes {
                return;
            }
            each(&self.torn);
            self.torn.clear();
        }
        let whole = samples.len() - samples.len() % self.frame_bytes;
        self.torn.extend_from_slice(&samples[whole..]);
        each(&samples[..whole]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sums_are_those_of_the_blocks_however_the_bytes_came() {
        let bytes: Vec<u8> = (0..SUM_BLOCK_BYTES * 2 + 5).map(|at| (at * 31 / 7) as u8).collect();
        let wanted: String =
            bytes.chunks(SUM_BLOCK_BYTES).map(|block| format!("{:08x}", crc32fast::hash(block))).collect();
        for step in [1 << 12, 100_003, bytes.len()] {
            let mut sums = BlockSums::default();
            bytes.chunks(step).for_each(|part| sums.update(part));
            assert_eq!(sums.hex(), wanted);
        }
        assert_eq!(BlockSums::default().hex(), "");
    }
}
