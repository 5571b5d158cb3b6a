//! Where audio enters: one timeline, one ring, never a wait.
//!
//! What is not audio (gaps, breaks) travels beside it in a second ring, keyed by the byte of the stream that it stands before.
//! Whoever reads must look at the audio first and at the commands second: then no audio behind a command is seen without it.

use rtrb::{Consumer, Producer, RingBuffer};

use crate::error::{Error, Result};
use crate::ledger::{Gap, MOST_FRAMES};
use crate::pcm::PcmFormat;
use crate::take::clock_map::ClockMap;

/// A full ring's cause of a gap.
pub const RING_FULL: &str = "ring_full";

/// The cause of a gap that began while no folder had room.
pub const DISK_FULL: &str = "disk_full";

/// Frames that are missing at a point of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Bytes of audio before it, since the writer began.
    pub at_byte: u64,
    /// What is missing.
    pub gap: Gap,
    /// Whether what follows begins a new segment.
    pub breaks_segment: bool,
}

/// The reading end of both rings.
pub struct Outlet {
    /// The audio.
    pub audio: Consumer<u8>,
    /// What stands between it.
    pub commands: Consumer<Command>,
}

/// The writing end.
pub struct Inlet {
    format: PcmFormat,
    audio: Producer<u8>,
    commands: Producer<Command>,
    pushed_bytes: u64,
    next_frame: u64,
    gap_frames: u64,
    pending: Option<Command>,
    broken: Option<Break>,
    clock: ClockMap,
    known_utc: Option<(u64, i64)>,
}

/// The stream broke; how long, the next push tells.
struct Break {
    cause: String,
    uncertainty_frames: u64,
}

/// # Errors
/// `InvalidArgument` unless a cause is one short word: a ledger line must hold many of them.
pub fn check_cause(cause: &str) -> Result<()> {
    const MOST_BYTES: usize = 64;
    if cause.len() > MOST_BYTES {
        return Err(Error::invalid(format!("a cause of {} bytes; use at most {MOST_BYTES}", cause.len())));
    }
    Ok(())
}

/// Gaps that can wait to be written; more of them than this and they flow together.
const MOST_COMMANDS: usize = 4_096;

impl Inlet {
    /// Both ends for a stream that begins at this frame.
    pub fn new(format: PcmFormat, ring_seconds: u32, next_frame: u64) -> (Self, Outlet) {
        let ring_frames = ring_seconds as usize * format.sample_rate_hz() as usize;
        let (audio, audio_out) = RingBuffer::new(ring_frames * format.frame_bytes());
        let (commands, commands_out) = RingBuffer::new(MOST_COMMANDS);
        let inlet = Self {
            format,
            audio,
            commands,
            pushed_bytes: 0,
            next_frame,
            gap_frames: 0,
            pending: None,
            broken: None,
            clock: ClockMap::new(format.sample_rate_hz()),
            known_utc: None,
        };
        (inlet, Outlet { audio: audio_out, commands: commands_out })
    }

    /// Takes whole frames, the first captured at `boottime_ns`. Returns how many found room; the rest is a gap, for `why_full`.
    ///
    /// # Errors
    /// `InvalidArgument` when the last frame is not whole.
    pub fn push(&mut self, pcm: &[u8], boottime_ns: i64, why_full: &str) -> Result<u64> {
        let frames = self.format.frames_in(pcm)? as u64;
        if frames == 0 {
            return Ok(0);
        }
        if let Some(broken) = self.broken.take() {
            let resumed_at = self.clock.frame_at(boottime_ns).unwrap_or(self.next_frame).min(MOST_FRAMES);
            let missing = resumed_at.saturating_sub(self.next_frame);
            self.add_gap(missing, &broken.cause, broken.uncertainty_frames, true);
        }
        self.clock.observe(self.next_frame, boottime_ns);
        let taken = self.take(pcm);
        if taken < frames {
            self.add_gap(frames - taken, why_full, 0, false);
        }
        Ok(taken)
    }

    /// Notes frames that the device dropped at this point.
    ///
    /// # Errors
    /// `InvalidArgument` for more frames than a take can have, and as [`check_cause`].
    pub fn lost(&mut self, frames: u64, cause: &str, uncertainty_frames: u64) -> Result<()> {
        check_cause(cause)?;
        if frames > MOST_FRAMES.saturating_sub(self.next_frame) {
            return Err(Error::invalid(format!("{frames} lost frames are more than a take can have")));
        }
        if frames > 0 {
            self.add_gap(frames, cause, uncertainty_frames, false);
            self.hand_on_pending();
        }
        Ok(())
    }

    /// Notes that the stream broke at this point. The first cause stands until the next push.
    ///
    /// # Errors
    /// As [`check_cause`].
    pub fn interrupted(&mut self, cause: &str, uncertainty_frames: u64) -> Result<()> {
        check_cause(cause)?;
        if self.broken.is_none() {
            self.broken = Some(Break { cause: cause.to_owned(), uncertainty_frames });
        }
        Ok(())
    }

    /// Hands on what was held back to flow together. Returns whether nothing is held back any more.
    pub fn hand_on_pending(&mut self) -> bool {
        if let Some(command) = self.pending.take()
            && let Err(rtrb::PushError::Full(command)) = self.commands.push(command)
        {
            self.pending = Some(command);
            return false;
        }
        true
    }

    /// The frame that the next push begins at.
    pub fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Frames in gaps since the writer began.
    pub fn gap_frames(&self) -> u64 {
        self.gap_frames
    }

    /// Whether more than this part of the ring waits to be written.
    pub fn is_filled_beyond(&self, part: usize) -> bool {
        let capacity = self.audio.buffer().capacity();
        capacity - self.audio.slots() > capacity / part
    }

