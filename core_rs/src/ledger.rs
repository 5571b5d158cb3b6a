//! The ledger of a take: what happened, one checked line an entry.
//!
//! A line is the CRC-32 of its JSON in hex, a space, the JSON, a newline; the JSON is an entry, or an array of entries that came
//! together. A line is appended by one write and synced before the next one, so that a crash leaves at most a torn end: lines
//! that do not check and that no good line follows. A bad line before a good one is corruption.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::BLOCK_BYTES;
use crate::error::{Error, Result};
use crate::pcm::PcmFormat;
use crate::room::{give_back_reserve, is_no_room};

/// The name of the ledger in a take's folder.
pub const LEDGER_NAME: &str = "ledger";

/// What this code writes into the first entry.
pub const LEDGER_VERSION: u32 = 1;

/// Longest line that is written or believed.
pub const MOST_LINE_BYTES: u64 = 1 << 20;

/// Frames beyond this, 93 years of the fastest, are beyond any take: nonsense, and their bytes do not overflow.
pub const MOST_FRAMES: u64 = 1 << 50;

/// Most entries of one line: with causes as short as the inlet wants them it stays below [`MOST_LINE_BYTES`].
const MOST_LINE_ENTRIES: usize = 1_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The first line.
    Take {
        /// [`LEDGER_VERSION`].
        version: u32,
        /// What one frame looks like.
        format: PcmFormat,
        /// What the caller wants kept: backend, interface.
        facts: serde_json::Map<String, serde_json::Value>,
        /// Which run of the machine the boot-time instants belong to.
        boot_id: String,
    },
    /// A file is about to be created; it holds nothing yet.
    SegmentOpened {
        /// Counts from 0.
        index: u64,
        /// Its first frame in the take.
        start_frame: u64,
        /// Its name in the folder, or its absolute path in a spill folder.
        file: String,
    },
    /// The file will not change any more.
    SegmentClosed {
        /// As it was opened.
        index: u64,
        /// Frames in the file that count.
        frames: u64,
        /// Length of the file.
        bytes: u64,
        /// Of the whole file; none when sums were off or the file was given up after a fault.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// When the frame after its last one was captured.
        boottime_ns: i64,
        /// Why it ended early, if it did not end on purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        torn: Option<String>,
    },
    /// See [`Gap`].
    Gap(Gap),
    /// See [`ClockPair`].
    Clock(ClockPair),
    /// A name for a frame.
    Mark {
        /// The name.
        key: String,
        /// The frame.
        frame: u64,
    },
    /// Segments that end at or before this frame are gone on purpose.
    Released {
        /// The first frame still held.
        before_frame: u64,
    },
    /// See [`Tear`].
    Torn(Tear),
    /// Writing went on after a crash. Gap entries from this frame on that were written before never took place.
    Resumed {
        /// Where the recovered part ends.
        frame: u64,
        /// Which run of the machine the boot-time instants from here on belong to.
        boot_id: String,
    },
    /// The last line.
    End(EndMark),
}

/// Frames that the device's clock produced and that are not on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first missing frame.
    pub start_frame: u64,
    /// How many; 0 where the stream broke and nothing measurable is missing.
    pub frames: u64,
    /// Why, in one word.
    pub cause: String,
    /// The true count is within this many frames of `frames`.
    pub uncertainty_frames: u64,
}

/// Two clocks and a frame at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPair {
    /// The frame captured then.
    pub frame: u64,
    /// CLOCK_BOOTTIME.
    pub boottime_ns: i64,
    /// Since 1970.
    pub utc_ns: i64,
}

/// Bytes that a crash left behind and that do not count as content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tear {
    /// The file's name in the folder, or its absolute path in a spill folder.
    pub file: String,
    /// The first byte that does not count.
    pub byte: u64,
    /// How it came about.
    pub reason: String,
}

/// The capture ended on purpose, and this is all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndMark {
    /// Why, as the caller put it.
    pub reason: String,
    /// Frames of the take, gaps included.
    pub end_frame: u64,
    /// Of these, how many are gaps.
    pub gap_frames: u64,
    /// False when something captured could not be made durable: then the end is a kill.
    pub drained: bool,
}

/// Appends entries.
///
/// After the first failed write or sync nothing more is written: the kernel may have dropped what it could not write.
pub struct LedgerWriter {
    file: File,
    path: PathBuf,
    failed: bool,
    unsynced: bool,
}

