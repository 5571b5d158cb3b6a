//! Goes on after a crash: moves what is torn aside, closes what is good, and knows where the timeline stands.
//!
//! A crash in the middle of this leaves a take on which it can be done again.

use std::collections::{HashSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::ledger::{Entry, LEDGER_NAME, LedgerWriter, Tear};
use crate::segment::{DATA_OFFSET, close_recovered, forget_sums, padding, segment_index, sync_folder};
use crate::take::clock_map::frames_to_ns;
use crate::take::drawing::drawn_frame;
use crate::take::folders::{Folders, is_away};
use crate::take::history::History;
use crate::take::reader::{Take, file_length, first_bad_block};
use crate::take::scribe::{Book, ClosedSpan};
use crate::take::writer::TakeOptions;

const DISK_MISSING: &str = "its disk was missing when the take was gone on with; ends where its waveform did";

/// A take that can be written on.
pub struct Recovered {
    /// As it stands now, without torn ends.
    pub take: Take,
    /// What is written on.
    pub book: Book,
    /// The index of the next segment.
    pub next_index: u64,
    /// Frames in gaps so far.
    pub gap_frames: u64,
    /// A frame and its boot time, if the machine still runs since then.
    pub instant: Option<(u64, i64)>,
    /// A frame and its UTC time.
    pub utc: Option<(u64, i64)>,
}

impl Recovered {
    /// # Errors
    /// `TakeClosed` when there is an end mark, `CorruptSegment` when the ledger is damaged before its end, `InvalidArgument`, `Io`.
    pub fn from(folder: &Path, options: &TakeOptions) -> Result<Self> {
        let torn = Take::open(folder)?;
        options.check(torn.format())?;
        if let Some(end) = torn.end() {
            return Err(Error::TakeClosed { folder: folder.to_path_buf(), reason: end.reason.clone() });
        }
        let is_same_run = torn.history().boot_id == boot_id();
        let instant = torn.history().known_instant();
        let ledger = recover(folder, &torn, options.checksums)?;
        let take = Take::open(folder)?;
        let history = take.history();
        let book = Book {
            ledger,
            marks: history.marks.clone(),
            closed: history.spans_to_unlink(folder, options)?,
            held_from_frame: history.held_from_frame,
            end: None,
        };
        Ok(Self {
            book,
            next_index: history.next_index,
            gap_frames: take.gaps().iter().map(|gap| gap.frames).sum(),
            instant: instant.filter(|_| is_same_run),
            utc: history.clock_pairs.last().map(|pair| (pair.frame, pair.utc_ns)),
            take,
        })
    }
}

/// Which run of the machine this is; boot-time instants of another one mean nothing here.
pub fn boot_id() -> String {
    // A system without it gives no name: then every run looks like the same one, as on a machine that never restarts.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

fn recover(folder: &Path, take: &Take, checksums: bool) -> Result<LedgerWriter> {
    let mut entries = Vec::new();
    if let Some(tear) = take.torn_ledger() {
        let path = folder.join(LEDGER_NAME);
        copy_aside(&path, tear.byte, OpenOptions::new().append(true).create(true))?;
        entries.push(Entry::Torn(tear.clone()));
    }
    let mut ledger = LedgerWriter::resume(folder, take.good_ledger_bytes())?;
    let mut history = take.history().clone();
    let mut closed_path = None;
    if let Some(segment) = history.open_segment_mut() {
        let path = folder.join(&segment.file);
        let (index, start_frame) = (segment.index, segment.start_frame);
        let frame_bytes = take.format().frame_bytes() as u64;
        let (bytes, sha256, torn);
        if is_away(&path)? {
            segment.frames = known_frames(take, &path, start_frame)?;
            (bytes, sha256) = (DATA_OFFSET + segment.frames * frame_bytes, None);
            torn = Some(DISK_MISSING.to_owned());
        } else {
            let good = GoodPart::of(&path, frame_bytes, segment.frames)?;
            segment.frames = good.frames;
            entries.extend(good.move_tail_aside(&path, &segment.file)?.map(Entry::Torn));
            (bytes, sha256) = if good.frames == 0 {
                (0, None)
            } else {
                let closed = close_recovered(&path, &take.format(), good.data_bytes, checksums)?;
                (closed.bytes, closed.sha256)
            };
            torn = None;
            closed_path = Some(path);
        }
        let frames = segment.frames;
        let end_frame = history.durable_frame().max(start_frame);
        let boottime_ns = boottime_of(take, end_frame);
        entries.push(Entry::SegmentClosed { index, frames, bytes, sha256, boottime_ns, torn });
    }
    entries.push(Entry::Resumed { frame: history.durable_frame(), boot_id: boot_id() });
    sync_folder(folder)?;
    if let Some(place) = closed_path.as_deref().and_then(Path::parent) {
        sync_folder(place)?;
    }
    ledger.append(&entries)?;
    ledger.sync()?;
    if let Some(path) = closed_path {
        forget_sums(&path)?;
    }
    Ok(ledger)
}

/// What is sure of the open segment while its disk is missing: the frames that are drawn. What the file holds beyond them does not
/// count any more.
///
/// # Errors
/// `Io` when that is not known: then the take is gone on with once the disk is back.
fn known_frames(take: &Take, path: &Path, start_frame: u64) -> Result<u64> {
    let is_dated = take.history().known_instant().is_some();
    let drawn = drawn_frame(take)?.filter(|_| is_dated);
    let place = path.parent().unwrap_or(path);
    let drawn = drawn.ok_or_else(|| Error::io("find the spill folder", place)(ErrorKind::NotFound.into()))?;
    Ok(take.history().frames_between(start_frame, drawn))
}

/// What counts in a segment that a crash left open.
struct GoodPart {
    frames: u64,
    data_bytes: u64,
    reason: &'static str,
}

impl GoodPart {
    /// All frames that the sums and the length of the file allow, up to the first block with a wrong sum.
    fn of(path: &Path, frame_bytes: u64, frames: u64) -> Result<Self> {
        let data_bytes = frames * frame_bytes;
        Ok(match first_bad_block(path, data_bytes)? {
            Some(byte) => {
                let frames = (byte - DATA_OFFSET) / frame_bytes;
                Self { frames, data_bytes: frames * frame_bytes, reason: "not the sum of its flush" }
            }
            None => Self { frames, data_bytes, reason: "behind the last whole frame of the last flush" },
        })
    }

    /// The tail keeps existing beside the segment. A head alone is no loss, and a file without frames is moved as a whole.
    fn move_tail_aside(&self, path: &Path, file: &str) -> Result<Option<Tear>> {
        let byte = if self.frames == 0 { 0 } else { DATA_OFFSET + self.data_bytes };
        let length = match file_length(path)? {
            length if self.ends_in_padding(path, length)? => byte,
            length => length,
        };
        let is_head_alone = self.frames == 0 && length <= DATA_OFFSET;
        if length > byte && !is_head_alone {
            copy_aside(path, byte, OpenOptions::new().write(true).create(true).truncate(true))?;
        }
        if self.frames == 0 && length > 0 {
            std::fs::remove_file(path).map_err(Error::io("remove", path))?;
        }
        Ok(torn_path(path).exists().then(|| Tear {
            file: file.to_owned(),
            byte,
            reason: format!("{}; moved aside", self.reason),
        }))
    }

    /// Whether closing the file had already begun, by its writer or by an earlier recovery, whose tear must stay.
    fn ends_in_padding(&self, path: &Path, length: u64) -> Result<bool> {
        let padding = padding(self.data_bytes);
        let end = DATA_OFFSET + self.data_bytes;
        if self.frames == 0 || padding.is_empty() || length != end + padding.len() as u64 {
            return Ok(false);
        }
        let mut tail = vec![0; padding.len()];
        let file = File::open(path).map_err(Error::io("open", path))?;
        file.read_exact_at(&mut tail, end).map_err(Error::io("read", path))?;
        Ok(tail == padding)
    }
}

fn copy_aside(path: &Path, from_byte: u64, options: &OpenOptions) -> Result<()> {
    let torn_path = torn_path(path);
    let mut source = File::open(path).map_err(Error::io("open", path))?;
    source.seek(SeekFrom::Start(from_byte)).map_err(Error::io("read", path))?;
    let mut torn = options.open(&torn_path).map_err(Error::io("create", &torn_path))?;
    std::io::copy(&mut source.by_ref(), &mut torn).map_err(Error::io("write", &torn_path))?;
    torn.sync_all().map_err(Error::io("sync", &torn_path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn torn_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".torn");
    name.into()
}

fn boottime_of(take: &Take, frame: u64) -> i64 {
    let rate_hz = take.format().sample_rate_hz();
    take.history().known_instant().map_or(0, |(known_frame, boottime_ns)| {
        let ns = |frame| frames_to_ns(frame, rate_hz);
        boottime_ns.saturating_add(ns(frame)).saturating_sub(ns(known_frame))
    })
}

impl History {
    /// Closed segments that are held, behind those that were released but not unlinked any more.
    fn spans_to_unlink(&self, folder: &Path, options: &TakeOptions) -> Result<VecDeque<ClosedSpan>> {
        let held: HashSet<PathBuf> = self.segments.iter().map(|segment| folder.join(&segment.file)).collect();
        let mut spans = VecDeque::new();
        for place in Folders::new(folder, &options.spill_folders, options.reserve_bytes).existing() {
            for entry in std::fs::read_dir(place).map_err(Error::io("list", place))? {
                let path = entry.map_err(Error::io("list", place))?.path();
                let index = path.file_name().and_then(|name| segment_index(&name.to_string_lossy()));
                if index.is_some_and(|index| index < self.next_index) && !held.contains(&path) {
                    spans.push_back(ClosedSpan { path, end_frame: 0 });
                }
            }
        }
        let closed = self.segments.iter().enumerate().filter(|(_, segment)| segment.closed.is_some());
        spans.extend(closed.map(|(at, segment)| ClosedSpan {
            path: folder.join(&segment.file),
            end_frame: self.end_of_segment(at),
        }));
        Ok(spans)
    }
}
