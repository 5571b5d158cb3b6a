//! The writer of a take: an inlet for whoever captures, and a thread that makes durable what came in.
//!
//! The thread looks at the ring once a flush interval and when the ring fills; nothing else wakes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::growth::{Growth, GrowthGuard};
use crate::ledger::{ClockPair, EndMark, Entry, LEDGER_VERSION, LedgerWriter, Tear};
use crate::pcm::PcmFormat;
use crate::segment::sync_folder;
use crate::take::drawing::{Drawing, WAVEFORM_NAME};
use crate::take::folders::Folders;
use crate::take::inlet::{DISK_FULL, Inlet, Outlet, RING_FULL, check_cause};
use crate::take::resume::{Recovered, boot_id};
use crate::take::scribe::{
    Book, DRAIN_LIMIT, Place, Scribe, Step, WRITE_ERROR, Waiting, lock, unlink_segment,
};

/// How a take is written.
#[derive(Clone, Debug)]
pub struct TakeOptions {
    /// Time after which what came in is durable, but for the sync itself.
    pub flush_interval: Duration,
    /// Length of a full segment.
    pub segment_seconds: u32,
    /// What the ring holds while the disk stands still.
    pub ring_seconds: u32,
    /// Whether `waveform.dat` is drawn.
    pub waveform: bool,
    /// Whether flushes and segments get sums.
    pub checksums: bool,
    /// Where segments go when they cannot be written in the take's folder, in this order; absolute.
    pub spill_folders: Vec<PathBuf>,
    /// What audio leaves free in each of these folders, less on a small disk. The reserve itself is the caller's to keep.
    pub reserve_bytes: u64,
}

impl Default for TakeOptions {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_millis(500),
            segment_seconds: 60,
            ring_seconds: 10,
            waveform: true,
            checksums: true,
            spill_folders: Vec::new(),
            reserve_bytes: 0,
        }
    }
}

/// Whether audio finds a place on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Usable,
    /// No folder has room: what comes in waits in the ring, then it is a gap, until there is room again.
    Full,
    /// Writing has failed for good.
    Failing,
}

impl Standing {
    /// The word used in Python and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Full => "full",
            Self::Failing => "failing",
        }
    }
}

impl TakeOptions {
    pub(super) fn check(&self, format: PcmFormat) -> Result<()> {
        let is_sound = !self.flush_interval.is_zero() && self.segment_seconds > 0 && self.ring_seconds > 0;
        if !is_sound {
            return Err(Error::invalid(
                "flush interval, segment length and ring must be longer than nothing",
            ));
        }
        let second_bytes = u64::from(format.sample_rate_hz()) * format.frame_bytes() as u64;
        let ring_bytes = u64::from(self.ring_seconds) * second_bytes;
        if ring_bytes > MOST_RING_BYTES {
            return Err(Error::invalid(format!(
                "a ring of {} seconds takes {ring_bytes} bytes; {MOST_RING_BYTES} can be had",
                self.ring_seconds
            )));
        }
        if let Some(odd) =
            self.spill_folders.iter().find(|spill| !spill.is_absolute() || spill.to_str().is_none())
        {
            return Err(Error::invalid(format!("{}: a spill folder is an absolute path", odd.display())));
        }
        check_memory(ring_bytes)
    }
}

/// An allocation that fails later would end the process.
fn check_memory(ring_bytes: u64) -> Result<()> {
    let bytes = usize::try_from(ring_bytes).unwrap_or(usize::MAX);
    Vec::<u8>::new().try_reserve_exact(bytes).map_err(|_| Error::Io {
        action: "find memory for",
        path: format!("a ring of {ring_bytes} bytes").into(),
        source: std::io::ErrorKind::OutOfMemory.into(),
    })
}

/// Twenty seconds of the widest format.
const MOST_RING_BYTES: u64 = 2 << 30;

