//! What the entries of a ledger add up to, and where every frame of the take lies.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use crate::error::Error;
use crate::ledger::{ClockPair, EndMark, Entry, Gap, LEDGER_VERSION, MOST_FRAMES, Tear};
use crate::pcm::PcmFormat;
use crate::segment::{DATA_OFFSET, segment_index};
use crate::sums::SumsReader;
use crate::take::reader::file_length;

/// The cause of a gap in what is read, where a disk is not there that holds the frames.
pub const DISK_AWAY: &str = "disk_away";

/// A take as its ledger tells it. Frames of the open segment come from its sums.
#[derive(Clone, Debug)]
pub struct History {
    /// What one frame looks like.
    pub format: PcmFormat,
    /// What the caller wanted kept.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// The run of the machine that boot-time instants of the newest part belong to.
    pub boot_id: String,
    /// In the order of their frames; released ones are gone.
    pub segments: Vec<SegmentState>,
    /// In the order of their frames, also those behind the last durable frame.
    pub gaps: Vec<Gap>,
    /// Names of frames.
    pub marks: BTreeMap<String, u64>,
    /// In the order of noting.
    pub clock_pairs: Vec<ClockPair>,
    /// What crashes left behind.
    pub tears: Vec<Tear>,
    /// The end, if it was on purpose.
    pub end: Option<EndMark>,
    /// The first frame that was not released.
    pub held_from_frame: u64,
    /// The index of the next segment.
    pub next_index: u64,
    /// The durable frame and its boot time, when the last segment of this run of the machine was closed or gave its sums.
    pub last_instant: Option<(u64, i64)>,
    /// The newest clock pair of this run of the machine.
    pub last_pair: Option<ClockPair>,
}

/// A segment as the ledger and its sums tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentState {
    /// Counts from 0.
    pub index: u64,
    /// Its name in the folder, or its absolute path in a spill folder.
    pub file: String,
    /// Its first frame in the take.
    pub start_frame: u64,
    /// Durable frames in the file.
    pub frames: u64,
    /// What closing said; none while it is open.
    pub closed: Option<Closing>,
}

/// What the ledger says of a closed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Length of the file.
    pub bytes: u64,
    /// Of the whole file.
    pub sha256: Option<String>,
    /// Why it ended early.
    pub torn: Option<String>,
}

/// Frames of the take that lie together in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Place in [`History::segments`].
    pub segment: usize,
    /// The first frame, in the take.
    pub start_frame: u64,
    /// The first frame, in the file.
    pub file_frame: u64,
    /// How many.
    pub frames: u64,
}

