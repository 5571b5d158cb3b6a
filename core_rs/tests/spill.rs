//! A take whose folder takes no segments goes on in a spill folder, and everything follows it there.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use core_rs::Error;
use core_rs::segment::{DATA_OFFSET, segment_name};
use core_rs::take::{Take, TakeOptions, TakeWriter};
use support::{NS, RATE, counter, create, push, quick, read, wait_until_durable};

const LONG: Duration = Duration::from_secs(60);

/// A home with a folder for takes and a spill folder.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["takes", "spill"] {
            std::fs::create_dir(folder.path().join(name)).expect("new");
        }
        Self { folder }
    }

    fn take(&self) -> PathBuf {
        self.folder.path().join("takes/take")
    }

    fn spill(&self) -> PathBuf {
        self.folder.path().join("spill")
    }

    fn options(&self) -> TakeOptions {
        TakeOptions { spill_folders: vec![self.spill()], ..quick() }
    }

    /// A writer whose own folder fails from its first segment on.
    fn spilling(&self) -> TakeWriter {
        let writer = create(&self.take(), self.options());
        std::fs::write(self.take().join("000000-00000000000000.wav"), b"in the way").expect("room");
        writer
    }
}

fn push_durably(writer: &TakeWriter, frames: u64) {
    push(writer, frames);
    wait_until_durable(writer, writer.next_frame());
}

fn wavs(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, |names| {
        names.flatten().filter(|name| name.path().extension().is_some_and(|end| end == "wav")).count()
    })
}

#[test]
fn a_folder_that_fails_loses_no_frame_to_the_spill_folder() {
    let home = Home::new();
    let writer = home.spilling();
    push_durably(&writer, RATE / 2);
    push_durably(&writer, 2 * RATE);
    let end = writer.close("test", LONG).expect("drained");
    assert_eq!((end.end_frame, end.gap_frames, end.drained), (5 * RATE / 2, 0, true));
    let take = Take::open(&home.take()).expect("whole");
    assert!(read(&take, 0, end.end_frame) == counter(0, end.end_frame));
    assert_eq!(wavs(&home.spill().join("take")), 3);
    let spilled = take.segments().iter().filter(|segment| segment.file.starts_with('/'));
    assert_eq!(spilled.map(|segment| segment.frames).sum::<u64>(), end.end_frame);
    let faults = take.verify();
    assert!(faults.iter().all(|fault| fault.contains("000000-")), "{faults:?}");
    let damaged = home.spill().join("take").join("000002-00000000008000.wav");
    let mut bytes = std::fs::read(&damaged).expect("a segment");
    bytes[500] ^= 1;
    std::fs::write(&damaged, bytes).expect("room");
    assert_eq!(take.verify().len(), faults.len() + 1);
}

#[test]
fn a_crash_in_a_spill_folder_is_resumed_and_its_tail_moved_aside_there() {
    let home = Home::new();
    let writer = home.spilling();
    push_durably(&writer, 3_000);
    drop(writer);
    let open = home.spill().join("take/000001-00000000000000.wav");
    let mut bytes = std::fs::read(&open).expect("a segment");
    bytes.extend([7; 100]);
    std::fs::write(&open, bytes).expect("room");
    let writer = TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed");
    push_durably(&writer, 3_000);
    let end = writer.close("test", LONG).expect("drained");
    assert!(open.with_extension("wav.torn").exists());
    let take = Take::open(&home.take()).expect("whole");
    assert!(read(&take, 0, 3_000) == counter(0, 3_000));
    assert_eq!(end.end_frame, take.durable_frame());
}

/// A take that spills, with a gap in its open segment, whose writer died; its spill folder is where it was moved to.
fn crashed_without_its_disk(home: &Home, options: TakeOptions) -> PathBuf {
    let writer = create(&home.take(), options);
    std::fs::write(home.take().join("000000-00000000000000.wav"), b"in the way").expect("room");
    push(&writer, 1_000);
    writer.lost(700, "overrun", 0).expect("open");
    push_durably(&writer, 3_000);
    writer.note_clock(4_700 * NS, 0).expect("open");
    drop(writer);
    let elsewhere = home.folder.path().join("unplugged");
    std::fs::rename(home.spill(), &elsewhere).expect("renamed");
    elsewhere
}