/// Writes one take. Shared freely between threads; all methods but [`close`](Self::close) and those that enter something into
/// the ledger return at once.
///
/// On disk after a crash at any moment: everything below the last durable frame. Dropping a writer makes durable what came in
/// and writes no end mark, as a crash would.
pub struct TakeWriter {
    folder: PathBuf,
    format: PcmFormat,
    inlet: Mutex<Entrance>,
    shared: Arc<Shared>,
    thread: Thread,
    ended: Mutex<Option<EndMark>>,
}

struct Entrance {
    inlet: Inlet,
    is_closed: bool,
}

/// What the writer and its thread both look at.
struct Shared {
    book: Arc<Mutex<Book>>,
    durable_frame: AtomicU64,
    durable_bytes: AtomicU64,
    offset_ns: AtomicI64,
    has_failed: AtomicBool,
    failed_for_room: AtomicBool,
    waiting: Arc<Waiting>,
    fault: Mutex<Option<String>>,
    growth: Mutex<GrowthGuard>,
    began: Instant,
    phase: Mutex<Phase>,
    phase_changed: Condvar,
}

enum Phase {
    Writing,
    /// The end is wanted: with a mark of this reason, or without one.
    Ending {
        reason: Option<String>,
        end_frame: u64,
        has_run_out: bool,
    },
    Ended(Result<Option<EndMark>>),
}

const QUIET_AFTER_SECONDS: f64 = 1.0;
const STALLED_AFTER_SECONDS: f64 = 3.0;
/// An instant so far ahead still exists.
const LONGEST_DRAIN: Duration = Duration::from_secs(365 * 86_400);
const DROP_LIMIT: Duration = Duration::from_secs(6);
/// The uncertainty of a break that nobody measured but the clock map.
const BREAKS_PER_SECOND: u64 = 100;

impl TakeWriter {
    /// Begins a take in a folder that must not exist. `facts` stay in the first entry of the ledger.
    ///
    /// # Errors
    /// `Io`, `InvalidArgument`; `NoRoom` when no folder has room, so that nothing is begun that records nothing.
    pub fn create(
        folder: &Path,
        format: PcmFormat,
        facts: serde_json::Map<String, serde_json::Value>,
        options: TakeOptions,
    ) -> Result<Self> {
        options.check(format)?;
        let mut folders = Folders::new(folder, &options.spill_folders, options.reserve_bytes);
        folders.check_start()?;
        std::fs::create_dir(folder).map_err(Error::io("create", folder))?;
        let mut book = Book {
            ledger: LedgerWriter::create(folder)?,
            marks: Default::default(),
            closed: Default::default(),
            held_from_frame: 0,
            end: None,
        };
        book.enter(Entry::Take { version: LEDGER_VERSION, format, facts, boot_id: boot_id() })?;
        let drawing = options.waveform.then(|| Drawing::create(folder, format));
        let drawing = drawing.map_or(Ok(None), |drawing| drawing_or_tear(drawing, &mut book))?;
        sync_folder(folder)?;
        if let Some(parent) = folder.canonicalize().map_err(Error::io("find", folder))?.parent() {
            sync_folder(parent)?;
        }
        let (inlet, outlet) = Inlet::new(format, options.ring_seconds, 0);
        let start = Start { start_frame: 0, next_index: 0, gap_frames: 0, drawing, folders };
        Self::start(folder, format, options, book, inlet, outlet, start)
    }

