//! The one reader and writer of WAV and RF64 heads (EBU Tech 3306).
//!
//! A head written here keeps a `JUNK` chunk where `ds64` goes once the file outgrows 32-bit sizes, and ends exactly
//! where the samples are to begin, so that it can be written again in place at any time.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};
use crate::pcm::{PcmFormat, SampleType};

/// The smallest place at which samples can begin after a head of any format.
pub const SMALLEST_DATA_OFFSET: u64 = 112;

/// How many bytes of samples a head claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataLength {
    /// Exactly this many bytes.
    Bytes(u64),
    /// Not known yet: readers take what the file holds, as from a streaming writer.
    Unknown,
}

/// Where the samples of a file lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WavLayout {
    /// What one frame looks like.
    pub format: PcmFormat,
    /// The byte of the file at which the first sample begins.
    pub data_offset: u64,
    /// Bytes of whole frames from there on, never more than the file holds.
    pub data_bytes: u64,
}

impl WavLayout {
    /// Whole frames of the file.
    pub fn frames(&self) -> u64 {
        self.data_bytes / self.format.frame_bytes() as u64
    }
}

/// The head of a file whose samples begin at `data_offset`; it is exactly that long.
///
/// Up to two channels get the plain format chunk that every reader knows, more of them the extensible one without
/// speaker positions. A file beyond 32-bit sizes becomes RF64.
///
/// # Panics
/// If `data_offset` is odd or below [`SMALLEST_DATA_OFFSET`].
pub fn head(format: &PcmFormat, length: DataLength, data_offset: u64) -> Vec<u8> {
    assert!(data_offset >= SMALLEST_DATA_OFFSET && data_offset.is_multiple_of(2));
    let sizes = Sizes::of(format, length, data_offset);
    let mut head = Vec::with_capacity(data_offset as usize);
    head.extend_from_slice(if sizes.ds64.is_some() { b"RF64" } else { b"RIFF" });
    head.extend_from_slice(&sizes.riff.to_le_bytes());
    head.extend_from_slice(b"WAVE");
    match sizes.ds64 {
        Some(ds64) => chunk(&mut head, b"ds64", &ds64),
        None => chunk(&mut head, b"JUNK", &[0; DS64_BYTES]),
    }
    chunk(&mut head, b"fmt ", &format_chunk(format));
    let padding = data_offset as usize - head.len() - 2 * CHUNK_HEAD_BYTES;
    chunk(&mut head, b"JUNK", &vec![0; padding]);
    head.extend_from_slice(b"data");
    head.extend_from_slice(&sizes.data.to_le_bytes());
    head
}

/// Finds the samples of a WAV, RF64 or BW64 file.
///
/// A claimed length beyond the end of the file, or an unknown one, means what is there. `path` only names the file in errors.
///
/// # Errors
/// [`Error::CorruptSegment`] when this is no such file, [`Error::UnsupportedFormat`] when its samples are of another kind,
/// [`Error::Io`] when it cannot be read.
pub fn parse<R: Read + Seek>(reader: &mut R, file_bytes: u64, path: &Path) -> Result<WavLayout> {
    let mut walk = Walk { reader, path, position: 0, file_bytes };
    let riff = walk.take::<12>()?;
    let long = matches!(&riff[..4], b"RF64" | b"BW64");
    if !(long || &riff[..4] == b"RIFF") || &riff[8..] != b"WAVE" {
        return Err(walk.corrupt("not a WAV or RF64 file"));
    }
    let mut format = None;
    let mut long_data_bytes = None;
    for _ in 0..MOST_CHUNKS {
        let chunk = walk.take::<CHUNK_HEAD_BYTES>()?;
        let claimed = u32_at(&chunk, 4);
        match &chunk[..4] {
            b"ds64" if long => long_data_bytes = Some(u64_at(&walk.take_chunk::<DS64_BYTES>(claimed)?, 8)),
            b"fmt " => format = Some(walk.take_format(claimed)?),
            b"data" => {
                let format = format.ok_or_else(|| walk.corrupt("samples before their format"))?;
                let held = file_bytes.saturating_sub(walk.position);
                let claimed = match (claimed, long_data_bytes) {
                    (UNKNOWN, Some(bytes)) => bytes,
                    (UNKNOWN, None) => held,
                    (bytes, _) => u64::from(bytes),
                };
                let bytes = claimed.min(held);
                let data_bytes = bytes - bytes % format.frame_bytes() as u64;
                return Ok(WavLayout { format, data_offset: walk.position, data_bytes });
            }
            _ => walk.skip(u64::from(claimed) + u64::from(claimed % 2))?,
        }
    }
    Err(walk.corrupt("no samples among the first chunks"))
}

