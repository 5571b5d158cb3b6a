//! Puts the stream into segments and the ledger, durably and in order.
//!
//! A batch is what the ring holds. It stays there until all of it is durable, so that a segment that cannot be written is given
//! up and the same frames go into a new one, in another folder if there is one: one fault loses nothing. Several faults in a row
//! end the writing for good. Without room anywhere the batch waits until there is some, or until the end is wanted.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::ledger::{EndMark, Entry, Gap, LedgerWriter};
use crate::pcm::PcmFormat;
use crate::segment::{DATA_OFFSET, OpenSegment, forget_sums, segment_name};
use crate::take::clock_map::frames_to_ns;
use crate::take::folders::Folders;
use crate::take::inlet::Command;

/// The cause of a gap where writing failed.
pub const WRITE_ERROR: &str = "write_error";
/// The cause of a gap where the drain at the end took too long.
pub const DRAIN_LIMIT: &str = "drain_limit";

/// Faults in a row after which writing has failed for good.
const MOST_FAULTS: u32 = 3;

/// How often it is looked whether there is room again.
const ROOM_LOOK: Duration = Duration::from_millis(100);
/// Breaks of the stream begin at most so many segments in the time of a full one: a storm of them makes gaps, not files.
const BREAKS_PER_SEGMENT: u64 = 12;

/// What the ledger says, and what else of the take must change together with it.
pub struct Book {
    /// The ledger itself.
    pub ledger: LedgerWriter,
    /// Names of frames.
    pub marks: BTreeMap<String, u64>,
    /// Closed segments that are still there.
    pub closed: VecDeque<ClosedSpan>,
    /// The first frame that was not released.
    pub held_from_frame: u64,
    /// Set once the end mark is written.
    pub end: Option<EndMark>,
}

/// A closed segment and the frame of the take that it ends at.
pub struct ClosedSpan {
    /// The file.
    pub path: PathBuf,
    /// Its end in the take.
    pub end_frame: u64,
}

impl Book {
    /// Appends an entry durably.
    ///
    /// # Errors
    /// `Io`, for good.
    pub fn enter(&mut self, entry: Entry) -> Result<()> {
        self.ledger.append(&[entry])?;
        self.ledger.sync()
    }

    /// Notes that what ends at or before this frame goes. Returns the first frame still held, and what is to be unlinked.
    ///
    /// # Errors
    /// `Io`, for good.
    pub fn let_go(&mut self, before_frame: u64) -> Result<(u64, Vec<ClosedSpan>)> {
        let gone = self.closed.partition_point(|span| span.end_frame <= before_frame);
        let end_frame = gone.checked_sub(1).map_or(0, |last| self.closed[last].end_frame);
        if end_frame > self.held_from_frame {
            self.enter(Entry::Released { before_frame: end_frame })?;
            self.held_from_frame = end_frame;
        }
        Ok((self.held_from_frame, self.closed.drain(..gone).collect()))
    }
}

/// Locks; a panic elsewhere does not make the data less true than a crash would.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One part of a batch.
#[derive(Clone, Debug)]
pub enum Step {
    /// This many bytes of whole frames.
    Audio(usize),
    /// Missing frames.
    Missing(Command),
}

/// What does not change while a take is written.
#[derive(Clone)]
pub struct Place {
    /// The folder of the take.
    pub folder: PathBuf,
    /// What one frame looks like.
    pub format: PcmFormat,
    /// Frames after which a segment is full.
    pub segment_frames: u64,
    /// Whether blocks and files get sums.
    pub checksums: bool,
}

/// What the writing thread says while it waits for room, and what it is told meanwhile.
#[derive(Default)]
pub struct Waiting {
    /// It waits.
    pub is_full: AtomicBool,
    /// The end is wanted: there is nothing to wait for any more.
    pub is_ending: AtomicBool,
}

/// Writes batches.
pub struct Scribe {
    place: Place,
    folders: Folders,
    waiting: Arc<Waiting>,
    book: Arc<Mutex<Book>>,
    open: Option<Opened>,
    next_index: u64,
    durable_frame: u64,
    durable_bytes: u64,
    start_frame: u64,
    gap_frames: u64,
    faults: u32,
    closings: u64,
    broken_at_frame: Option<u64>,
}