    /// Goes on after a crash, in a new segment; only under the caller's lock on the folder. The time up to the first push
    /// becomes a gap of this cause. After a restart of the machine that is measured only if a clock pair is noted before
    /// the first push and there was one in the ledger; else the gap is listed with 0 frames.
    ///
    /// # Errors
    /// `TakeClosed` when there is an end mark, `CorruptSegment` when the ledger is damaged before its end, `Io`.
    pub fn resume(folder: &Path, cause: &str, options: TakeOptions) -> Result<Self> {
        check_cause(cause)?;
        let Recovered { take, mut book, next_index, gap_frames, instant, utc } =
            Recovered::from(folder, &options)?;
        let (format, start_frame) = (take.format(), take.durable_frame());
        let (mut inlet, outlet) = Inlet::new(format, options.ring_seconds, start_frame);
        if let Some((frame, boottime_ns)) = instant {
            inlet.seed_boottime(frame, boottime_ns);
        } else if let Some((frame, utc_ns)) = utc {
            inlet.seed_utc(frame, utc_ns);
        }
        if start_frame > 0 || instant.or(utc).is_some() {
            let flush_ms = options.flush_interval.as_millis() as u64;
            let flush_frames = flush_ms.saturating_mul(u64::from(format.sample_rate_hz())) / 1_000;
            inlet.interrupted(cause, flush_frames)?;
        }
        let drawing = options.waveform.then(|| Drawing::resume(folder, &take));
        let drawing = drawing.map_or(Ok(None), |drawing| drawing_or_tear(drawing, &mut book))?;
        let mut folders = Folders::new(folder, &options.spill_folders, options.reserve_bytes);
        take.segments().iter().for_each(|segment| folders.note_named(&folder.join(&segment.file)));
        let start = Start { start_frame, next_index, gap_frames, drawing, folders };
        Self::start(folder, format, options, book, inlet, outlet, start)
    }

    /// What one frame looks like.
    pub fn format(&self) -> PcmFormat {
        self.format
    }

    /// Appends whole frames, the first captured at `boottime_ns`. Never waits for the disk: what a full ring refuses becomes a
    /// gap of exactly that length. Returns the frames taken.
    ///
    /// # Errors
    /// `TakeClosed` after close, `WritingFailed` once writing has failed for good, `InvalidArgument` for a part of a frame.
    pub fn push(&self, pcm: &[u8], boottime_ns: i64) -> Result<u64> {
        if self.shared.has_failed.load(Ordering::Acquire) {
            return Err(self.writing_failed());
        }
        let mut entrance = self.open_entrance()?;
        let is_full = self.shared.waiting.is_full.load(Ordering::Relaxed);
        let taken = entrance.inlet.push(pcm, boottime_ns, if is_full { DISK_FULL } else { RING_FULL })?;
        if let Some(offset_ns) = entrance.inlet.offset_ns() {
            self.shared.offset_ns.store(offset_ns, Ordering::Relaxed);
        }
        if entrance.inlet.is_filled_beyond(RING_PART) {
            self.thread.unpark();
        }
        Ok(taken)
    }

    /// Notes that the device dropped frames at this point of the stream.
    ///
    /// # Errors
    /// `TakeClosed`; `InvalidArgument` for more frames than a take can have, or a cause beyond 64 bytes.
    pub fn lost(&self, frames: u64, cause: &str, uncertainty_frames: u64) -> Result<()> {
        self.open_entrance()?.inlet.lost(frames, cause, uncertainty_frames)
    }

    /// Notes that the stream broke. The gap up to the next push is measured by the clock map, to 10 ms; a new segment begins there.
    ///
    /// # Errors
    /// `TakeClosed`; `InvalidArgument` for a cause beyond 64 bytes.
    pub fn interrupted(&self, cause: &str) -> Result<()> {
        let uncertainty_frames = u64::from(self.format.sample_rate_hz()) / BREAKS_PER_SECOND;
        self.open_entrance()?.inlet.interrupted(cause, uncertainty_frames)
    }

    /// The frame that the next push begins at, gaps counted.
    pub fn next_frame(&self) -> u64 {
        lock(&self.inlet).inlet.next_frame()
    }

    /// Every frame below is on disk or in a durable gap entry.
    pub fn durable_frame(&self) -> u64 {
        self.shared.durable_frame.load(Ordering::Acquire)
    }

    /// Bytes of audio that this writer made durable.
    pub fn durable_bytes(&self) -> u64 {
        self.shared.durable_bytes.load(Ordering::Acquire)
    }

    /// Whether the take grows as it should.
    pub fn growth(&self) -> Growth {
        self.shared.observe_growth()
    }

    /// Whether what comes in finds a place on disk.
    pub fn standing(&self) -> Standing {
        let shared = &self.shared;
        if shared.waiting.is_full.load(Ordering::Acquire) || shared.failed_for_room.load(Ordering::Acquire) {
            Standing::Full
        } else if shared.has_failed.load(Ordering::Acquire) {
            Standing::Failing
        } else {
            Standing::Usable
        }
    }