const CHUNK_HEAD_BYTES: usize = 8;
const DS64_BYTES: usize = 28;
const MOST_CHUNKS: usize = 64;
/// What 32-bit size fields say when the length stands elsewhere or nowhere.
const UNKNOWN: u32 = u32::MAX;
const TAG_PCM: u16 = 1;
const TAG_FLOAT: u16 = 3;
const TAG_EXTENSIBLE: u16 = 0xFFFE;
/// The last 14 bytes of every sub-format GUID; the first two are the plain tag.
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

struct Sizes {
    riff: u32,
    data: u32,
    ds64: Option<[u8; DS64_BYTES]>,
}

impl Sizes {
    fn of(format: &PcmFormat, length: DataLength, data_offset: u64) -> Self {
        let DataLength::Bytes(data_bytes) = length else {
            return Self { riff: UNKNOWN, data: UNKNOWN, ds64: None };
        };
        let riff_bytes = data_offset - CHUNK_HEAD_BYTES as u64 + data_bytes + data_bytes % 2;
        match u32::try_from(riff_bytes) {
            Ok(riff) if riff != UNKNOWN => Self { riff, data: data_bytes as u32, ds64: None },
            _ => {
                let mut ds64 = [0; DS64_BYTES];
                ds64[..8].copy_from_slice(&riff_bytes.to_le_bytes());
                ds64[8..16].copy_from_slice(&data_bytes.to_le_bytes());
                let frames = data_bytes / format.frame_bytes() as u64;
                ds64[16..24].copy_from_slice(&frames.to_le_bytes());
                Self { riff: UNKNOWN, data: UNKNOWN, ds64: Some(ds64) }
            }
        }
    }
}

fn chunk(out: &mut Vec<u8>, id: &[u8; 4], body: &[u8]) {
    out.extend_from_slice(id);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
}

fn format_chunk(format: &PcmFormat) -> Vec<u8> {
    let sample_bytes = format.sample_type().bytes() as u16;
    let tag = if format.sample_type() == SampleType::F32 { TAG_FLOAT } else { TAG_PCM };
    let extensible = format.channels() > 2;
    let frame_bytes = format.frame_bytes() as u32;
    let mut body = Vec::with_capacity(40);
    body.extend_from_slice(&(if extensible { TAG_EXTENSIBLE } else { tag }).to_le_bytes());
    body.extend_from_slice(&(format.channels() as u16).to_le_bytes());
    body.extend_from_slice(&format.sample_rate_hz().to_le_bytes());
    body.extend_from_slice(&(format.sample_rate_hz() * frame_bytes).to_le_bytes());
    body.extend_from_slice(&(frame_bytes as u16).to_le_bytes());
    body.extend_from_slice(&(sample_bytes * 8).to_le_bytes());
    if extensible {
        body.extend_from_slice(&22u16.to_le_bytes());
        body.extend_from_slice(&(sample_bytes * 8).to_le_bytes());
        body.extend_from_slice(&0u32.to_le_bytes());
        body.extend_from_slice(&tag.to_le_bytes());
        body.extend_from_slice(&GUID_TAIL);
    }
    body
}

struct Walk<'a, R> {
    reader: &'a mut R,
    path: &'a Path,
    position: u64,
    file_bytes: u64,
}