impl History {
    /// # Errors
    /// In words, when this is no first entry that this code understands.
    pub fn begin(entry: Entry) -> Result<Self, String> {
        let Entry::Take { version, format, facts, boot_id } = entry else {
            return Err("the first entry does not describe a take".into());
        };
        if version != LEDGER_VERSION {
            return Err(format!(
                "a ledger of version {version}; this program reads version {LEDGER_VERSION}"
            ));
        }
        Ok(Self {
            format,
            facts,
            boot_id,
            segments: Vec::new(),
            gaps: Vec::new(),
            marks: BTreeMap::new(),
            clock_pairs: Vec::new(),
            tears: Vec::new(),
            end: None,
            held_from_frame: 0,
            next_index: 0,
            last_instant: None,
            last_pair: None,
        })
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// In words, when it contradicts what came before.
    pub fn add(&mut self, entry: Entry) -> Result<(), String> {
        if self.end.is_some() {
            return Err("an entry behind the end mark".into());
        }
        match entry {
            Entry::Take { .. } => return Err("a second first entry".into()),
            Entry::SegmentOpened { index, start_frame, file } => {
                self.open_segment(index, start_frame, file)?
            }
            Entry::SegmentClosed { index, frames, bytes, sha256, boottime_ns, torn } => {
                let last =
                    self.segments.last_mut().filter(|last| last.index == index && last.closed.is_none());
                let segment = last.ok_or("a segment is closed that is not open")?;
                check_end(segment.start_frame, frames)?;
                segment.frames = frames;
                segment.closed = Some(Closing { bytes, sha256, torn });
                if frames > 0 {
                    self.last_instant = Some((self.end_of_segment(self.segments.len() - 1), boottime_ns));
                }
            }
            Entry::Gap(gap) => {
                check_end(gap.start_frame, gap.frames)?;
                if self.gaps.last().is_some_and(|last| last.start_frame + last.frames > gap.start_frame) {
                    return Err("gaps that overlap".into());
                }
                self.gaps.push(gap);
            }
            Entry::Clock(pair) => {
                self.clock_pairs.push(pair);
                self.last_pair = Some(pair);
            }
            Entry::Mark { key, frame } => {
                self.marks.entry(key).or_insert(frame);
            }
            Entry::Released { before_frame } => {
                self.held_from_frame = self.held_from_frame.max(before_frame);
                let is_gone = |at: &usize| {
                    self.segments[*at].closed.is_some() && self.end_of_segment(*at) <= before_frame
                };
                let gone = (0..self.segments.len()).take_while(is_gone).count();
                self.segments.drain(..gone);
            }
            Entry::Torn(tear) => self.tears.push(tear),
            Entry::Resumed { frame, boot_id } => {
                self.gaps
                    .retain(|gap| gap.start_frame < frame || (gap.start_frame == frame && gap.frames == 0));
                if self.boot_id != boot_id {
                    (self.boot_id, self.last_instant, self.last_pair) = (boot_id, None, None);
                }
            }
            Entry::End(end) => self.end = Some(end),
        }
        Ok(())
    }

    /// Every frame below is on disk or in a gap that reaches this far.
    pub fn durable_frame(&self) -> u64 {
        let last =
            self.segments.len().checked_sub(1).map_or(self.held_from_frame, |at| self.end_of_segment(at));
        self.behind_gaps(last)
    }

    /// A frame of this run of the machine and its boot time, if one is known.
    pub fn known_instant(&self) -> Option<(u64, i64)> {
        self.last_instant.or(self.last_pair.map(|pair| (pair.frame, pair.boottime_ns)))
    }

    /// How many frames a segment from this one on holds below that one, the gaps between them not counted.
    pub fn frames_between(&self, start_frame: u64, end_frame: u64) -> u64 {
        let gaps = self.gaps.iter().filter(|gap| (start_frame..end_frame).contains(&gap.start_frame));
        let missing: u64 = gaps.map(|gap| gap.frames.min(end_frame - gap.start_frame)).sum();
        end_frame.saturating_sub(start_frame) - missing
    }

    /// The open segment, if there is one.
    pub fn open_segment_mut(&mut self) -> Option<&mut SegmentState> {
        self.segments.last_mut().filter(|last| last.closed.is_none())
    }

    /// Makes one gap of all that a segment holds, and of the gaps inside it.
    pub fn give_up(&mut self, at: usize) {
        let (start_frame, end_frame) = (self.segments[at].start_frame, self.end_of_segment(at));
        if start_frame == end_frame {
            return;
        }
        let is_outside =
            |gap: &Gap| gap.start_frame < start_frame || gap.start_frame >= end_frame || gap.frames == 0;
        self.gaps.retain(is_outside);
        let place = self.gaps.partition_point(|gap| gap.start_frame <= start_frame);
        let frames = end_frame - start_frame;
        self.gaps.insert(place, Gap { start_frame, frames, cause: DISK_AWAY.into(), uncertainty_frames: 0 });
        self.segments[at].frames = 0;
        if let Some(closed) = &mut self.segments[at].closed {
            closed.sha256 = None;
        }
    }

    /// Takes over what is new in the sums of the open segment; a file that is shorter than they say yields its whole frames.
    ///
    /// # Errors
    /// `Io`.
    pub fn take_sums(&mut self, sums: &mut SumsReader, path: &Path) -> Result<(), Error> {
        let mut newest = None;
        while let Some(record) = sums.next_record()? {
            newest = Some(record);
        }
        let frame_bytes = self.format.frame_bytes() as u64;
        let Some(record) = newest else { return Ok(()) };
        let held_bytes = file_length(path)?.saturating_sub(DATA_OFFSET);
        let Some(at) = self.segments.len().checked_sub(1) else { return Ok(()) };
        self.segments[at].frames = record.end_byte / frame_bytes;
        self.last_instant = Some((self.end_of_segment(at), record.boottime_ns));
        self.segments[at].frames = record.end_byte.min(held_bytes) / frame_bytes;
        Ok(())
    }

    /// Where the frames from `start_frame` to `end_frame` lie; what is missing between them lies nowhere.
    pub fn extents(&self, start_frame: u64, end_frame: u64) -> Vec<Extent> {
        let first =
            self.segments.partition_point(|segment| segment.start_frame <= start_frame).saturating_sub(1);
        let mut extents = Vec::new();
        for at in first..self.segments.len() {
            if self.segments[at].start_frame >= end_frame {
                break;
            }
            self.each_extent(at, |extent| {
                let start = extent.start_frame.max(start_frame);
                let end = (extent.start_frame + extent.frames).min(end_frame);
                if start < end {
                    let file_frame = extent.file_frame + (start - extent.start_frame);
                    extents.push(Extent { start_frame: start, file_frame, frames: end - start, ..extent });
                }
            });
        }
        extents
    }

    fn open_segment(&mut self, index: u64, start_frame: u64, file: String) -> Result<(), String> {
        if self.segments.last().is_some_and(|last| last.closed.is_none()) {
            return Err("a segment is opened while another one is open".into());
        }
        check_end(start_frame, 0)?;
        if index < self.next_index || start_frame < self.durable_frame() {
            return Err("a segment that leads backwards".into());
        }
        if !is_place_of_segment(&file, index) {
            return Err("a segment outside the folder, and in no spill folder".into());
        }
        self.next_index = index.saturating_add(1);
        self.segments.push(SegmentState { index, file, start_frame, frames: 0, closed: None });
        Ok(())
    }

    /// The end of a segment's frames in the take, gaps inside it counted.
    pub fn end_of_segment(&self, at: usize) -> u64 {
        let mut end = self.segments[at].start_frame;
        self.each_extent(at, |extent| end = extent.start_frame + extent.frames);
        end
    }

    fn behind_gaps(&self, mut frame: u64) -> u64 {
        let first = self.gaps.partition_point(|gap| gap.start_frame < frame);
        for gap in &self.gaps[first..] {
            if gap.start_frame != frame {
                break;
            }
            frame += gap.frames;
        }
        frame
    }

    fn each_extent(&self, at: usize, mut take_extent: impl FnMut(Extent)) {
        let segment = &self.segments[at];
        let (mut start_frame, mut file_frame) = (segment.start_frame, 0);
        let first = self.gaps.partition_point(|gap| gap.start_frame < start_frame);
        for gap in &self.gaps[first..] {
            let left = segment.frames - file_frame;
            let frames = left.min(gap.start_frame.saturating_sub(start_frame));
            if frames > 0 {
                take_extent(Extent { segment: at, start_frame, file_frame, frames });
                file_frame += frames;
            }
            if file_frame == segment.frames {
                return;
            }
            start_frame = gap.start_frame.saturating_add(gap.frames);
        }
        let frames = (segment.frames - file_frame).min(u64::MAX - start_frame);
        if frames > 0 {
            take_extent(Extent { segment: at, start_frame, file_frame, frames });
        }
    }
}

/// A plain name, or the plain absolute path of a file that is called as a segment of this index.
fn is_place_of_segment(file: &str, index: u64) -> bool {
    if !file.contains('/') {
        return !file.starts_with('.');
    }
    let mut parts = Path::new(file).components();
    let is_absolute = parts.next() == Some(Component::RootDir);
    let is_plain = parts.all(|part| matches!(part, Component::Normal(_)));
    let name = Path::new(file).file_name().and_then(|name| name.to_str());
    is_absolute && is_plain && name.and_then(segment_index) == Some(index)
}

fn check_end(start_frame: u64, frames: u64) -> Result<(), String> {
    if start_frame > MOST_FRAMES || frames > MOST_FRAMES {
        return Err("frames beyond any take".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pcm::SampleType;

    fn history() -> History {
        let format = PcmFormat::new(2, 48_000, SampleType::S16).expect("plain");
        let facts = serde_json::Map::new();
        History::begin(Entry::Take { version: 1, format, facts, boot_id: "boot".into() }).expect("a take")
    }

    fn opened(index: u64, start_frame: u64) -> Entry {
        Entry::SegmentOpened { index, start_frame, file: format!("{index}.wav") }
    }

    fn closed(index: u64, frames: u64) -> Entry {
        Entry::SegmentClosed { index, frames, bytes: 0, sha256: None, boottime_ns: 0, torn: None }
    }

    fn gap(start_frame: u64, frames: u64) -> Entry {
        Entry::Gap(Gap { start_frame, frames, cause: "lost".into(), uncertainty_frames: 0 })
    }

    fn after(entries: Vec<Entry>) -> History {
        let mut history = history();
        for entry in entries {
            history.add(entry).expect("in order");
        }
        history
    }

    #[test]
    fn a_gap_inside_a_segment_shifts_what_follows() {
        let history = after(vec![opened(0, 0), gap(10, 5), gap(20, 1), closed(0, 30)]);
        assert_eq!(history.durable_frame(), 36);
        let places: Vec<_> =
            history.extents(0, 36).iter().map(|e| (e.start_frame, e.file_frame, e.frames)).collect();
        assert_eq!(places, [(0, 0, 10), (15, 10, 5), (21, 15, 15)]);
        let part: Vec<_> =
            history.extents(12, 22).iter().map(|e| (e.start_frame, e.file_frame, e.frames)).collect();
        assert_eq!(part, [(15, 10, 5), (21, 15, 1)]);
    }

    #[test]
    fn a_gap_that_the_audio_has_not_reached_does_not_count_and_is_void_after_a_crash() {
        let mut history = after(vec![opened(0, 0), gap(10, 5)]);
        history.open_segment_mut().expect("open").frames = 9;
        assert_eq!(history.durable_frame(), 9);
        history.add(closed(0, 9)).expect("open");
        history.add(Entry::Resumed { frame: 9, boot_id: "boot".into() }).expect("resumed");
        history.add(gap(9, 100)).expect("in order");
        assert_eq!(history.durable_frame(), 109);
    }

    #[test]
    fn a_segment_that_is_given_up_is_one_gap_as_long_as_it_was() {
        let entries =
            vec![opened(0, 0), closed(0, 10), opened(1, 10), gap(15, 5), closed(1, 10), opened(2, 25)];
        let mut history = after(entries);
        history.give_up(1);
        history.give_up(1);
        let gaps: Vec<_> =
            history.gaps.iter().map(|gap| (gap.start_frame, gap.frames, gap.cause.as_str())).collect();
        assert_eq!(gaps, [(10, 15, "disk_away")]);
        assert_eq!((history.durable_frame(), history.extents(0, 25).len()), (25, 1));
    }

    #[test]
    fn released_segments_are_gone_and_gaps_stay_listed() {
        let entries =
            vec![opened(0, 0), closed(0, 10), opened(1, 10), gap(15, 5), closed(1, 10), opened(2, 25)];
        let mut history = after(entries);
        history.add(Entry::Released { before_frame: 25 }).expect("closed");
        assert_eq!(history.segments.len(), 1);
        assert_eq!((history.held_from_frame, history.durable_frame(), history.gaps.len()), (25, 25, 1));
    }

    #[test]
    fn a_segment_lies_in_the_folder_or_at_a_plain_path_under_its_own_name() {
        for file in ["0.wav", "/spill/take/000000-00000000000000.wav"] {
            assert!(is_place_of_segment(file, 0), "{file}");
        }
        for file in [
            ".hidden",
            "elsewhere/000000-00000000000000.wav",
            "/spill/../000000-00000000000000.wav",
            "/spill/take/000001-00000000000000.wav",
            "/etc/passwd",
        ] {
            assert!(!is_place_of_segment(file, 0), "{file}");
        }
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let number = prop_oneof![0u64..40, Just(MOST_FRAMES), any::<u64>()];
        (0u8..7, number.clone(), number).prop_map(|(kind, a, b)| match kind {
            0 => opened(a, b),
            1 => closed(a, b),
            2 => gap(a, b),
            3 => Entry::Released { before_frame: a },
            4 => Entry::Resumed { frame: a, boot_id: "b".into() },
            5 => Entry::Mark { key: "k".into(), frame: a },
            _ => Entry::Clock(ClockPair { frame: a, boottime_ns: 0, utc_ns: 0 }),
        })
    }

    proptest! {
        #[test]
        fn entries_in_any_order_never_panic(entries in prop::collection::vec(any_entry(), 0..20)) {
            let mut history = history();
            for entry in entries {
                let _ = history.add(entry);
                let durable = history.durable_frame();
                let _ = history.extents(0, durable);
            }
        }
    }
}