    /// Why writing failed for good.
    pub fn fault(&self) -> Option<String> {
        lock(&self.shared.fault).clone()
    }

    /// The frame captured at an instant by the clock map; extrapolates, never below 0.
    pub fn frame_at(&self, boottime_ns: i64) -> u64 {
        lock(&self.inlet).inlet.frame_at(boottime_ns)
    }

    /// Binds a name to a frame, durable on return. A bound name keeps, and gives, its first frame.
    ///
    /// # Errors
    /// `Io`; `TakeClosed` for a new name after the end mark.
    pub fn mark(&self, key: &str, frame: u64) -> Result<u64> {
        let mut book = lock(&self.shared.book);
        if let Some(bound) = book.marks.get(key) {
            return Ok(*bound);
        }
        self.check_open(&book)?;
        book.enter(Entry::Mark { key: key.to_owned(), frame })?;
        book.marks.insert(key.to_owned(), frame);
        Ok(frame)
    }

    /// Puts what two clocks say at one instant into the ledger, with the frame captured then.
    ///
    /// # Errors
    /// `Io`, `TakeClosed`.
    pub fn note_clock(&self, boottime_ns: i64, utc_ns: i64) -> Result<()> {
        let frame = {
            let mut entrance = self.open_entrance()?;
            entrance.inlet.note_clock(boottime_ns, utc_ns);
            entrance.inlet.frame_at(boottime_ns)
        };
        let mut book = lock(&self.shared.book);
        self.check_open(&book)?;
        book.enter(Entry::Clock(ClockPair { frame, boottime_ns, utc_ns }))
    }

    /// Unlinks closed segments that end at or before this frame, after an entry in the ledger. Returns the first frame still held.
    ///
    /// # Errors
    /// `TakeClosed`; `Io`, also when a file could not be unlinked: the others are, and the next call or resume tries again.
    pub fn release(&self, before_frame: u64) -> Result<u64> {
        let (held_from_frame, gone) = {
            let mut book = lock(&self.shared.book);
            self.check_open(&book)?;
            book.let_go(before_frame)?
        };
        // Without the book, since the thread needs it while it writes: unlinking hours takes seconds.
        let mut faults = Vec::new();
        for span in gone {
            if let Err(fault) = unlink_segment(&span.path) {
                faults.push((span, fault));
            }
        }
        let mut outcome = Ok(held_from_frame);
        for (span, fault) in faults.into_iter().rev() {
            lock(&self.shared.book).closed.push_front(span);
            outcome = Err(fault);
        }
        outcome
    }

    /// Drains the ring, makes it durable, writes the end mark. A second call gives the same mark.
    ///
    /// Past `drain_limit` the mark says that the end is a kill; the thread writes it as such as soon as the disk answers.
    ///
    /// # Errors
    /// `WritingFailed` when not even the end mark could be written: then there is none.
    pub fn close(&self, reason: &str, drain_limit: Duration) -> Result<EndMark> {
        let mut ended = lock(&self.ended);
        if let Some(mark) = &*ended {
            return Ok(mark.clone());
        }
        let deadline = Instant::now() + drain_limit.min(LONGEST_DRAIN);
        let (end_frame, gap_frames) = self.shut_entrance(deadline);
        let mark = match self.wait_for_end(Some(reason), end_frame, deadline) {
            Some(Ok(Some(mark))) => mark,
            Some(Ok(None)) => return Err(self.writing_failed()),
            Some(Err(fault)) => return Err(fault),
            None => {
                let missing = end_frame.saturating_sub(self.durable_frame());
                EndMark {
                    reason: reason.to_owned(),
                    end_frame,
                    gap_frames: gap_frames + missing,
                    drained: false,
                }
            }
        };
        *ended = Some(mark.clone());
        Ok(mark)
    }