    /// The frame captured at an instant; before the first push, the next one.
    pub fn frame_at(&self, boottime_ns: i64) -> u64 {
        self.clock.frame_at(boottime_ns).unwrap_or(self.next_frame)
    }

    /// The boot time of frame 0, extrapolated.
    pub fn offset_ns(&self) -> Option<i64> {
        self.clock.offset_ns()
    }

    /// What is known from before a crash in the same run of the machine.
    pub fn seed_boottime(&mut self, frame: u64, boottime_ns: i64) {
        self.clock.seed(frame, boottime_ns);
    }

    /// What is known from before a restart of the machine, whose boot time began anew: used by the first clock pair.
    pub fn seed_utc(&mut self, frame: u64, utc_ns: i64) {
        self.known_utc = Some((frame, utc_ns));
    }

    /// Notes what both clocks say at one instant.
    pub fn note_clock(&mut self, boottime_ns: i64, utc_ns: i64) {
        if let Some((frame, known_utc_ns)) = self.known_utc.take() {
            self.clock.seed(frame, boottime_ns.saturating_sub(utc_ns.saturating_sub(known_utc_ns)));
        }
    }

    fn take(&mut self, pcm: &[u8]) -> u64 {
        let frame_bytes = self.format.frame_bytes();
        let room = self.audio.slots() / frame_bytes;
        let mut taken = room.min(pcm.len() / frame_bytes);
        if taken > 0 && !self.hand_on_pending() {
            taken = 0;
        }
        let (kept, _) = self.audio.push_partial_slice(&pcm[..taken * frame_bytes]);
        debug_assert_eq!(kept.len(), taken * frame_bytes);
        self.pushed_bytes += (taken * frame_bytes) as u64;
        self.next_frame += taken as u64;
        taken as u64
    }

    fn add_gap(&mut self, frames: u64, cause: &str, uncertainty_frames: u64, breaks_segment: bool) {
        let start_frame = self.next_frame;
        self.next_frame = self.next_frame.saturating_add(frames);
        self.gap_frames = self.gap_frames.saturating_add(frames);
        let flows_together = match &self.pending {
            Some(pending) => pending.gap.cause == cause && !breaks_segment,
            None => false,
        };
        if !flows_together && self.hand_on_pending() {
            let gap = Gap { start_frame, frames, cause: cause.to_owned(), uncertainty_frames };
            self.pending = Some(Command { at_byte: self.pushed_bytes, gap, breaks_segment });
            return;
        }
        if let Some(pending) = &mut self.pending {
            pending.gap.frames = pending.gap.frames.saturating_add(frames);
            pending.gap.uncertainty_frames =
                pending.gap.uncertainty_frames.saturating_add(uncertainty_frames);
            pending.breaks_segment |= breaks_segment;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::SampleType;

    fn inlet() -> (Inlet, Outlet) {
        Inlet::new(PcmFormat::new(1, 8_000, SampleType::S16).expect("plain"), 1, 0)
    }

    #[test]
    fn a_full_ring_is_one_gap_of_exactly_what_was_refused() {
        let (mut inlet, mut outlet) = inlet();
        assert_eq!(inlet.push(&[1; 15_000], 0, RING_FULL).expect("whole"), 7_500);
        assert_eq!(inlet.push(&[1; 2_000], 0, RING_FULL).expect("whole"), 500);
        assert_eq!(inlet.push(&[1; 2_000], 0, RING_FULL).expect("whole"), 0);
        assert!(outlet.commands.is_empty());
        outlet.audio.read_chunk(100).expect("full").commit_all();
        assert_eq!(inlet.push(&[1; 20], 0, RING_FULL).expect("whole"), 10);
        let command = outlet.commands.pop().expect("handed on before the audio");
        let gap = Gap { start_frame: 8_000, frames: 1_500, cause: RING_FULL.into(), uncertainty_frames: 0 };
        assert_eq!(command, Command { at_byte: 16_000, gap, breaks_segment: false });
        assert_eq!(inlet.next_frame(), 9_510);
        assert_eq!(inlet.gap_frames(), 1_500);
    }

    #[test]
    fn a_break_is_measured_by_the_next_push_and_never_negative() {
        let (mut inlet, mut outlet) = inlet();
        inlet.push(&[1; 1_600], 0, RING_FULL).expect("whole");
        inlet.interrupted("device_lost", 80).expect("short");
        inlet.interrupted("later", 80).expect("short");
        inlet.push(&[1; 2], 600_000_000, RING_FULL).expect("whole");
        inlet.interrupted("early", 80).expect("short");
        inlet.push(&[1; 2], 100_000_000, RING_FULL).expect("whole");
        let gaps = std::iter::from_fn(|| outlet.commands.pop().ok()).map(|command| command.gap);
        let seen: Vec<_> = gaps.map(|gap| (gap.start_frame, gap.frames, gap.cause)).collect();
        assert_eq!(seen, [(800, 4_000, "device_lost".into()), (4_801, 0, "early".into())]);
    }

    #[test]
    fn more_gaps_than_can_wait_flow_together() {
        let (mut inlet, mut outlet) = inlet();
        for turn in 0..10_000u64 {
            inlet.lost(1, if turn % 2 == 0 { "even" } else { "odd" }, 0).expect("few");
        }
        let mut total = 0;
        while let Ok(command) = outlet.commands.pop() {
            total += command.gap.frames;
            inlet.hand_on_pending();
        }
        assert_eq!((total, inlet.next_frame()), (10_000, 10_000));
    }
}
