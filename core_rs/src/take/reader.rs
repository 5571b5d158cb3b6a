//! Reads a take, finished or growing: segments stitched to one timeline, silence where frames are missing.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::channels::ChannelMap;
use crate::digest::{BLOCK_BYTES, sha256_file};
use crate::error::{Error, Result};
use crate::ledger::{ClockPair, EndMark, Gap, LEDGER_NAME, LedgerReader, Tear};
use crate::pcm::{PcmFormat, SampleType};
use crate::rendition::FrameSource;
use crate::segment::DATA_OFFSET;
use crate::sums::{SumsReader, sums_path};
use crate::take::history::{Closing, Extent, History, SegmentState};
use crate::take::scribe::lock;

/// Reads a take. Never writes; what it calls durable stands in the ledger and in the sums of the open segment.
pub struct Take {
    folder: PathBuf,
    ledger: LedgerReader,
    history: History,
    /// What stands torn behind the last good entry: perhaps a crash, perhaps an entry that is being written.
    torn_ledger: Option<Tear>,
    open: Option<OpenSums>,
    last_file: Mutex<Option<(u64, File)>>,
}

struct OpenSums {
    index: u64,
    reader: SumsReader,
}

impl Take {
    /// # Errors
    /// `CorruptSegment` when the ledger is damaged before its end, `Io`.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut ledger = LedgerReader::open(folder)?;
        let path = folder.join(LEDGER_NAME);
        let mut history: Option<History> = None;
        let torn_ledger = ledger.read_new(|entry, byte| {
            let added = match &mut history {
                Some(history) => history.add(entry),
                None => History::begin(entry).map(|begun| history = Some(begun)),
            };
            added.map_err(|reason| Error::corrupt(&path, byte, reason))
        })?;
        let history = history.ok_or_else(|| Error::corrupt(&path, 0, "a ledger without its first entry"))?;
        let folder = folder.to_path_buf();
        let mut take = Self { folder, ledger, history, torn_ledger, open: None, last_file: Mutex::new(None) };
        take.read_sums()?;
        Ok(take)
    }

    /// Looks again at a growing take; costs only what is new. Returns the durable frame.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn refresh(&mut self) -> Result<u64> {
        self.read_ledger()?;
        self.read_sums()?;
        Ok(self.durable_frame())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What one frame looks like.
    pub fn format(&self) -> PcmFormat {
        self.history.format
    }

    /// What was given when it began.
    pub fn facts(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.history.facts
    }

    /// The first frame that was not released.
    pub fn held_from_frame(&self) -> u64 {
        self.history.held_from_frame
    }

    /// Every frame below is on disk or in a gap.
    pub fn durable_frame(&self) -> u64 {
        self.history.durable_frame()
    }

    /// The segments that are held, in order.
    pub fn segments(&self) -> &[SegmentState] {
        &self.history.segments
    }

    /// The gaps below the durable frame, in order.
    pub fn gaps(&self) -> &[Gap] {
        let durable_frame = self.durable_frame();
        let reached = |gap: &Gap| gap.start_frame + gap.frames <= durable_frame;
        &self.history.gaps[..self.history.gaps.partition_point(reached)]
    }

    /// From now on the segment of this path reads as silence and is listed as a gap `disk_away`.
    pub fn give_up(&mut self, path: &Path) {
        if let Some(at) = self.history.segments.iter().position(|one| self.folder.join(&one.file) == path) {
            self.history.give_up(at);
        }
    }

    /// Names of frames.
    pub fn marks(&self) -> &std::collections::BTreeMap<String, u64> {
        &self.history.marks
    }

    /// What the clocks said, in the order of noting.
    pub fn clock_pairs(&self) -> &[ClockPair] {
        &self.history.clock_pairs
    }

    /// What crashes left behind, as far as it can be seen without reading the samples.
    ///
    /// # Errors
    /// `Io`.
    pub fn tears(&self) -> Result<Vec<Tear>> {
        let mut tears = self.history.tears.clone();
        tears.extend(self.torn_ledger.clone());
        for segment in &self.history.segments {
            match &segment.closed {
                Some(Closing { torn: Some(reason), bytes, .. }) => {
                    tears.push(Tear { file: segment.file.clone(), byte: *bytes, reason: reason.clone() });
                }
                Some(_) => {}
                None => tears.extend(self.tears_of_open(segment)?),
            }
        }
        Ok(tears)
    }

    /// The end, if it was on purpose.
    pub fn end(&self) -> Option<&EndMark> {
        self.history.end.as_ref()
    }

    /// Appends raw frames to `out`, silence in the gaps.
    ///
    /// # Errors
    /// `SegmentMismatch` beyond what is held and durable, `CorruptSegment` when a segment is shorter than its ledger says, `Io`.
    pub fn read_into(&self, start_frame: u64, end_frame: u64, out: &mut Vec<u8>) -> Result<()> {
        self.check_range(start_frame, end_frame)?;
        let frame_bytes = self.format().frame_bytes();
        let begin = out.len();
        let bytes =
            usize::try_from(end_frame - start_frame).ok().and_then(|frames| frames.checked_mul(frame_bytes));
        let bytes = bytes.filter(|bytes| out.try_reserve(*bytes).is_ok());
        let bytes = bytes.ok_or_else(|| Error::mismatch("a range that does not fit into memory"))?;
        out.resize(begin + bytes, 0);
        for extent in self.history.extents(start_frame, end_frame) {
            let from = begin + (extent.start_frame - start_frame) as usize * frame_bytes;
            self.read_extent(extent, &mut out[from..from + extent.frames as usize * frame_bytes])?;
        }
        Ok(())
    }

    /// Appends mapped frames to `out`.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into), and `ChannelMap` for a map of other inputs.
    pub fn read_mapped(
        &self,
        start_frame: u64,
        end_frame: u64,
        map: &ChannelMap,
        sample_type: SampleType,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if map.is_identity()
            && sample_type == self.format().sample_type()
            && map.inputs() == self.format().channels()
        {
            return self.read_into(start_frame, end_frame, out);
        }
        self.check_range(start_frame, end_frame)?;
        let block_frames = (BLOCK_BYTES / self.format().frame_bytes()).max(1) as u64;
        let mut pcm = Vec::new();
        let mut frame = start_frame;
        while frame < end_frame {
            let next = end_frame.min(frame + block_frames);
            pcm.clear();
            self.read_into(frame, next, &mut pcm)?;
            map.apply(&pcm, self.format().sample_type(), sample_type, out)?;
            frame = next;
        }
        Ok(())
    }

    /// Reads everything again against sums and digests. One sentence for each fault, naming file and byte; none means all is well.
    pub fn verify(&self) -> Vec<String> {
        let mut faults: Vec<String> = match self.tears() {
            Ok(tears) => tears
                .iter()
                .map(|tear| {
                    format!(
                        "{} at byte {}: {}",
                        self.folder.join(&tear.file).display(),
                        tear.byte,
                        tear.reason
                    )
                })
                .collect(),
            Err(fault) => vec![fault.to_string()],
        };
        for segment in &self.history.segments {
            match self.verify_segment(segment) {
                Ok(None) => {}
                Ok(Some(fault)) => faults.push(fault),
                Err(fault) => faults.push(fault.to_string()),
            }
        }
        faults
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    pub(super) fn torn_ledger(&self) -> Option<&Tear> {
        self.torn_ledger.as_ref()
    }

    pub(super) fn good_ledger_bytes(&self) -> u64 {
        self.ledger.good_bytes()
    }

    fn read_ledger(&mut self) -> Result<()> {
        let path = self.folder.join(LEDGER_NAME);
        let history = &mut self.history;
        self.torn_ledger = self.ledger.read_new(|entry, byte| {
            history.add(entry).map_err(|reason| Error::corrupt(&path, byte, reason))
        })?;
        Ok(())
    }

    /// Sums that are gone mean that the segment was closed a moment ago: then the ledger has it.
    fn read_sums(&mut self) -> Result<()> {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            let Some(segment) = self.history.open_segment_mut() else {
                self.open = None;
                return Ok(());
            };
            let (index, path) = (segment.index, self.folder.join(&segment.file));
            if self.open.as_ref().is_none_or(|open| open.index != index) {
                self.open = SumsReader::open(&path)?.map(|reader| OpenSums { index, reader });
            }
            if let Some(open) = &mut self.open {
                return self.history.take_sums(&mut open.reader, &path);
            }
            self.read_ledger()?;
        }
        Ok(())
    }

    fn check_range(&self, start_frame: u64, end_frame: u64) -> Result<()> {
        let (held, durable) = (self.held_from_frame(), self.durable_frame());
        if start_frame > end_frame || start_frame < held || end_frame > durable {
            return Err(Error::mismatch(format!(
                "{} holds frames {held} to {durable}, not {start_frame} to {end_frame}",
                self.folder.display()
            )));
        }
        Ok(())
    }

    fn read_extent(&self, extent: Extent, out: &mut [u8]) -> Result<()> {
        let segment = &self.history.segments[extent.segment];
        let path = self.folder.join(&segment.file);
        let mut last_file = lock(&self.last_file);
        if last_file.as_ref().is_none_or(|(index, _)| *index != segment.index) {
            *last_file = Some((segment.index, File::open(&path).map_err(Error::io("open", &path))?));
        }
        let Some((_, file)) = &*last_file else { return Ok(()) };
        let mut byte = DATA_OFFSET + extent.file_frame * self.format().frame_bytes() as u64;
        for block in out.chunks_mut(BLOCK_BYTES) {
            file.read_exact_at(block, byte).map_err(|fault| match fault.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    Error::corrupt(&path, byte, "the file ends before its frames do")
                }
                _ => Error::io("read", &path)(fault),
            })?;
            byte += block.len() as u64;
        }
        Ok(())
    }

    fn tears_of_open(&self, segment: &SegmentState) -> Result<Vec<Tear>> {
        let mut tears = Vec::new();
        let path = self.folder.join(&segment.file);
        let frame_bytes = self.format().frame_bytes() as u64;
        let counted = DATA_OFFSET + segment.frames * frame_bytes;
        let length = file_length(&path)?;
        let is_short =
            self.open.as_ref().is_some_and(|open| open.reader.end_byte() > segment.frames * frame_bytes);
        if is_short {
            let reason = "the file ends inside a flush".into();
            tears.push(Tear { file: segment.file.clone(), byte: length, reason });
        } else if length > counted && self.history.end.is_none() {
            let reason = "bytes behind the last flush".into();
            tears.push(Tear { file: segment.file.clone(), byte: counted, reason });
        }
        if let Some(byte) = self.open.as_ref().map(|open| open.reader.torn_byte()).transpose()?.flatten() {
            let file = format!("{}.sums", segment.file);
            tears.push(Tear { file, byte, reason: "a record that was not finished".into() });
        }
        Ok(tears)
    }

    fn verify_segment(&self, segment: &SegmentState) -> Result<Option<String>> {
        let path = self.folder.join(&segment.file);
        match &segment.closed {
            Some(Closing { sha256: Some(sha256), bytes, .. }) => {
                let length = file_length(&path)?;
                if length != *bytes {
                    return Ok(Some(format!("{} has {length} bytes, not {bytes}", path.display())));
                }
                let is_same = sha256_file(&path, 0, None)? == *sha256;
                Ok((!is_same)
                    .then(|| format!("{} at byte 0: not the SHA-256 of its ledger entry", path.display())))
            }
            Some(Closing { bytes, .. }) if !sums_path(&path).exists() => {
                let length = if segment.frames == 0 { *bytes } else { file_length(&path)? };
                let reason = format!("{} ends at byte {length} of {bytes}", path.display());
                Ok((length < *bytes).then_some(reason))
            }
            _ => {
                let end_byte = segment.frames * self.format().frame_bytes() as u64;
                let bad = first_bad_block(&path, end_byte)?;
                Ok(bad.map(|byte| format!("{} at byte {byte}: not the sum of its flush", path.display())))
            }
        }
    }
}