/// A segment that the ledger says is open; none of it may exist when creating it failed.
struct Opened {
    index: u64,
    path: PathBuf,
    segment: Option<OpenSegment>,
    /// Frames in it that were reported durable; a close that failed halfway may have flushed more.
    reported_frames: u64,
}

/// A place in a batch.
#[derive(Clone, Copy, Default)]
struct Cursor {
    step: usize,
    bytes_into_step: usize,
    byte: usize,
    frame: u64,
    gap_frames: u64,
}

impl Scribe {
    /// Goes on at a frame, with a segment of this index next.
    pub fn new(
        place: Place,
        folders: Folders,
        waiting: Arc<Waiting>,
        book: Arc<Mutex<Book>>,
        start_frame: u64,
        next_index: u64,
    ) -> Self {
        Self {
            place,
            folders,
            waiting,
            book,
            open: None,
            next_index,
            durable_frame: start_frame,
            durable_bytes: 0,
            start_frame,
            gap_frames: 0,
            faults: 0,
            closings: 0,
            broken_at_frame: None,
        }
    }

    /// Every frame below is on disk or in a durable gap entry.
    pub fn durable_frame(&self) -> u64 {
        self.durable_frame
    }

    /// Bytes of audio made durable.
    pub fn durable_bytes(&self) -> u64 {
        self.durable_bytes
    }