#[test]
fn a_take_whose_open_segment_lies_on_a_missing_disk_goes_on_behind_what_is_drawn_of_it() {
    const DRAWN: u64 = 9 * 512;
    let home = Home::new();
    let elsewhere = crashed_without_its_disk(&home, home.options());
    for (back, end) in [(6_000, 6_100), (8_000, 8_100)] {
        let writer = TakeWriter::resume(&home.take(), "owner_died", home.options()).expect("resumed");
        writer.push(&counter(back, 100), back as i64 * NS).expect("open");
        wait_until_durable(&writer, end);
    }
    let writer = TakeWriter::resume(&home.take(), "owner_died", home.options()).expect("resumed");
    let mark = writer.close("test", LONG).expect("drained");
    let take = Take::open(&home.take()).expect("readable");
    let gaps: Vec<_> = take.gaps().iter().map(|gap| (gap.start_frame, gap.frames)).collect();
    assert_eq!(gaps, [(1_000, 700), (DRAWN, 6_000 - DRAWN), (6_100, 1_900)]);
    assert_eq!((mark.end_frame, mark.gap_frames), (8_100, 700 + 6_000 - DRAWN + 1_900));
    assert!(take.tears().expect("readable").iter().all(|tear| tear.file != "waveform.dat"));

    std::fs::rename(&elsewhere, home.spill()).expect("renamed");
    let take = Take::open(&home.take()).expect("readable");
    assert!(read(&take, 0, 1_000) == counter(0, 1_000));
    assert!(read(&take, 1_700, DRAWN) == counter(1_700, DRAWN - 1_700));
    assert!(read(&take, 8_000, 8_100) == counter(8_000, 100));
    let spilled = home.spill().join("take/000001-00000000000000.wav");
    let aside = take.tears().expect("readable").into_iter().find(|tear| spilled.ends_with(&tear.file));
    assert_eq!(aside.expect("listed").byte, DATA_OFFSET + (DRAWN - 700) * 4);
    assert_eq!(std::fs::metadata(&spilled).expect("there").len(), DATA_OFFSET + 4_000 * 4);
    assert!(take.verify().iter().all(|fault| fault.contains("000000-") || fault.contains("was missing")));
}

#[test]
fn the_waveform_goes_on_where_a_missing_disk_holds_a_part_of_its_newest_bin() {
    for lost_frames in [0, 100_000] {
        let home = Home::new();
        let writer = home.spilling();
        push_durably(&writer, 3_000);
        if lost_frames > 0 {
            writer.lost(lost_frames, "overrun", 0).expect("open");
            push_durably(&writer, 10);
        }
        writer.note_clock(3_000 * NS, 0).expect("open");
        drop(writer);
        if lost_frames == 0 {
            let writer = TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed");
            push_durably(&writer, 100);
        }
        std::fs::rename(home.spill(), home.folder.path().join("unplugged")).expect("renamed");
        let writer = TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed");
        writer.push(&counter(200_000, 1_000), 200_000 * NS).expect("open");
        let end = writer.close("test", LONG).expect("drained");
        let take = Take::open(&home.take()).expect("readable");
        assert!(take.tears().expect("readable").iter().all(|tear| tear.file != "waveform.dat"));
        let drawn = std::fs::metadata(home.take().join("waveform.dat")).expect("there").len();
        assert_eq!(drawn, 24 + end.end_frame.div_ceil(512) * 4, "{lost_frames} frames lost");
    }
}