impl LedgerWriter {
    /// Begins a ledger in a folder that has none.
    ///
    /// # Errors
    /// `Io`, also when there is one already.
    pub fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(LEDGER_NAME);
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        Ok(Self { file, path, failed: false, unsynced: false })
    }

    /// Goes on behind the last good line; what stands behind `good_bytes` was already moved aside.
    ///
    /// All good lines are written again, unchanged, and synced: after a failed sync they may be in the memory of the system and
    /// not on disk, and no later sync would know.
    ///
    /// # Errors
    /// `Io`.
    pub fn resume(folder: &Path, good_bytes: u64) -> Result<Self> {
        let path = folder.join(LEDGER_NAME);
        let file = OpenOptions::new().append(true).open(&path).map_err(Error::io("open", &path))?;
        file.set_len(good_bytes).map_err(Error::io("shorten", &path))?;
        write_again(&path, good_bytes)?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        Ok(Self { file, path, failed: false, unsynced: false })
    }

    /// Appends entries; they survive a power cut after the next [`sync`](Self::sync), and up to a thousand of them all or none.
    ///
    /// # Errors
    /// `Io`, for good; `InvalidArgument` for entries beyond [`MOST_LINE_BYTES`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<()> {
        for entries in entries.chunks(MOST_LINE_ENTRIES) {
            let line = encode(entries)?;
            if line.len() as u64 > MOST_LINE_BYTES {
                return Err(Error::invalid(format!("a ledger line of {} bytes is too long", line.len())));
            }
            self.sync()?;
            self.unsynced = true;
            let written = self.write(&line);
            self.keep("write", written)?;
        }
        Ok(())
    }

    /// On a full disk what was written of the line is taken back, and the line written into the room of the reserve. That is no
    /// second sync of anything: what had no room was never handed to the disk.
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let length = self.file.metadata()?.len();
        match self.file.write_all(line) {
            Err(fault) if is_no_room(&fault) => {
                self.file.set_len(length)?;
                let takes = self.path.parent().and_then(Path::parent);
                if !takes.is_some_and(|takes| give_back_reserve(takes).unwrap_or(false)) {
                    return Err(fault);
                }
                self.file.write_all(line)
            }
            written => written,
        }
    }

    /// Makes everything appended so far durable; nothing to do costs nothing.
    ///
    /// # Errors
    /// `Io`, for good.
    pub fn sync(&mut self) -> Result<()> {
        self.check_usable()?;
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let synced = self.file.sync_data();
        self.keep("sync", synced)
    }

    /// Whether a write or sync failed; nothing more can be written then.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            let source = std::io::Error::other("an earlier write or sync failed");
            return Err(Error::Io { action: "write", path: self.path.clone(), source });
        }
        Ok(())
    }

    fn keep(&mut self, action: &'static str, outcome: std::io::Result<()>) -> Result<()> {
        self.failed = outcome.is_err();
        outcome.map_err(Error::io(action, &self.path))
    }
}

/// Reads entries as they come; keeps its place behind the last good line.
pub struct LedgerReader {
    file: File,
    path: PathBuf,
    good_bytes: u64,
}

impl LedgerReader {
    /// # Errors
    /// `Io`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(LEDGER_NAME);
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        Ok(Self { file, path, good_bytes: 0 })
    }

    /// Bytes up to the end of the last good line.
    pub fn good_bytes(&self) -> u64 {
        self.good_bytes
    }

    /// Hands on every good entry that is new, with the byte it begins at. Returns what stands torn behind the last good line.
    ///
    /// # Errors
    /// `CorruptSegment` for a bad line before a good one, `Io`, and what `take_entry` returns.
    pub fn read_new(&mut self, mut take_entry: impl FnMut(Entry, u64) -> Result<()>) -> Result<Option<Tear>> {
        let path = &self.path;
        let length = self.file.metadata().map_err(Error::io("read", path))?.len();
        if length <= self.good_bytes {
            return Ok(None);
        }
        self.file.seek(SeekFrom::Start(self.good_bytes)).map_err(Error::io("read", path))?;
        let capacity = usize::try_from(length - self.good_bytes).unwrap_or(usize::MAX).min(256 << 10);
        let mut lines = BufReader::with_capacity(capacity, &self.file);
        let mut line = Vec::new();
        let mut byte = self.good_bytes;
        let mut torn: Option<Tear> = None;
        loop {
            line.clear();
            let read = (&mut lines).take(MOST_LINE_BYTES + 1).read_until(b'\n', &mut line);
            let bytes = read.map_err(Error::io("read", path))? as u64;
            if bytes == 0 {
                return Ok(torn);
            }
            match (decode(&line), &torn) {
                (Ok(entries), None) => {
                    entries.into_iter().try_for_each(|entry| take_entry(entry, byte))?;
                    self.good_bytes = byte + bytes;
                }
                (Ok(_), Some(tear)) => {
                    return Err(Error::corrupt(
                        path,
                        tear.byte,
                        format!("{} before a good one", tear.reason),
                    ));
                }
                (Err(reason), None) => torn = Some(Tear { file: LEDGER_NAME.into(), byte, reason }),
                (Err(_), Some(_)) => {}
            }
            byte += bytes;
        }
    }
}

fn write_again(path: &Path, bytes: u64) -> Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut byte = 0;
    while byte < bytes {
        let block = &mut block[..(bytes - byte).min(BLOCK_BYTES as u64) as usize];
        file.read_exact_at(block, byte).map_err(Error::io("read", path))?;
        file.write_all_at(block, byte).map_err(Error::io("write", path))?;
        byte += block.len() as u64;
    }
    Ok(())
}