    /// Whether the open segment lies in a spill folder.
    pub fn is_spilling(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.path.parent() != Some(&self.place.folder))
    }

    /// How many segments were closed.
    pub fn closings(&self) -> u64 {
        self.closings
    }

    /// Makes a batch durable. `offset_ns` is the boot time of frame 0.
    ///
    /// # Errors
    /// When writing has failed for good, and `NoRoom` when the end is wanted before there is room; what is durable then stands in
    /// [`durable_frame`](Self::durable_frame).
    pub fn write(&mut self, steps: &[Step], pcm: [&[u8]; 2], offset_ns: i64) -> Result<()> {
        self.enter_gaps(steps)?;
        let bytes = (pcm[0].len() + pcm[1].len()) as u64;
        let is_outgrown = |open: &Opened| !self.folders.fits(&open.path, bytes);
        if self.open.as_ref().is_some_and(is_outgrown) {
            self.close_segment(offset_ns)?;
        }
        let mut durable = Cursor { frame: self.durable_frame, ..Cursor::default() };
        while let Err(fault) = self.write_from(&mut durable, steps, pcm, offset_ns) {
            match fault {
                Error::NoRoom { .. } => self.wait_for_room(fault, bytes)?,
                fault => self.give_up_segment(fault, offset_ns)?,
            }
        }
        self.faults = 0;
        Ok(())
    }

    /// Closes the open segment.
    ///
    /// # Errors
    /// When writing has failed for good.
    pub fn close_segment(&mut self, offset_ns: i64) -> Result<()> {
        let frame = self.durable_frame;
        if let Err(fault) = self.close_segment_at(frame, offset_ns) {
            self.give_up_segment(fault, offset_ns)?;
        }
        Ok(())
    }

    /// Writes the end mark. What the inlet counted beyond the durable frames becomes a gap of this cause, and the end a kill.
    ///
    /// # Errors
    /// `Io`; `SegmentMismatch` when frames written and frames in gaps do not add up, which no end mark may hide.
    pub fn end(
        &mut self,
        reason: &str,
        end_frame: u64,
        earlier_gap_frames: u64,
        kill: Option<&str>,
    ) -> Result<EndMark> {
        let missing = end_frame.saturating_sub(self.durable_frame);
        let written = self.durable_bytes / self.place.format.frame_bytes() as u64;
        let accounted = self.start_frame + written + self.gap_frames + missing;
        if accounted != end_frame || (missing > 0 && kill.is_none()) {
            return Err(Error::mismatch(format!(
                "{}: {written} frames written and {} in gaps since frame {} do not make {end_frame}",
                self.place.folder.display(),
                self.gap_frames,
                self.start_frame,
            )));
        }
        let mark = EndMark {
            reason: reason.to_owned(),
            end_frame,
            gap_frames: earlier_gap_frames + self.gap_frames + missing,
            drained: kill.is_none(),
        };
        let mut book = lock(&self.book);
        if let Some(cause) = kill.filter(|_| missing > 0) {
            let gap = Gap {
                start_frame: self.durable_frame,
                frames: missing,
                cause: cause.to_owned(),
                uncertainty_frames: 0,
            };
            // Gap entries that the audio never reached are void from here.
            book.ledger.append(&[
                Entry::Resumed { frame: self.durable_frame, boot_id: crate::take::resume::boot_id() },
                Entry::Gap(gap),
            ])?;
        }
        book.enter(Entry::End(mark.clone()))?;
        book.end = Some(mark.clone());
        Ok(mark)
    }

    /// Before the audio behind them: without its entry a gap would silently shift what follows.
    fn enter_gaps(&mut self, steps: &[Step]) -> Result<()> {
        let gaps: Vec<Entry> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Missing(command) => Some(Entry::Gap(command.gap.clone())),
                Step::Audio(_) => None,
            })
            .collect();
        if gaps.is_empty() {
            return Ok(());
        }
        let mut book = lock(&self.book);
        book.ledger.append(&gaps)?;
        book.ledger.sync()
    }

    fn write_from(
        &mut self,
        durable: &mut Cursor,
        steps: &[Step],
        pcm: [&[u8]; 2],
        offset_ns: i64,
    ) -> Result<()> {
        let frame_bytes = self.place.format.frame_bytes();
        let mut at = *durable;
        while let Some(step) = steps.get(at.step) {
            match step {
                Step::Missing(command) => {
                    if command.breaks_segment && self.may_break_at(at.frame) {
                        self.close_segment_at(at.frame, offset_ns)?;
                        self.broken_at_frame = Some(at.frame);
                        self.reach(durable, at);
                    }
                    at.frame += command.gap.frames;
                    at.gap_frames += command.gap.frames;
                    at.step += 1;
                }
                Step::Audio(bytes) => {
                    let left = pcm[0].len() + pcm[1].len() - at.byte;
                    let segment = self.segment_at(at.frame, left as u64)?;
                    let room = usize::try_from(segment.room_bytes()).unwrap_or(usize::MAX);
                    let part = part(pcm, at.byte, room.min(bytes - at.bytes_into_step));
                    segment.append(part)?;
                    let is_full = segment.room_bytes() == 0;
                    at.byte += part.len();
                    at.bytes_into_step += part.len();
                    at.frame += (part.len() / frame_bytes) as u64;
                    if at.bytes_into_step == *bytes {
                        (at.step, at.bytes_into_step) = (at.step + 1, 0);
                    }
                    if is_full {
                        self.close_segment_at(at.frame, offset_ns)?;
                        self.reach(durable, at);
                    }
                }
            }
        }
        let boottime_ns = self.boottime_of(at.frame, offset_ns);
        if let Some(segment) = self.open.as_mut().and_then(|open| open.segment.as_mut()) {
            segment.flush(boottime_ns)?;
        }
        self.reach(durable, at);
        Ok(())
    }

    fn reach(&mut self, durable: &mut Cursor, at: Cursor) {
        self.durable_frame = at.frame;
        self.durable_bytes += (at.byte - durable.byte) as u64;
        self.gap_frames += at.gap_frames - durable.gap_frames;
        *durable = at;
        if let Some(Opened { segment: Some(segment), reported_frames, .. }) = &mut self.open {
            *reported_frames = segment.flushed_frames();
        }
    }

    fn may_break_at(&self, frame: u64) -> bool {
        let apart = self.place.segment_frames / BREAKS_PER_SEGMENT;
        self.broken_at_frame.is_none_or(|last| frame.saturating_sub(last) >= apart)
    }

    /// Nothing is open meanwhile, and the batch stays in the ring.
    fn wait_for_room(&mut self, fault: Error, bytes: u64) -> Result<()> {
        self.waiting.is_full.store(true, Ordering::Release);
        let outcome = loop {
            match self.folders.choose(bytes) {
                Ok(_) => break Ok(()),
                Err(Error::NoRoom { .. }) if self.waiting.is_ending.load(Ordering::Acquire) => {
                    break Err(fault);
                }
                Err(Error::NoRoom { .. }) => thread::sleep(ROOM_LOOK),
                Err(other) => break Err(other),
            }
        };
        // When the end is wanted it stays full for whoever looks.
        self.waiting.is_full.store(outcome.is_err(), Ordering::Release);
        outcome
    }

    fn segment_at(&mut self, start_frame: u64, bytes: u64) -> Result<&mut OpenSegment> {
        if self.open.is_none() {
            let index = self.next_index;
            let name = segment_name(index, start_frame);
            let folder = self.folders.choose(bytes)?;
            let path = folder.join(&name);
            let file = if folder == self.place.folder { name } else { path.to_string_lossy().into_owned() };
            // First the entry: a file is never without one. It says nothing about frames.
            lock(&self.book).enter(Entry::SegmentOpened { index, start_frame, file })?;
            self.next_index += 1;
            let opened = Opened { index, path: path.clone(), segment: None, reported_frames: 0 };
            let open = self.open.insert(opened);
            let Place { format, segment_frames, checksums, .. } = self.place;
            open.segment = Some(OpenSegment::create(path, format, segment_frames, checksums)?);
        }
        self.open.as_mut().and_then(|open| open.segment.as_mut()).ok_or_else(|| {
            Error::mismatch(format!(
                "{}: a segment that was given up is still open",
                self.place.folder.display()
            ))
        })
    }

    fn close_segment_at(&mut self, end_frame: u64, offset_ns: i64) -> Result<()> {
        let boottime_ns = self.boottime_of(end_frame, offset_ns);
        let Some(Opened { index, path, segment: Some(segment), .. }) = &mut self.open else { return Ok(()) };
        let (index, path) = (*index, path.clone());
        segment.flush(boottime_ns)?;
        let closed = segment.close()?;
        lock(&self.book).enter(Entry::SegmentClosed {
            index,
            frames: closed.frames,
            bytes: closed.bytes,
            sha256: closed.sha256,
            boottime_ns,
            torn: None,
        })?;
        self.open = None;
        self.closings += 1;
        self.folders.note_success(&path);
        // Sums that stay do no harm: the closing outranks them, and they go when the segment is released.
        let _ = forget_sums(&path);
        lock(&self.book).closed.push_back(ClosedSpan { path, end_frame });
        Ok(())
    }

    /// Leaves a segment as it is: what was flushed stays good, and the ledger says that the rest does not count.
    fn give_up_segment(&mut self, fault: Error, offset_ns: i64) -> Result<()> {
        // Also when the ledger cannot say so any more: nobody may sync this file again.
        let given_up = self.open.take();
        if lock(&self.book).ledger.has_failed() {
            return Err(fault);
        }
        let is_full = given_up.as_ref().is_some_and(|opened| self.folders.note_fault(&opened.path, &fault));
        // A full disk is waited for, however often it says so.
        self.faults += u32::from(!is_full);
        if let Some(Opened { index, path, reported_frames: frames, .. }) = given_up {
            let bytes = frames * self.place.format.frame_bytes() as u64;
            let boottime_ns = self.boottime_of(self.durable_frame, offset_ns);
            let mut book = lock(&self.book);
            book.enter(Entry::SegmentClosed {
                index,
                frames,
                bytes: DATA_OFFSET + bytes,
                sha256: None,
                boottime_ns,
                torn: Some(fault.to_string()),
            })?;
            book.closed.push_back(ClosedSpan { path, end_frame: self.durable_frame });
        }
        if self.faults >= MOST_FAULTS { Err(fault) } else { Ok(()) }
    }

    fn boottime_of(&self, frame: u64, offset_ns: i64) -> i64 {
        offset_ns.saturating_add(frames_to_ns(frame, self.place.format.sample_rate_hz()))
    }
}

/// At most `bytes` from `start` on that lie together; the ring wraps between its two parts.
fn part(pcm: [&[u8]; 2], start: usize, bytes: usize) -> &[u8] {
    let [first, second] = pcm;
    if start < first.len() {
        &first[start..first.len().min(start + bytes)]
    } else {
        let start = start - first.len();
        &second[start..start + bytes]
    }
}

/// Unlinks a released segment, with the sums of one that was given up.
///
/// # Errors
/// `Io`.
pub fn unlink_segment(path: &Path) -> Result<()> {
    forget_sums(path)?;
    match std::fs::remove_file(path) {
        Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(fault)),
        _ => Ok(()),
    }
}