impl<R: Read + Seek> Walk<'_, R> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.file_bytes.saturating_sub(self.position) < N as u64 {
            return Err(self.corrupt("the file ends inside its head"));
        }
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(Error::io("read", self.path))?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// The first `N` bytes of a chunk of this size; goes on behind the chunk.
    fn take_chunk<const N: usize>(&mut self, size: u32) -> Result<[u8; N]> {
        let rest = u64::from(size)
            .checked_sub(N as u64)
            .ok_or_else(|| self.corrupt("a chunk is shorter than its kind"))?;
        let bytes = self.take()?;
        self.skip(rest + u64::from(size % 2))?;
        Ok(bytes)
    }

    fn take_format(&mut self, size: u32) -> Result<PcmFormat> {
        let mut body = [0; 40];
        let tag = if size >= 40 {
            body = self.take_chunk::<40>(size)?;
            match u16_at(&body, 0) {
                TAG_EXTENSIBLE if body[26..] == GUID_TAIL => u16_at(&body, 24),
                tag => tag,
            }
        } else {
            body[..16].copy_from_slice(&self.take_chunk::<16>(size)?);
            u16_at(&body, 0)
        };
        let sample_type = match (tag, u16_at(&body, 14)) {
            (TAG_PCM, 16) => SampleType::S16,
            (TAG_PCM, 24) => SampleType::S24,
            (TAG_PCM, 32) => SampleType::S32,
            (TAG_FLOAT, 32) => SampleType::F32,
            (tag, bits) => {
                return Err(Error::UnsupportedFormat {
                    reason: format!("{}: samples of kind {tag} with {bits} bits", self.path.display()),
                });
            }
        };
        let format = PcmFormat::new(u16_at(&body, 2), u32_at(&body, 4), sample_type)?;
        if usize::from(u16_at(&body, 12)) != format.frame_bytes() {
            return Err(Error::UnsupportedFormat {
                reason: format!("{}: samples that are not packed", self.path.display()),
            });
        }
        Ok(format)
    }

    fn skip(&mut self, bytes: u64) -> Result<()> {
        self.position += bytes;
        self.reader.seek(SeekFrom::Start(self.position)).map_err(Error::io("read", self.path))?;
        Ok(())
    }

    fn corrupt(&self, reason: &str) -> Error {
        Error::corrupt(self.path, self.position, reason)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn reread(head: &[u8], file_bytes: u64) -> Result<WavLayout> {
        parse(&mut Cursor::new(head), file_bytes, Path::new("a.wav"))
    }

    fn any_format() -> impl Strategy<Value = PcmFormat> {
        let types = [SampleType::S16, SampleType::S24, SampleType::S32, SampleType::F32];
        (1u16..=64, 8_000u32..=384_000, prop::sample::select(types.to_vec())).prop_map(
            |(channels, rate, sample_type)| PcmFormat::new(channels, rate, sample_type).expect("in range"),
        )
    }

    proptest! {
        #[test]
        fn every_head_reads_back(format in any_format(), frames in 0u64..1 << 40, room in 0u64..3000) {
            let data_offset = SMALLEST_DATA_OFFSET + room * 2;
            let data_bytes = frames * format.frame_bytes() as u64;
            let head = head(&format, DataLength::Bytes(data_bytes), data_offset);
            prop_assert_eq!(head.len() as u64, data_offset);
            let expected = WavLayout { format, data_offset, data_bytes };
            prop_assert_eq!(reread(&head, data_offset + data_bytes).expect("own head"), expected);
        }

        #[test]
        fn unknown_length_means_the_whole_frames_that_are_there(format in any_format(), held in 0u64..1 << 40) {
            let head = head(&format, DataLength::Unknown, 4096);
            let layout = reread(&head, 4096 + held).expect("own head");
            prop_assert_eq!(layout.frames(), held / format.frame_bytes() as u64);
        }

        #[test]
        fn a_head_cut_short_is_an_error(format in any_format(), kept in 0usize..200) {
            let head = head(&format, DataLength::Bytes(0), 200);
            prop_assert!(reread(&head[..kept], kept as u64).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            start in prop::sample::select(vec![&b"RIFF"[..], b"RF64", b"BW64", b"junk"]),
            chunks in prop::collection::vec(
                (prop::sample::select(vec![&b"ds64"[..], b"fmt ", b"data", b"JUNK", b"LIST"]), any::<u8>(), any::<[u8; 44]>()),
                0..80,
            ),
            claimed in any::<u64>(),
        ) {
            let mut bytes = start.to_vec();
            bytes.extend_from_slice(b"\xff\xff\xff\xffWAVE");
            for (id, size, body) in chunks {
                bytes.extend_from_slice(id);
                bytes.extend_from_slice(&[size, 0, 0, 0]);
                bytes.extend_from_slice(&body[..usize::from(size).min(body.len())]);
            }
            let _ = reread(&bytes, bytes.len() as u64);
            let _ = reread(&bytes, claimed);
        }

        #[test]
        fn a_changed_byte_never_panics(format in any_format(), at in 0usize..160, value in any::<u8>()) {
            let mut head = head(&format, DataLength::Bytes(1 << 33), 160);
            head[at] = value;
            let _ = reread(&head, 1 << 34);
        }
    }

    #[test]
    fn sizes_turn_to_64_bits_exactly_where_32_end() {
        let format = PcmFormat::new(1, 48_000, SampleType::S16).expect("plain");
        let last = u64::from(u32::MAX) - 1 - (4096 - 8);
        assert_eq!(&head(&format, DataLength::Bytes(last), 4096)[..4], b"RIFF");
        assert_eq!(&head(&format, DataLength::Bytes(last + 2), 4096)[..4], b"RF64");
    }
}