#[test]
fn a_disk_that_comes_and_goes_keeps_every_frame_that_counts_and_lets_all_of_it_go() {
    let home = Home::new();
    let away = crashed_without_its_disk(&home, home.options());
    let resumed = |start: u64, index: u64, is_spilling: bool| {
        let writer = TakeWriter::resume(&home.take(), "owner_died", home.options()).expect("resumed");
        if is_spilling {
            std::fs::write(home.take().join(segment_name(index, start)), b"in the way").expect("room");
        }
        writer.push(&counter(start, 3_000), start as i64 * NS).expect("open");
        wait_until_durable(&writer, start + 3_000);
        writer
    };
    drop(resumed(10_000, 2, false));
    std::fs::rename(&away, home.spill()).expect("back");
    drop(resumed(20_000, 3, true));
    std::fs::rename(home.spill(), &away).expect("away again");
    drop(resumed(30_000, 5, false));
    std::fs::rename(&away, home.spill()).expect("back again");
    let writer = resumed(40_000, 6, true);

    let take = Take::open(&home.take()).expect("readable");
    for (start, end) in
        [(1_700, 4_608), (10_000, 13_000), (20_000, 22_528), (30_000, 33_000), (40_000, 43_000)]
    {
        assert!(read(&take, start, end) == counter(start, end - start), "frames {start} to {end}");
    }
    let gaps: Vec<_> =
        take.gaps().iter().map(|gap| (gap.start_frame, gap.start_frame + gap.frames)).collect();
    assert_eq!(gaps, [(1_000, 1_700), (4_608, 10_000), (13_000, 20_000), (22_528, 30_000), (33_000, 40_000)]);
    assert!(take.tears().expect("readable").iter().all(|tear| tear.file != "waveform.dat"));
    assert_eq!(wavs(&home.spill().join("take")), 3);
    writer.release(33_000).expect("released");
    assert_eq!(wavs(&home.spill().join("take")), 1);
    let end = writer.close("test", LONG).expect("drained");
    assert_eq!(end.end_frame, 43_000);
}

#[test]
fn a_take_is_not_gone_on_with_while_nothing_tells_how_far_its_missing_segment_got() {
    let home = Home::new();
    let elsewhere = crashed_without_its_disk(&home, TakeOptions { waveform: false, ..home.options() });
    let refused = TakeWriter::resume(&home.take(), "test", home.options());
    assert!(matches!(refused, Err(Error::Io { .. })));
    std::fs::rename(&elsewhere, home.spill()).expect("renamed");
    drop(TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed"));
    let take = Take::open(&home.take()).expect("whole");
    assert!(read(&take, 1_700, 4_700) == counter(1_700, 3_000));
}

#[test]
fn nothing_is_made_where_the_disk_of_a_take_is_missing() {
    let home = Home::new();
    crashed_without_its_disk(&home, home.options());
    std::fs::create_dir(home.spill()).expect("as a place to mount at");
    let writer = TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed");
    std::fs::write(home.take().join(segment_name(2, 5_000)), b"in the way").expect("room");
    writer.push(&counter(5_000, 100), 5_000 * NS).expect("open");
    wait_until_durable(&writer, 5_100);
    assert_eq!(wavs(&home.spill().join("take")), 0);
    assert!(!home.spill().join("take").exists());
}

#[test]
fn what_is_released_goes_from_the_spill_folder_also_after_a_crash_in_between() {
    let home = Home::new();
    let writer = home.spilling();
    push_durably(&writer, 5 * RATE / 2);
    let place = home.spill().join("take");
    assert_eq!(writer.release(RATE).expect("released"), RATE);
    assert_eq!(wavs(&place), 2);
    std::fs::write(place.join("000001-00000000000000.wav"), b"as if it had not been unlinked").expect("room");
    drop(writer);
    let writer = TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed");
    writer.release(2 * RATE).expect("released");
    assert!(!place.join("000001-00000000000000.wav").exists());
    assert!(!place.join("000002-00000000008000.wav").exists());
}

#[test]
fn a_storm_of_breaks_makes_gaps_and_not_a_file_each() {
    let home = Home::new();
    let writer = create(&home.take(), TakeOptions { segment_seconds: 60, ..quick() });
    for _ in 0..200 {
        push(&writer, 160);
        writer.interrupted("overrun").expect("open");
    }
    push(&writer, 160);
    let end = writer.close("test", LONG).expect("drained");
    let take = Take::open(&home.take()).expect("whole");
    assert_eq!((take.gaps().len(), end.gap_frames, end.end_frame), (200, 0, 201 * 160));
    assert!(take.segments().len() <= 3, "{} segments", take.segments().len());
    assert!(read(&take, 0, end.end_frame) == counter(0, end.end_frame));
}

#[test]
fn a_spill_folder_is_an_absolute_path() {
    let home = Home::new();
    let options = TakeOptions { spill_folders: vec!["spill".into()], ..quick() };
    let refused = TakeWriter::create(&home.take(), support::stereo(), serde_json::Map::new(), options);
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })));
}