impl FrameSource for Take {
    fn read_mapped(
        &self,
        start_frame: u64,
        end_frame: u64,
        map: &ChannelMap,
        sample_type: SampleType,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.read_mapped(start_frame, end_frame, map, sample_type, out)
    }
}

/// The first byte of the file that belongs to a block with a wrong sum, below `end_byte` of the samples. A block that is cut short
/// has no sum to compare.
///
/// # Errors
/// `Io`.
pub(super) fn first_bad_block(segment: &Path, end_byte: u64) -> Result<Option<u64>> {
    let Some(mut sums) = SumsReader::open(segment)? else { return Ok(None) };
    let file = match File::open(segment) {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("open", segment))?,
    };
    let mut buffer = vec![0; BLOCK_BYTES];
    let mut start = 0;
    while let Some(record) = sums.next_record()? {
        if record.end_byte > end_byte {
            break;
        }
        if let Some(crc) = record.block_crc
            && block_crc(&file, segment, start, record.end_byte, &mut buffer)? != Some(crc)
        {
            return Ok(Some(DATA_OFFSET + start));
        }
        start = record.end_byte;
    }
    Ok(None)
}

/// None when the file ends before the block.
fn block_crc(file: &File, path: &Path, start: u64, end: u64, buffer: &mut [u8]) -> Result<Option<u32>> {
    let mut crc = crc32fast::Hasher::new();
    let mut byte = start;
    while byte < end {
        let wanted = (end - byte).min(buffer.len() as u64) as usize;
        match file.read_at(&mut buffer[..wanted], DATA_OFFSET + byte).map_err(Error::io("read", path))? {
            0 => return Ok(None),
            count => {
                crc.update(&buffer[..count]);
                byte += count as u64;
            }
        }
    }
    Ok(Some(crc.finalize()))
}

/// Length of a file; one that was never created has none.
///
/// # Errors
/// `Io`.
pub(super) fn file_length(path: &Path) -> Result<u64> {
    match std::fs::metadata(path) {
        Ok(facts) => Ok(facts.len()),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(fault) => Err(Error::io("read", path)(fault)),
    }
}
