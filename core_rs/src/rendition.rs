//! The WAV rendition: one file whose samples begin behind a head of fixed size, so that others can follow it while it grows.
//!
//! The body is only ever appended to. The head claims an unknown length until the file is sealed, so that the file plays
//! at any time; after a crash it holds whole blocks, and is made again from its take.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::channels::ChannelMap;
use crate::digest::{BLOCK_BYTES, Digest};
use crate::error::{Error, Result};
use crate::levels::{ChannelLevels, Levels};
use crate::pcm::{PcmFormat, SampleType};
use crate::wav::{self, DataLength};
use crate::waveform::Waveform;

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

/// What a finished rendition is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenditionSeal {
    /// The final first [`HEAD_BYTES`] of the file.
    pub head: Vec<u8>,
    /// SHA-256 of the head, in hexadecimal.
    pub head_sha256: String,
    /// SHA-256 of everything behind the head, in hexadecimal.
    pub body_sha256: String,
    /// Length of the file.
    pub bytes: u64,
    /// Frames of the file.
    pub frames: u64,
}

/// Writes one rendition.
pub struct WavRendition {
    path: PathBuf,
    file: File,
    format: PcmFormat,
    frames: u64,
    body: Digest,
    levels: Levels,
    block: Vec<u8>,
    state: State,
}

enum State {
    Open,
    /// A sync failed: what is on disk is unknown, and asking again would not tell.
    Unsynced,
    Finished(RenditionSeal),
}