fn encode(entries: &[Entry]) -> Result<Vec<u8>> {
    let json = match entries {
        [entry] => serde_json::to_string(entry),
        entries => serde_json::to_string(entries),
    };
    let json = json.map_err(|fault| Error::invalid(format!("a ledger entry cannot be written: {fault}")))?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
}

fn decode(line: &[u8]) -> std::result::Result<Vec<Entry>, String> {
    let Some(line) = line.strip_suffix(b"\n") else { return Err("a ledger line without its end".into()) };
    let Some((sum, json)) =
        line.split_at_checked(8).and_then(|(sum, rest)| Some((sum, rest.strip_prefix(b" ")?)))
    else {
        return Err("a ledger line too short".into());
    };
    if format!("{:08x}", crc32fast::hash(json)).as_bytes() != sum {
        return Err("a ledger line with a wrong sum".into());
    }
    let entries = match json {
        [b'[', ..] => serde_json::from_slice(json),
        json => serde_json::from_slice(json).map(|entry| vec![entry]),
    };
    entries.map_err(|fault| format!("a ledger line that is no entry ({fault})"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(count: u64) -> Vec<Entry> {
        (0..count).map(|frame| Entry::Mark { key: format!("key {frame}"), frame }).collect()
    }

    fn read(folder: &Path) -> Result<(Vec<Entry>, Option<Tear>)> {
        let mut entries = Vec::new();
        let torn = LedgerReader::open(folder)?.read_new(|entry, _| {
            entries.push(entry);
            Ok(())
        })?;
        Ok((entries, torn))
    }

    fn written(count: u64) -> (tempfile::TempDir, Vec<u8>) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = LedgerWriter::create(folder.path()).expect("a ledger");
        marks(count).chunks(1).for_each(|mark| writer.append(mark).expect("room"));
        let bytes = std::fs::read(folder.path().join(LEDGER_NAME)).expect("a file");
        (folder, bytes)
    }

    #[test]
    fn entries_come_back_and_only_once() {
        let (folder, _) = written(3);
        let mut reader = LedgerReader::open(folder.path()).expect("a ledger");
        let mut count = 0;
        for _ in 0..2 {
            let mut add = |_, _| {
                count += 1;
                Ok(())
            };
            assert_eq!(reader.read_new(&mut add).expect("good"), None);
        }
        assert_eq!(count, 3);
        assert_eq!(read(folder.path()).expect("good").0, marks(3));
    }

    #[test]
    fn a_ledger_cut_at_any_byte_gives_its_whole_lines_and_names_the_tear() {
        let (folder, bytes) = written(4);
        for cut in 0..bytes.len() {
            std::fs::write(folder.path().join(LEDGER_NAME), &bytes[..cut]).expect("room");
            let whole = bytes[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (entries, torn) = read(folder.path()).expect("only torn");
            assert_eq!(entries, marks(whole as u64));
            let line_start = bytes[..cut].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            assert_eq!(torn.map(|tear| tear.byte), (line_start < cut).then_some(line_start as u64));
        }
    }

    #[test]
    fn entries_that_come_together_are_torn_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = LedgerWriter::create(folder.path()).expect("a ledger");
        writer.append(&marks(1)).expect("room");
        let before = std::fs::metadata(folder.path().join(LEDGER_NAME)).expect("there").len() as usize;
        writer.append(&marks(300)).expect("room");
        assert_eq!(read(folder.path()).expect("good").0.len(), 301);
        // A power cut may keep any of the pages of one write.
        let mut bytes = std::fs::read(folder.path().join(LEDGER_NAME)).expect("a file");
        bytes[before..before + 4_096].fill(0);
        std::fs::write(folder.path().join(LEDGER_NAME), &bytes).expect("room");
        let (entries, torn) = read(folder.path()).expect("torn, not corrupt");
        assert_eq!((entries, torn.map(|tear| tear.byte)), (marks(1), Some(before as u64)));
    }

    #[test]
    fn more_entries_than_a_line_holds_become_lines() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = LedgerWriter::create(folder.path()).expect("a ledger");
        writer.append(&marks(2_500)).expect("room");
        assert_eq!(read(folder.path()).expect("good").0, marks(2_500));
        let text = std::fs::read_to_string(folder.path().join(LEDGER_NAME)).expect("a file");
        assert_eq!(text.lines().count(), 3);
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_named_and_its_line_never_believed(at in 0usize..120, bit in 0u8..8) {
            let (folder, mut bytes) = written(4);
            prop_assume!(at < bytes.len());
            bytes[at] ^= 1 << bit;
            std::fs::write(folder.path().join(LEDGER_NAME), &bytes).expect("room");
            match read(folder.path()) {
                Ok((entries, torn)) => {
                    prop_assert!(entries.len() < 4 && torn.is_some());
                    prop_assert_eq!(&entries, &marks(entries.len() as u64));
                }
                Err(Error::CorruptSegment { byte, .. }) => prop_assert!(byte <= at as u64),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join(LEDGER_NAME), &bytes).expect("room");
            let _ = read(folder.path());
        }
    }
}