    fn start(
        folder: &Path,
        format: PcmFormat,
        options: TakeOptions,
        book: Book,
        inlet: Inlet,
        outlet: Outlet,
        start: Start,
    ) -> Result<Self> {
        let book = Arc::new(Mutex::new(book));
        let place = Place {
            folder: folder.to_path_buf(),
            format,
            segment_frames: u64::from(options.segment_seconds) * u64::from(format.sample_rate_hz()),
            checksums: options.checksums,
        };
        let waiting = Arc::new(Waiting::default());
        let shared = Arc::new(Shared {
            book: Arc::clone(&book),
            durable_frame: AtomicU64::new(start.start_frame),
            durable_bytes: AtomicU64::new(0),
            offset_ns: AtomicI64::new(inlet.offset_ns().unwrap_or(0)),
            has_failed: AtomicBool::new(false),
            failed_for_room: AtomicBool::new(false),
            waiting: Arc::clone(&waiting),
            fault: Mutex::new(None),
            growth: Mutex::new(GrowthGuard::new(QUIET_AFTER_SECONDS, STALLED_AFTER_SECONDS)),
            began: Instant::now(),
            phase: Mutex::new(Phase::Writing),
            phase_changed: Condvar::new(),
        });
        let pen = Pen {
            scribe: Scribe::new(place, start.folders, waiting, book, start.start_frame, start.next_index),
            outlet,
            shared: Arc::clone(&shared),
            drawing: start.drawing,
            frame_bytes: format.frame_bytes(),
            flush_interval: options.flush_interval,
            read_bytes: 0,
            earlier_gap_frames: start.gap_frames,
        };
        let handle = thread::Builder::new()
            .name("take-writer".into())
            .spawn(move || pen.run())
            .map_err(Error::io("start the writer of", folder))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            format,
            inlet: Mutex::new(Entrance { inlet, is_closed: false }),
            shared,
            thread: handle.thread().clone(),
            ended: Mutex::new(None),
        })
    }

    fn open_entrance(&self) -> Result<std::sync::MutexGuard<'_, Entrance>> {
        let entrance = lock(&self.inlet);
        if entrance.is_closed {
            return Err(self.take_closed("the writer was closed"));
        }
        Ok(entrance)
    }

    /// After this nothing comes in. What waits beside a full command ring goes in as the thread makes room.
    fn shut_entrance(&self, deadline: Instant) -> (u64, u64) {
        loop {
            let mut entrance = lock(&self.inlet);
            entrance.is_closed = true;
            let is_handed_on = entrance.inlet.hand_on_pending();
            let frames = (entrance.inlet.next_frame(), entrance.inlet.gap_frames());
            drop(entrance);
            if is_handed_on || Instant::now() >= deadline {
                return frames;
            }
            self.thread.unpark();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// None past the deadline.
    fn wait_for_end(
        &self,
        reason: Option<&str>,
        end_frame: u64,
        deadline: Instant,
    ) -> Option<Result<Option<EndMark>>> {
        let mut phase = lock(&self.shared.phase);
        if matches!(*phase, Phase::Writing) {
            *phase = Phase::Ending { reason: reason.map(str::to_owned), end_frame, has_run_out: false };
            self.shared.waiting.is_ending.store(true, Ordering::Release);
            self.shared.phase_changed.notify_all();
        }
        self.thread.unpark();
        loop {
            if matches!(*phase, Phase::Ended(_)) {
                let Phase::Ended(outcome) = std::mem::replace(&mut *phase, Phase::Ended(Ok(None))) else {
                    return None;
                };
                return Some(outcome);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if let Phase::Ending { has_run_out, .. } = &mut *phase {
                    *has_run_out = true;
                }
                return None;
            }
            let waited = self.shared.phase_changed.wait_timeout(phase, left);
            phase = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    fn check_open(&self, book: &Book) -> Result<()> {
        match &book.end {
            Some(end) => Err(self.take_closed(&end.reason)),
            None => Ok(()),
        }
    }

    fn take_closed(&self, reason: &str) -> Error {
        Error::TakeClosed { folder: self.folder.clone(), reason: reason.to_owned() }
    }

    fn writing_failed(&self) -> Error {
        let reason = self.fault().unwrap_or_else(|| "the end mark could not be written".into());
        Error::WritingFailed { folder: self.folder.clone(), reason }
    }
}

impl Drop for TakeWriter {
    fn drop(&mut self) {
        if lock(&self.ended).is_none() {
            let deadline = Instant::now() + DROP_LIMIT;
            let (end_frame, _) = self.shut_entrance(deadline);
            self.wait_for_end(None, end_frame, deadline);
        }
    }
}

struct Start {
    start_frame: u64,
    next_index: u64,
    gap_frames: u64,
    drawing: Option<Drawing>,
    folders: Folders,
}

impl Shared {
    fn observe_growth(&self) -> Growth {
        let bytes = self.durable_bytes.load(Ordering::Acquire);
        lock(&self.growth).observe(self.began.elapsed().as_secs_f64(), bytes)
    }
}

/// More than one part in so many of the ring filled wakes the thread early.
const RING_PART: usize = 4;

/// The thread's side.
struct Pen {
    scribe: Scribe,
    outlet: Outlet,
    shared: Arc<Shared>,
    drawing: Option<Drawing>,
    frame_bytes: usize,
    flush_interval: Duration,
    /// Bytes that left the ring.
    read_bytes: u64,
    earlier_gap_frames: u64,
}

impl Pen {
    fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.write_until_end())).unwrap_or_else(|_| {
            Err(Error::mismatch(
                "the writer's thread came upon a state that must not be; its panic is on standard error",
            ))
        });
        if let Err(fault) = &outcome {
            *lock(&self.shared.fault) = Some(fault.to_string());
            self.shared.failed_for_room.store(fault.is_no_room(), Ordering::Release);
            self.shared.has_failed.store(true, Ordering::Release);
        }
        let failure = outcome.err().map(|fault| if fault.is_no_room() { DISK_FULL } else { WRITE_ERROR });
        let (reason, end_frame) = self.wait_for_ending();
        let ended = match reason {
            Some(reason) => self.end(&reason, end_frame, failure).map(Some),
            None => Ok(None),
        };
        *lock(&self.shared.phase) = Phase::Ended(ended);
        self.shared.phase_changed.notify_all();
    }

    fn write_until_end(&mut self) -> Result<()> {
        let mut next_flush = Instant::now() + self.flush_interval;
        loop {
            // Asked before the ring is read, so that everything pushed before the end was wanted is seen.
            let is_ending = !matches!(*lock(&self.shared.phase), Phase::Writing);
            let now = Instant::now();
            let bytes = self.outlet.audio.slots() / self.frame_bytes * self.frame_bytes;
            if is_ending || now >= next_flush || self.is_ring_filling() {
                self.flush(bytes)?;
                next_flush = now + self.flush_interval;
            }
            if is_ending {
                return Ok(());
            }
            thread::park_timeout(next_flush.saturating_duration_since(Instant::now()));
        }
    }

    fn is_ring_filling(&self) -> bool {
        self.outlet.audio.slots() > self.outlet.audio.buffer().capacity() / RING_PART
    }

    /// Takes what was in the ring; what came in since is for the next time.
    fn flush(&mut self, bytes: usize) -> Result<()> {
        // The commands after the audio was looked at: see `inlet`.
        let steps = self.steps(bytes);
        if steps.is_empty() {
            self.shared.observe_growth();
            return Ok(());
        }
        let offset_ns = self.shared.offset_ns.load(Ordering::Relaxed);
        let closings = self.scribe.closings();
        let Ok(chunk) = self.outlet.audio.read_chunk(bytes) else { return Ok(()) };
        let (first, second) = chunk.as_slices();
        let written = self.scribe.write(&steps, [first, second], offset_ns);
        let is_written = written.is_ok();
        let drawn = self.drawing.as_mut().filter(|_| is_written);
        let drawn = drawn.map(|drawing| draw(drawing, &steps, [first, second]));
        if is_written {
            // Before it is called durable, and before the drawing waits for the disk: what is durable holds no room.
            chunk.commit_all();
            self.read_bytes += bytes as u64;
        }
        self.shared.durable_bytes.store(self.scribe.durable_bytes(), Ordering::Release);
        self.shared.durable_frame.store(self.scribe.durable_frame(), Ordering::Release);
        self.shared.observe_growth();
        written?;
        let must_last = self.scribe.closings() > closings || self.scribe.is_spilling();
        self.keep_drawing(drawn, must_last)
    }

    fn keep_drawing(&mut self, drawn: Option<Result<()>>, must_last: bool) -> Result<()> {
        let Some((drawing, drawn)) = self.drawing.as_mut().zip(drawn) else { return Ok(()) };
        if let Err(fault) = drawn.and_then(|()| keep(drawing, must_last)) {
            self.drawing = None;
            note_drawing_fault(&mut lock(&self.shared.book), &fault)?;
        }
        Ok(())
    }

    /// What lies in the ring, in order.
    fn steps(&mut self, bytes: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut done = 0;
        while let Ok(command) = self.outlet.commands.peek() {
            let at = usize::try_from(command.at_byte - self.read_bytes).unwrap_or(usize::MAX);
            if at > bytes {
                break;
            }
            if at > done {
                steps.push(Step::Audio(at - done));
                done = at;
            }
            if let Ok(command) = self.outlet.commands.pop() {
                steps.push(Step::Missing(command));
            }
        }
        if bytes > done {
            steps.push(Step::Audio(bytes - done));
        }
        steps
    }

    fn wait_for_ending(&self) -> (Option<String>, u64) {
        let mut phase = lock(&self.shared.phase);
        loop {
            if let Phase::Ending { reason, end_frame, .. } = &*phase {
                return (reason.clone(), *end_frame);
            }
            let waited = self.shared.phase_changed.wait(phase);
            phase = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn end(&mut self, reason: &str, end_frame: u64, failure: Option<&str>) -> Result<EndMark> {
        let offset_ns = self.shared.offset_ns.load(Ordering::Relaxed);
        self.scribe.close_segment(offset_ns)?;
        if let Some(drawing) = self.drawing.take()
            && let Err(fault) = drawing.finish()
        {
            note_drawing_fault(&mut lock(&self.shared.book), &fault)?;
        }
        // Asked last: closing a segment on a slow disk may take what was left of the time.
        let has_run_out = matches!(&*lock(&self.shared.phase), Phase::Ending { has_run_out: true, .. });
        let kill = failure.or(has_run_out.then_some(DRAIN_LIMIT));
        self.scribe.end(reason, end_frame, self.earlier_gap_frames, kill)
    }
}

fn draw(drawing: &mut Drawing, steps: &[Step], pcm: [&[u8]; 2]) -> Result<()> {
    let mut byte = 0;
    for step in steps {
        match step {
            Step::Missing(command) => drawing.push_silence(command.gap.frames)?,
            Step::Audio(bytes) => {
                let end = byte + bytes;
                let split = pcm[0].len();
                drawing.push(&pcm[0][byte.min(split)..end.min(split)]);
                drawing.push(&pcm[1][byte.saturating_sub(split)..end.saturating_sub(split)]);
                byte = end;
            }
        }
    }
    Ok(())
}

fn keep(drawing: &mut Drawing, must_last: bool) -> Result<()> {
    drawing.save()?;
    if must_last { drawing.sync() } else { Ok(()) }
}

fn drawing_or_tear(drawing: Result<Drawing>, book: &mut Book) -> Result<Option<Drawing>> {
    match drawing {
        Ok(drawing) => Ok(Some(drawing)),
        Err(fault) => note_drawing_fault(book, &fault).map(|()| None),
    }
}

/// The waveform is derived: the take goes on without it, and the ledger says so.
fn note_drawing_fault(book: &mut Book, fault: &Error) -> Result<()> {
    let tear = Tear { file: WAVEFORM_NAME.into(), byte: 0, reason: fault.to_string() };
    book.enter(Entry::Torn(tear))
}