impl WavRendition {
    /// Creates or empties the file and writes the provisional head.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, format: PcmFormat) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        let head = wav::head(&format, DataLength::Unknown, HEAD_BYTES);
        file.write_all_at(&head, 0).map_err(Error::io("write", path))?;
        Ok(Self {
            path: path.into(),
            file,
            format,
            frames: 0,
            body: Digest::default(),
            levels: Levels::new(format),
            block: Vec::with_capacity(BLOCK_BYTES),
            state: State::Open,
        })
    }

    /// Reads a range, maps, writes, hashes and draws it block by block; complete bins of the waveform go to `bins`.
    ///
    /// After a fault [`Self::frames`] tells how much arrived; those frames are whole, drawn and hashed.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] when the map or the waveform has other channels than this file,
    /// [`Error::InvalidArgument`] once finished, [`Error::Io`], and what the source says.
    pub fn append(
        &mut self,
        source: &impl FrameSource,
        start_frame: u64,
        end_frame: u64,
        map: &ChannelMap,
        mut waveform: Option<&mut Waveform>,
        bins: &mut Vec<u8>,
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
            self.write_block(block_end - frame)?;
            if let Some(waveform) = waveform.as_deref_mut() {
                waveform.push(&self.block, bins);
            }
            frame = block_end;
        }
        Ok(())
    }

    /// Frames written so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Levels of every channel of the file since the last asking.
    pub fn levels(&mut self) -> Vec<ChannelLevels> {
        self.levels.take()
    }

    /// Writes the final head and syncs the file. A second call gives the same seal.
    ///
    /// # Errors
    /// [`Error::Io`]; once the sync itself failed the file is to be made again, and every call is an [`Error::InvalidArgument`].
    pub fn finish(&mut self) -> Result<RenditionSeal> {
        match &self.state {
            State::Finished(seal) => return Ok(seal.clone()),
            State::Unsynced => return Err(self.unsynced()),
            State::Open => {}
        }
        let data_bytes = self.data_bytes();
        let padding = data_bytes % 2;
        let head = wav::head(&self.format, DataLength::Bytes(data_bytes), HEAD_BYTES);
        self.file
            .write_all_at(&[0][..padding as usize], HEAD_BYTES + data_bytes)
            .map_err(Error::io("write", &self.path))?;
        self.file.write_all_at(&head, 0).map_err(Error::io("write", &self.path))?;
        self.state = State::Unsynced;
        self.file.sync_all().map_err(Error::io("sync", &self.path))?;

        self.body.update(&[0][..padding as usize]);
        let mut head_digest = Digest::default();
        head_digest.update(&head);
        let seal = RenditionSeal {
            head,
            head_sha256: head_digest.hex(),
            body_sha256: self.body.hex(),
            bytes: HEAD_BYTES + data_bytes + padding,
            frames: self.frames,
        };
        self.state = State::Finished(seal.clone());
        Ok(seal)
    }

    fn check(&self, map: &ChannelMap, waveform: Option<&Waveform>) -> Result<()> {
        match self.state {
            State::Open => {}
            State::Unsynced => return Err(self.unsynced()),
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

    fn write_block(&mut self, frames: u64) -> Result<()> {
        if self.block.len() as u64 != frames * self.format.frame_bytes() as u64 {
            return Err(Error::mismatch(format!("{} bytes came for {frames} frames", self.block.len())));
        }
        let at = HEAD_BYTES + self.data_bytes();
        self.file.write_all_at(&self.block, at).map_err(Error::io("write", &self.path))?;
        self.body.update(&self.block);
        self.levels.push(&self.block);
        self.frames += frames;
        Ok(())
    }

    fn data_bytes(&self) -> u64 {
        self.frames * self.format.frame_bytes() as u64
    }

    fn unsynced(&self) -> Error {
        Error::invalid(format!("{} could not be synced; make it again from its take", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom};

    use super::*;
    use crate::synthetic::counter_pcm;

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

    #[test]
    fn ranges_appended_one_by_one_make_the_same_file_as_all_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (format, map) = stereo(SampleType::S24);
        let make = |name: &str, cuts: &[u64]| {
            let mut rendition = WavRendition::create(&folder.path().join(name), format).expect("created");
            for range in cuts.windows(2) {
                rendition
                    .append(&Counter, range[0], range[1], &map, None, &mut Vec::new())
                    .expect("appended");
            }
            (rendition.finish().expect("finished"), std::fs::read(folder.path().join(name)).expect("there"))
        };
        let (seal, bytes) = make("a.wav", &[1, 100_000]);
        assert_eq!((seal.clone(), bytes.clone()), make("b.wav", &[1, 2, 50_000, 50_001, 100_000]));
        assert_eq!(bytes[..HEAD_BYTES as usize], seal.head);
        assert_eq!(bytes.len() as u64, seal.bytes);
        assert_eq!(seal.frames, 99_999);
    }

    #[test]
    fn a_file_beyond_4_gib_is_rf64_and_keeps_its_last_frames() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long.wav");
        let (format, map) = stereo(SampleType::S16);
        let mut rendition = WavRendition::create(&path, format).expect("created");
        rendition.frames = 1 << 30; // A hole of 4 GiB stands for what came before.
        rendition.append(&Counter, 1000, 1010, &map, None, &mut Vec::new()).expect("appended");
        let seal = rendition.finish().expect("finished");
        assert_eq!(&seal.head[..4], b"RF64");

        let mut file = File::open(&path).expect("there");
        let layout = wav::parse(&mut file, seal.bytes, &path).expect("own file");
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
        let mut rendition = WavRendition::create(&folder.path().join("a.wav"), format).expect("created");
        rendition.append(&Counter, 1, 32_768, &map, None, &mut Vec::new()).expect("appended");
        let levels = rendition.levels();
        assert!(levels[0].peak_dbfs > -0.01);
        assert_eq!(levels[1].peak_dbfs, f64::NEG_INFINITY);
    }

    #[test]
    fn nothing_is_appended_behind_a_seal() {
        let folder = tempfile::tempdir().expect("a folder");
        let (format, map) = stereo(SampleType::S16);
        let mut rendition = WavRendition::create(&folder.path().join("a.wav"), format).expect("created");
        let seal = rendition.finish().expect("finished");
        assert_eq!((seal.frames, seal.bytes), (0, HEAD_BYTES));
        assert!(rendition.append(&Counter, 1, 2, &map, None, &mut Vec::new()).is_err());
        assert_eq!(rendition.finish().expect("again"), seal);
    }
}
