//! Renditions: one file of a recording, encoded while it grows, so that others can follow it.
//!
//! The file only grows, but for its first [`HEAD_BYTES`]: a provisional head goes first, so that what is there plays at
//! any time, and the final one with [`Rendition::finish`]. After a crash it is made again from its take; the same frames give
//! the same bytes, however they were cut.

mod codec;
mod flac;
mod frame_walk;
mod lame_tag;
mod mp3;
mod seek;
mod wav;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::channels::ChannelMap;
use crate::digest::{BLOCK_BYTES, BlockSums, Digest};
use crate::error::{Error, Result};
use crate::levels::{ChannelLevels, Levels};
use crate::loudness::Loudness;
use crate::pcm::{PcmFormat, SampleType};
use crate::waveform::Waveform;

pub use codec::{Codec, Encoded, Place};
pub use flac::{FlacCodec, flac_version};
pub use frame_walk::{FrameWalk, Mp3Header};
pub use mp3::{Mp3Codec, Mp3Rate, lame_version};
pub use seek::SeekIndex;
pub use wav::WavCodec;

/// Bytes at the start of every rendition that may still change until it is sealed.
pub const HEAD_BYTES: u64 = 4096;

/// Where the frames of a rendition come from.
pub trait FrameSource {
    /// Appends the mapped frames of a range to `out`, silence in its gaps.
    ///
    /// # Errors
    /// When the source does not hold the range, or cannot read it.
    fn read_mapped(
        &self,
        start_frame: u64,
        end_frame: u64,
        map: &ChannelMap,
        sample_type: SampleType,
        out: &mut Vec<u8>,
    ) -> Result<()>;
}

/// What became complete beside the audio itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Bins of the waveform.
    pub bins: Vec<u8>,
    /// Entries of the seek index.
    pub seek: Vec<u8>,
}

/// What a finished rendition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionSeal {
    /// The final first [`HEAD_BYTES`] of the file, or the whole file when it is shorter.
    pub head: Vec<u8>,
    /// SHA-256 of the head, in hexadecimal.
    pub head_sha256: String,
    /// SHA-256 of everything behind the head, in hexadecimal.
    pub body_sha256: String,
    /// CRC-32 of each MiB of the same, eight hexadecimal digits each.
    pub body_block_sums: String,
    /// Length of the file.
    pub bytes: u64,
    /// Frames of the recording that the file holds.
    pub frames: u64,
    /// The last entries of the seek index.
    pub seek: Vec<u8>,
}

/// Writes one rendition.
pub struct Rendition {
    path: PathBuf,
    file: File,
    format: PcmFormat,
    codec: Box<dyn Codec>,
    frames: u64,
    bytes: u64,
    head: Vec<u8>,
    body: Digest,
    body_blocks: BlockSums,
    levels: Levels,
    loudness: Loudness,
    index: SeekIndex,
    block: Vec<u8>,
    encoded: Encoded,
    state: State,
}

enum State {
    Open,
    /// A write or a sync failed: what is on disk is unknown, and the encoder has gone on.
    Failed,
    Finished(RenditionSeal),
}

