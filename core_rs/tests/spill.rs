//! A take whose folder takes no segments goes on in a spill folder, and everything follows it there.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use core_rs::Error;
use core_rs::take::{Take, TakeOptions, TakeWriter};
use support::{RATE, counter, create, push, quick, read, wait_until_durable};

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

#[test]
fn a_take_is_not_gone_on_with_while_the_disk_of_its_open_segment_is_missing() {
    let home = Home::new();
    let writer = home.spilling();
    push_durably(&writer, 3_000);
    drop(writer);
    let elsewhere = home.folder.path().join("unplugged");
    std::fs::rename(home.spill(), &elsewhere).expect("renamed");
    let refused = TakeWriter::resume(&home.take(), "test", home.options());
    assert!(matches!(refused, Err(Error::Io { .. })));
    std::fs::rename(&elsewhere, home.spill()).expect("renamed");
    drop(TakeWriter::resume(&home.take(), "test", home.options()).expect("resumed"));
    let take = Take::open(&home.take()).expect("whole");
    assert!(read(&take, 0, 3_000) == counter(0, 3_000));
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