impl Rendition {
    /// Creates or empties the file and writes the provisional head. `format` is that of the frames that are encoded.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, format: PcmFormat, mut codec: Box<dyn Codec>) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        let mut encoded = Encoded::default();
        codec.begin(&mut encoded);
        let mut rendition = Self {
            path: path.into(),
            file,
            format,
            codec,
            frames: 0,
            bytes: 0,
            head: Vec::new(),
            body: Digest::default(),
            body_blocks: BlockSums::default(),
            levels: Levels::new(format),
            loudness: Loudness::new(format),
            index: SeekIndex::new(format.sample_rate_hz()),
            block: Vec::with_capacity(BLOCK_BYTES),
            encoded,
            state: State::Open,
        };
        rendition.write_encoded(&mut Vec::new())?;
        Ok(rendition)
    }

    /// Reads a range, maps, encodes, writes, hashes and draws it block by block; what became complete goes to `beside`.
    ///
    /// When the source fails, [`Self::frames`] tells how much arrived, and the rest can be tried again.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] when the map or the waveform has other channels than this file, [`Error::InvalidArgument`] once
    /// finished, what the source says, and [`Error::Io`]: then the rendition is to be made again.
    pub fn append(
        &mut self,
        source: &impl FrameSource,
        start_frame: u64,
        end_frame: u64,
        map: &ChannelMap,
        mut waveform: Option<&mut Waveform>,
        beside: &mut Beside,
    ) -> Result<()> {
        self.check(map, waveform.as_deref())?;
        if end_frame < start_frame {
            return Err(Error::mismatch(format!("frames {start_frame} to {end_frame} run backwards")));
        }
        let block_frames = (BLOCK_BYTES / self.format.frame_bytes()) as u64;
        let mut frame = start_frame;
        while frame < end_frame {
            let block_end = end_frame.min(frame.saturating_add(block_frames));
            self.block.clear();
            source.read_mapped(frame, block_end, map, self.format.sample_type(), &mut self.block)?;
            self.encode_block(block_end - frame, &mut beside.seek)?;
            if let Some(waveform) = waveform.as_deref_mut() {
                waveform.push(&self.block, &mut beside.bins);
            }
            frame = block_end;
        }
        Ok(())
    }

    /// Frames encoded so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Levels of every channel of the file since the last asking.
    pub fn levels(&mut self) -> Vec<ChannelLevels> {
        self.levels.take()
    }

    /// R 128 loudness of the file so far, before it is encoded; negative infinity when nothing is above the gate.
    pub fn integrated_lufs(&self) -> f64 {
        self.loudness.integrated_lufs()
    }

    /// Writes what the encoder held back and the final head, and syncs the file. A second call gives the same seal.
    ///
    /// # Errors
    /// [`Error::Io`]; then the file is to be made again, and every further call is an [`Error::InvalidArgument`].
    pub fn finish(&mut self) -> Result<RenditionSeal> {
        match &self.state {
            State::Finished(seal) => return Ok(seal.clone()),
            State::Failed => return Err(self.failed()),
            State::Open => {}
        }
        self.state = State::Failed;
        let mut seek = Vec::new();
        self.codec.finish(&mut self.encoded)?;
        self.write_encoded(&mut seek)?;
        let head = self.codec.head();
        self.head[..head.len()].copy_from_slice(&head);
        self.file.write_all_at(&head, 0).map_err(Error::io("write", &self.path))?;
        self.file.sync_all().map_err(Error::io("sync", &self.path))?;

        let mut head_digest = Digest::default();
        head_digest.update(&self.head);
        let seal = RenditionSeal {
            head: self.head.clone(),
            head_sha256: head_digest.hex(),
            body_sha256: self.body.hex(),
            body_block_sums: self.body_blocks.hex(),
            bytes: self.bytes,
            frames: self.frames,
            seek,
        };
        self.state = State::Finished(seal.clone());
        Ok(seal)
    }

    fn check(&self, map: &ChannelMap, waveform: Option<&Waveform>) -> Result<()> {
        match self.state {
            State::Open => {}
            State::Failed => return Err(self.failed()),
            State::Finished(_) => return Err(Error::invalid(format!("{} is finished", self.path.display()))),
        }
        let channels = self.format.channels();
        if map.outputs() != channels {
            let reason = format!("{} outputs for a file of {channels} channels", map.outputs());
            return Err(Error::ChannelMap { reason });
        }
        if waveform.is_some_and(|waveform| waveform.format() != self.format) {
            return Err(Error::ChannelMap {
                reason: "the waveform is of another format than the file".into(),
            });
        }
        Ok(())
    }

    fn encode_block(&mut self, frames: u64, seek: &mut Vec<u8>) -> Result<()> {
        if self.block.len() as u64 != frames * self.format.frame_bytes() as u64 {
            return Err(Error::mismatch(format!("{} bytes came for {frames} frames", self.block.len())));
        }
        self.state = State::Failed;
        self.codec.encode(&self.block, &mut self.encoded)?;
        self.frames += frames;
        self.write_encoded(seek)?;
        self.levels.push(&self.block);
        self.loudness.push(&self.block);
        self.state = State::Open;
        Ok(())
    }

    /// Appends what was encoded; entries of the seek index follow only when it is in the file.
    fn write_encoded(&mut self, seek: &mut Vec<u8>) -> Result<()> {
        let bytes = &self.encoded.bytes;
        self.file.write_all_at(bytes, self.bytes).map_err(Error::io("write", &self.path))?;
        let room = (HEAD_BYTES - self.head.len() as u64).min(bytes.len() as u64) as usize;
        self.head.extend_from_slice(&bytes[..room]);
        self.body.update(&bytes[room..]);
        self.body_blocks.update(&bytes[room..]);
        self.bytes += bytes.len() as u64;
        for place in &self.encoded.places {
            self.index.add(*place, self.frames, seek);
        }
        self.encoded.clear();
        Ok(())
    }

    fn failed(&self) -> Error {
        Error::invalid(format!("{} could not be written; make it again from its take", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use proptest::prelude::*;

    use super::*;
    use crate::synthetic::counter_pcm;
    use crate::wav::parse;

    struct Counter;

    impl FrameSource for Counter {
        fn read_mapped(
            &self,
            start_frame: u64,
            end_frame: u64,
            map: &ChannelMap,
            sample_type: SampleType,
            out: &mut Vec<u8>,
        ) -> Result<()> {
            let pcm = counter_pcm(start_frame, (end_frame - start_frame) as usize)?;
            map.apply(&pcm, SampleType::S16, sample_type, out)
        }
    }

    fn stereo(sample_type: SampleType) -> (PcmFormat, ChannelMap) {
        (PcmFormat::new(2, 48_000, sample_type).expect("plain"), ChannelMap::identity(2).expect("plain"))
    }

    fn wav(path: &Path, format: PcmFormat) -> Rendition {
        Rendition::create(path, format, Box::new(WavCodec::new(format))).expect("created")
    }

    const CODECS: [&str; 4] = ["wav", "flac", "vbr", "cbr"];

    fn codec(name: &str, format: PcmFormat) -> Box<dyn Codec> {
        match name {
            "wav" => Box::new(WavCodec::new(format)),
            "flac" => Box::new(FlacCodec::new(format).expect("fits")),
            "vbr" => Box::new(Mp3Codec::new(format, Mp3Rate::Vbr { quality: 5 }).expect("fits")),
            _ => Box::new(Mp3Codec::new(format, Mp3Rate::Cbr { kbps: 32 }).expect("fits")),
        }
    }

    fn made(name: &str, cuts: &[u64]) -> (RenditionSeal, Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        let (format, map) = stereo(SampleType::S16);
        let mut rendition = Rendition::create(&path, format, codec(name, format)).expect("created");
        let mut beside = Beside::default();
        for range in cuts.windows(2) {
            rendition.append(&Counter, range[0], range[1], &map, None, &mut beside).expect("appended");
        }
        let seal = rendition.finish().expect("finished");
        let bytes = std::fs::read(&path).expect("there");
        let seek = [&beside.seek[..], &seal.seek].concat();
        (RenditionSeal { seek: Vec::new(), ..seal }, bytes, seek)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn the_same_frames_give_the_same_bytes_however_cut(
            name in prop::sample::select(CODECS.to_vec()),
            mut cuts in prop::collection::vec(1u64..120_000, 1..12),
        ) {
            cuts.extend([1, 120_000]);
            cuts.sort_unstable();
            prop_assert_eq!(made(name, &cuts), made(name, &[1, 120_000]));
        }
    }

    #[test]
    fn a_seal_tells_the_digests_of_the_file() {
        for name in CODECS {
            let (seal, bytes, _) = made(name, &[1, 100_000]);
            let head_bytes = HEAD_BYTES as usize;
            let digest = |part: &[u8]| {
                let mut digest = Digest::default();
                digest.update(part);
                digest.hex()
            };
            assert_eq!(bytes[..head_bytes], seal.head, "{name}");
            assert_eq!(digest(&bytes[..head_bytes]), seal.head_sha256, "{name}");
            assert_eq!(digest(&bytes[head_bytes..]), seal.body_sha256, "{name}");
            let blocks = bytes[head_bytes..].chunks(1 << 20);
            let sums: String = blocks.map(|block| format!("{:08x}", crc32fast::hash(block))).collect();
            assert_eq!(sums, seal.body_block_sums, "{name}");
            assert_eq!((bytes.len() as u64, 99_999), (seal.bytes, seal.frames), "{name}");
        }
    }

    #[test]
    fn a_file_shorter_than_its_head_is_all_head() {
        for name in ["flac", "vbr", "cbr"] {
            let (seal, bytes, seek) = made(name, &[1, 2]);
            assert!((seal.bytes as usize) < HEAD_BYTES as usize, "{name}");
            assert_eq!(seal.head, bytes, "{name}");
            assert_eq!(seek.len(), 16, "{name}");
        }
    }

    #[test]
    fn what_is_behind_the_head_never_changes_while_the_file_grows() {
        for name in CODECS {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join(name);
            let (format, map) = stereo(SampleType::S16);
            let mut rendition = Rendition::create(&path, format, codec(name, format)).expect("created");
            let mut before = Vec::new();
            for second in 0..5 {
                let range = (second * 48_000 + 1, (second + 1) * 48_000 + 1);
                rendition
                    .append(&Counter, range.0, range.1, &map, None, &mut Beside::default())
                    .expect("appended");
                let now = std::fs::read(&path).expect("there");
                assert_eq!(now[..before.len()], before, "{name}");
                before = now;
            }
            rendition.finish().expect("finished");
            let now = std::fs::read(&path).expect("there");
            let head_bytes = HEAD_BYTES as usize;
            assert_eq!(now[head_bytes..before.len()], before[head_bytes..], "{name}");
            assert_ne!(now[..head_bytes], before[..head_bytes], "{name}");
        }
    }

    #[test]
    fn a_wav_beyond_4_gib_is_rf64_and_keeps_its_last_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long.wav");
        let (format, map) = stereo(SampleType::S16);
        let before = 1 << 30; // A hole of 4 GiB stands for what came before.
        let codec = WavCodec::behind(format, before);
        let mut rendition = Rendition::create(&path, format, Box::new(codec)).expect("created");
        rendition.bytes += before * 4;
        rendition.append(&Counter, 1000, 1010, &map, None, &mut Beside::default()).expect("appended");
        let seal = rendition.finish().expect("finished");
        assert_eq!(&seal.head[..4], b"RF64");

        let mut file = File::open(&path).expect("there");
        let layout = parse(&mut file, seal.bytes, &path).expect("own file");
        assert_eq!((layout.frames(), layout.data_offset), ((1 << 30) + 10, HEAD_BYTES));
        let mut tail = Vec::new();
        file.seek(SeekFrom::End(-40)).expect("long enough");
        file.read_to_end(&mut tail).expect("readable");
        assert_eq!(tail, counter_pcm(1000, 10).expect("small"));
    }

    #[test]
    fn levels_are_those_of_the_mapped_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let (format, _) = stereo(SampleType::S16);
        let map = ChannelMap::new(vec![vec![1.0, 0.0], vec![0.0, 0.0]]).expect("plain");
        for name in CODECS {
            let path = folder.path().join(name);
            let mut rendition = Rendition::create(&path, format, codec(name, format)).expect("created");
            rendition.append(&Counter, 1, 32_768, &map, None, &mut Beside::default()).expect("appended");
            let levels = rendition.levels();
            assert!(levels[0].peak_dbfs > -0.01, "{name}");
            assert_eq!(levels[1].peak_dbfs, f64::NEG_INFINITY, "{name}");
        }
    }

    #[test]
    fn nothing_is_appended_behind_a_seal() {
        let folder = tempfile::tempdir().expect("a folder");
        let (format, map) = stereo(SampleType::S16);
        let mut rendition = wav(&folder.path().join("a.wav"), format);
        let seal = rendition.finish().expect("finished");
        assert_eq!((seal.frames, seal.bytes), (0, HEAD_BYTES));
        assert!(rendition.append(&Counter, 1, 2, &map, None, &mut Beside::default()).is_err());
        assert_eq!(rendition.finish().expect("again"), seal);
    }

    #[test]
    fn a_disk_that_is_full_ends_the_rendition() {
        let (format, map) = stereo(SampleType::S16);
        let full = Path::new("/dev/full");
        let refused = Rendition::create(full, format, Box::new(WavCodec::new(format)));
        assert!(matches!(refused, Err(Error::Io { action: "write", .. })));
        let mut rendition = wav(Path::new("/dev/null"), format);
        rendition.file = File::options().write(true).open(full).expect("a device");
        let mut append = |range: (u64, u64)| {
            rendition.append(&Counter, range.0, range.1, &map, None, &mut Beside::default())
        };
        assert!(matches!(append((1, 100)), Err(Error::Io { action: "write", .. })));
        assert!(matches!(append((100, 200)), Err(Error::InvalidArgument { .. })));
    }
}
