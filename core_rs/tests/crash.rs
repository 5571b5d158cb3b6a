//! What a crash leaves behind is recovered, named, and never believed beyond what was durable.

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use core_rs::ledger::{ClockPair, Entry, LEDGER_NAME, LEDGER_VERSION, LedgerWriter};
use core_rs::segment::{DATA_OFFSET, segment_name};
use core_rs::sums::{FlushRecord, RECORD_BYTES, sums_path};
use core_rs::take::{Take, TakeOptions, TakeWriter};
use core_rs::{Error, PcmFormat, SampleType, wav};
use proptest::prelude::*;
use support::{NS, RATE, copy, counter, crashed, create, push, quick, read, stereo, wait_until_durable};

/// Goes on 1 s after the last frame that was pushed before the crash, and closes.
fn go_on(folder: &Path, pushed_frames: u64) -> Take {
    let writer = TakeWriter::resume(folder, "owner_died", quick()).expect("resumable");
    let back = pushed_frames + RATE;
    writer.push(&counter(back, 100), back as i64 * NS).expect("open");
    let end = writer.close("stopped", Duration::from_secs(60)).expect("drained");
    assert_eq!((end.end_frame, end.drained), (back + 100, true));
    Take::open(folder).expect("whole")
}

#[test]
fn a_segment_cut_at_any_byte_yields_its_whole_frames_and_the_tear_is_named() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let segment = crashed(&folder, 40, 450);
    let length = std::fs::metadata(&segment).expect("there").len();
    let all = counter(0, 40 * 450);
    let file = OpenOptions::new().write(true).open(&segment).expect("there");
    for cut in (length - (64 << 10)..length).rev() {
        file.set_len(cut).expect("shorter");
        let take = Take::open(&folder).expect("torn, not corrupt");
        let frames = (cut - DATA_OFFSET) / 4;
        assert_eq!(take.durable_frame(), frames);
        let from = frames.saturating_sub(if cut.is_multiple_of(4_093) { frames } else { 600 });
        assert!(read(&take, from, frames) == all[from as usize * 4..frames as usize * 4]);
        let tears = take.tears().expect("readable");
        assert_eq!((tears.len(), tears[0].byte), (1, cut));
        assert!(segment.ends_with(&tears[0].file));
    }
}

#[test]
fn a_cut_segment_is_resumed_with_the_lost_time_as_a_gap() {
    let home = tempfile::tempdir().expect("a folder");
    let torn = home.path().join("torn");
    let segment = crashed(&torn, 20, 450);
    let name = segment.file_name().expect("named").to_owned();
    for cut in
        [0, 50, DATA_OFFSET, DATA_OFFSET + 3, DATA_OFFSET + 1_800, DATA_OFFSET + 1_801, DATA_OFFSET + 35_999]
    {
        let folder = home.path().join(format!("cut-{cut}"));
        copy(&torn, &folder);
        let file = OpenOptions::new().write(true).open(folder.join(&name)).expect("there");
        file.set_len(cut).expect("shorter");
        let frames = cut.saturating_sub(DATA_OFFSET) / 4;
        // With nothing recovered nothing is known: the take begins anew at frame 0.
        if frames == 0 {
            let writer = TakeWriter::resume(&folder, "owner_died", quick()).expect("resumable");
            assert_eq!(writer.next_frame(), 0);
            drop(writer);
            // A head alone is no loss.
            let faults = Take::open(&folder).expect("whole").verify();
            assert_eq!(faults.len(), usize::from(cut > DATA_OFFSET), "{faults:?}");
            continue;
        }
        let take = go_on(&folder, 9_000);
        let gaps: Vec<_> = take.gaps().iter().map(|gap| (gap.start_frame, gap.frames)).collect();
        assert_eq!(gaps, [(frames, 9_000 + RATE - frames)]);
        assert_eq!(take.gaps()[0].cause, "owner_died");
        assert!(read(&take, 0, frames) == counter(0, frames));
        assert_eq!(read(&take, 17_000, 17_100), counter(17_000, 100));
        let is_torn =
            take.tears().expect("readable").iter().any(|tear| tear.byte == DATA_OFFSET + frames * 4);
        assert_eq!(is_torn, !(cut - DATA_OFFSET).is_multiple_of(4));
        assert!(
            take.segments()
                .iter()
                .all(|segment| segment.closed.as_ref().is_some_and(|it| it.sha256.is_some()))
        );
        assert_eq!(take.verify().len(), usize::from(is_torn));
    }
}

#[test]
fn bytes_behind_the_last_flush_are_moved_aside() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let segment = crashed(&folder, 3, 450);
    let file = OpenOptions::new().write(true).open(&segment).expect("there");
    file.write_all_at(b"not flushed", DATA_OFFSET + 1_350 * 4).expect("room");
    assert_eq!(
        Take::open(&folder).expect("torn").tears().expect("readable")[0].byte,
        DATA_OFFSET + 1_350 * 4
    );
    let take = go_on(&folder, 1_350);
    let torn = segment.with_extension("wav.torn");
    assert_eq!(std::fs::read(torn).expect("kept"), b"not flushed");
    assert_eq!(take.segments()[0].frames, 1_350);
}

#[test]
fn a_crash_while_it_recovers_keeps_what_was_moved_aside() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let format = PcmFormat::new(1, RATE as u32, SampleType::S24).expect("plain");
    let writer = TakeWriter::create(&folder, format, serde_json::Map::new(), quick()).expect("a take");
    writer.push(&[5; 333], 0).expect("open");
    wait_until_durable(&writer, 111);
    drop(writer);
    let segment = folder.join(segment_name(0, 0));
    let file = OpenOptions::new().write(true).open(&segment).expect("there");
    file.write_all_at(b"not flushed", DATA_OFFSET + 333).expect("room");
    let before = [folder.join(LEDGER_NAME), sums_path(&segment)];
    let before = before.map(|path| (std::fs::read(&path).expect("there"), path));
    for _ in 0..2 {
        before.iter().for_each(|(bytes, path)| std::fs::write(path, bytes).expect("room"));
        drop(TakeWriter::resume(&folder, "owner_died", quick()).expect("resumable"));
        assert_eq!(std::fs::read(segment.with_extension("wav.torn")).expect("kept"), b"not flushed");
        assert_eq!(Take::open(&folder).expect("whole").tears().expect("readable")[0].byte, DATA_OFFSET + 333);
    }
}

#[test]
fn a_crash_twice_in_a_row_recovers_twice() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    crashed(&folder, 2, 450);
    let writer = TakeWriter::resume(&folder, "first", quick()).expect("resumable");
    writer.push(&counter(2_000, 100), 2_000 * NS).expect("open");
    wait_until_durable(&writer, 2_100);
    drop(writer);
    let take = go_on(&folder, 2_100);
    let gaps: Vec<_> =
        take.gaps().iter().map(|gap| (gap.start_frame, gap.frames, gap.cause.as_str())).collect();
    assert_eq!(gaps, [(900, 1_100, "first"), (2_100, RATE, "owner_died")]);
    assert_eq!(read(&take, 2_000, 2_100), counter(2_000, 100));
    assert_eq!(take.verify(), Vec::<String>::new());
    let waveform = std::fs::read(folder.join("waveform.dat")).expect("drawn");
    assert_eq!(
        u32::from_le_bytes(waveform[16..20].try_into().expect("4")),
        (2_100 + RATE as u32 + 100).div_ceil(512)
    );
}

#[test]
fn sums_cut_at_any_byte_leave_the_flushes_with_whole_records() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let segment = crashed(&folder, 5, 450);
    let sums = std::fs::read(sums_path(&segment)).expect("there");
    let last = 5 * RECORD_BYTES;
    assert!(sums[last..].iter().all(|byte| *byte == 0), "room for more");
    for cut in 0..=last {
        std::fs::write(sums_path(&segment), &sums[..cut]).expect("room");
        let take = Take::open(&folder).expect("torn, not corrupt");
        let frames = (cut / RECORD_BYTES) as u64 * 450;
        assert_eq!(take.durable_frame(), frames);
        assert!(read(&take, 0, frames) == counter(0, frames));
        let is_named = take.tears().expect("readable").iter().any(|tear| tear.file.ends_with(".sums"));
        assert_eq!(is_named, !cut.is_multiple_of(RECORD_BYTES));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_flipped_bit_in_an_open_segment_is_named_and_ends_it_on_resume(byte in 0u64..4 * 450 * 4, bit in 0u8..8) {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("take");
        let segment = crashed(&folder, 4, 450);
        flip(&segment, DATA_OFFSET + byte, bit);
        let block = byte / 1_800;
        let faults = Take::open(&folder).expect("readable").verify();
        prop_assert_eq!(faults.len(), 1);
        let named = format!("byte {}:", DATA_OFFSET + block * 1_800);
        prop_assert!(faults[0].contains(&named), "{} does not name {}", &faults[0], named);
        if block == 0 {
            return Ok(());
        }
        let take = go_on(&folder, 1_800);
        prop_assert_eq!(take.gaps()[0].start_frame, block * 450);
        prop_assert!(read(&take, 0, block * 450) == counter(0, block * 450));
        let torn = std::fs::metadata(segment.with_extension("wav.torn")).expect("kept").len();
        prop_assert_eq!(torn, (4 - block) * 1_800);
    }

    #[test]
    fn a_flipped_bit_in_the_sums_is_never_believed(byte in 0u64..4 * 32, bit in 0u8..8) {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("take");
        let segment = crashed(&folder, 4, 450);
        flip(&sums_path(&segment), byte, bit);
        let take = Take::open(&folder).expect("readable");
        prop_assert_eq!(take.durable_frame(), byte / 32 * 450);
        prop_assert!(!take.tears().expect("readable").is_empty());
    }

    #[test]
    fn a_flipped_bit_in_a_closed_segment_is_named(byte in 0u64..7_000, bit in 0u8..8) {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("take");
        let writer = create(&folder, quick());
        push(&writer, RATE + 3_000);
        writer.close("stopped", Duration::from_secs(60)).expect("drained");
        let take = Take::open(&folder).expect("whole");
        flip(&folder.join(&take.segments()[1].file), byte, bit);
        let faults = take.verify();
        prop_assert_eq!(faults.len(), 1);
        prop_assert!(faults[0].contains(&take.segments()[1].file));
    }

    #[test]
    fn a_ledger_with_one_bad_byte_gives_an_error_or_a_prefix_never_a_panic(at in 0usize..1_200, value: u8) {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("take");
        let writer = create(&folder, quick());
        push(&writer, RATE);
        writer.lost(3, "xrun", 0).expect("open");
        push(&writer, 10);
        writer.close("stopped", Duration::from_secs(60)).expect("drained");
        let path = folder.join(LEDGER_NAME);
        let mut bytes = std::fs::read(&path).expect("there");
        prop_assume!(at < bytes.len() && bytes[at] != value);
        bytes[at] = value;
        std::fs::write(&path, &bytes).expect("room");
        match Take::open(&folder) {
            Ok(take) => {
                prop_assert!(take.end().is_none() && !take.tears().expect("readable").is_empty());
                let durable = take.durable_frame();
                read(&take, 0, durable);
            }
            Err(Error::CorruptSegment { path, .. }) => prop_assert!(path.ends_with(LEDGER_NAME)),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn a_ledger_cut_at_any_byte_resumes_or_says_what_is_wrong() {
    let home = tempfile::tempdir().expect("a folder");
    let whole = home.path().join("whole");
    crashed(&whole, 2, 450);
    let ledger = std::fs::read(whole.join(LEDGER_NAME)).expect("there");
    for cut in (0..ledger.len()).step_by(7) {
        let folder = home.path().join(format!("cut-{cut}"));
        copy(&whole, &folder);
        std::fs::write(folder.join(LEDGER_NAME), &ledger[..cut]).expect("room");
        match TakeWriter::resume(&folder, "owner_died", quick()) {
            Ok(writer) => {
                push(&writer, 10);
                writer.close("stopped", Duration::from_secs(60)).expect("drained");
                let take = Take::open(&folder).expect("whole");
                let torn = folder.join("ledger.torn");
                assert_eq!(torn.exists(), ledger[cut - 1] != b'\n');
                assert!(take.end().is_some());
            }
            Err(Error::CorruptSegment { .. }) => assert!(!ledger[..cut].contains(&b'\n')),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_gap_entry_that_the_audio_never_reached_is_void_after_a_crash() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    crashed(&folder, 2, 450);
    let gap =
        core_rs::ledger::Gap { start_frame: 950, frames: 7, cause: "xrun".into(), uncertainty_frames: 0 };
    let good = std::fs::metadata(folder.join(LEDGER_NAME)).expect("there").len();
    LedgerWriter::resume(&folder, good)
        .and_then(|mut ledger| ledger.append(&[Entry::Gap(gap)]))
        .expect("room");
    let take = Take::open(&folder).expect("torn");
    assert_eq!((take.durable_frame(), take.gaps().len()), (900, 0));
    let take = go_on(&folder, 900);
    assert_eq!(take.gaps().len(), 1);
    assert_eq!((take.gaps()[0].start_frame, take.gaps()[0].frames), (900, RATE));
}

#[test]
fn after_a_restart_of_the_machine_utc_measures_the_gap() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 450);
    writer.note_clock(0, 1_000_000_000_000).expect("open");
    wait_until_durable(&writer, 450);
    drop(writer);
    replace_boot_id(&folder);
    let writer = TakeWriter::resume(&folder, "power_cut", quick()).expect("resumable");
    writer.note_clock(77, 1_010_000_000_000).expect("open");
    writer.push(&counter(0, 1), 77).expect("open");
    assert_eq!(writer.next_frame(), 10 * RATE + 1);
    let end = writer.close("stopped", Duration::from_secs(60)).expect("drained");
    assert_eq!(end.gap_frames, 10 * RATE - 450);
}

#[test]
fn a_capture_goes_on_although_its_waveform_cannot_be_drawn_again() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 2 * RATE + 100);
    wait_until_durable(&writer, 2 * RATE + 100);
    drop(writer);
    std::fs::remove_file(folder.join(segment_name(1, RATE))).expect("there");
    let take = go_on(&folder, 2 * RATE + 100);
    assert_eq!(read(&take, 2 * RATE, 2 * RATE + 100), counter(2 * RATE, 100));
    let tears = take.tears().expect("readable");
    assert!(
        tears.iter().any(|tear| tear.file == "waveform.dat" && tear.reason.contains("000001-")),
        "{tears:?}"
    );
}

#[test]
fn days_without_a_device_are_a_hole_in_the_waveform() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let days = 1_000 * 86_400 * RATE + 300;
    let loud = [0xFF, 0x7F].repeat(2 * 600);
    let writer = create(&folder, quick());
    writer.push(&loud, 0).expect("open");
    writer.lost(days, "device_lost", 0).expect("open");
    writer.push(&loud, (600 + days) as i64 * NS).expect("open");
    wait_until_durable(&writer, 1_200 + days);
    drop(writer);
    drop(TakeWriter::resume(&folder, "owner_died", quick()).expect("resumable"));
    let take = Take::open(&folder).expect("whole");
    assert_eq!(take.tears().expect("readable"), []);
    let waveform = OpenOptions::new().read(true).open(folder.join("waveform.dat")).expect("drawn");
    let facts = waveform.metadata().expect("there");
    assert_eq!((facts.len() - 24) / 4, (1_200 + days) / 512);
    assert!(std::os::unix::fs::MetadataExt::blocks(&facts) < 100);
    let bin = |frame: u64| {
        let mut bin = [7; 4];
        waveform.read_exact_at(&mut bin, 24 + frame / 512 * 4).expect("drawn");
        bin
    };
    assert_eq!((bin(600), bin(1_200), bin(days)), ([0, 127, 0, 127], [0; 4], [0; 4]));
    assert_eq!(bin(days + 700), [0, 127, 0, 127]);
}

#[test]
fn an_instant_of_another_run_of_the_machine_measures_nothing_however_often_it_crashed_since() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    crashed(&folder, 2, 450);
    replace_boot_id(&folder);
    drop(TakeWriter::resume(&folder, "power_cut", quick()).expect("resumable"));
    let writer = TakeWriter::resume(&folder, "owner_died", quick()).expect("resumable");
    writer.push(&counter(900, 100), 100_000_000_000).expect("open");
    writer.close("stopped", Duration::from_secs(60)).expect("drained");
    let take = Take::open(&folder).expect("whole");
    assert_eq!((take.durable_frame(), take.gaps()[0].frames), (1_000, 0));
}

#[test]
fn what_was_lost_before_the_first_flush_is_a_gap_when_the_clock_was_noted() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let take = Entry::Take {
        version: LEDGER_VERSION,
        format: stereo(),
        facts: serde_json::Map::new(),
        boot_id: boot_id.trim().to_owned(),
    };
    let opened = Entry::SegmentOpened { index: 0, start_frame: 0, file: segment_name(0, 0) };
    let pair = ClockPair { frame: 800, boottime_ns: 5_000_000_000, utc_ns: 0 };
    let entries = [take, opened, Entry::Clock(pair)];
    LedgerWriter::create(folder).and_then(|mut ledger| ledger.append(&entries)).expect("room");

    let writer = TakeWriter::resume(folder, "owner_died", quick()).expect("resumable");
    writer.push(&counter(800 + RATE, 100), 6_000_000_000).expect("open");
    let end = writer.close("stopped", Duration::from_secs(60)).expect("drained");
    assert_eq!((end.end_frame, end.gap_frames), (900 + RATE, 800 + RATE));
    let take = Take::open(folder).expect("whole");
    assert_eq!(read(&take, 800 + RATE, 900 + RATE), counter(800 + RATE, 100));
}

/// A segment beyond 4 GiB, nearly all of it a hole, as a crash left it.
#[test]
fn a_take_beyond_4_gib_is_recovered_and_read_right_at_its_end() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path();
    let frames = (5u64 << 30) / 4;
    let file = segment_name(0, 0);
    let path = folder.join(&file);
    let mut ledger = LedgerWriter::create(folder).expect("a ledger");
    let take = Entry::Take {
        version: LEDGER_VERSION,
        format: stereo(),
        facts: serde_json::Map::new(),
        boot_id: "another run".into(),
    };
    ledger.append(&[take, Entry::SegmentOpened { index: 0, start_frame: 0, file }]).expect("room");
    let samples = std::fs::File::create(&path).expect("room");
    samples
        .write_all_at(&counter(frames - 1_000, 1_000), DATA_OFFSET + (frames - 1_000) * 4)
        .expect("a hole");
    let record = FlushRecord { end_byte: frames * 4, block_crc: None, boottime_ns: 0 };
    std::fs::write(sums_path(&path), record.encode()).expect("room");

    let options = TakeOptions { checksums: false, waveform: false, segment_seconds: u32::MAX, ..quick() };
    let writer = TakeWriter::resume(folder, "power_cut", options).expect("resumable");
    push(&writer, 500);
    writer.close("stopped", Duration::from_secs(60)).expect("drained");

    let take = Take::open(folder).expect("whole");
    assert_eq!(read(&take, frames - 1_000, frames + 500), counter(frames - 1_000, 1_500));
    let mut closed = std::fs::File::open(&path).expect("there");
    let layout = wav::parse(&mut closed, DATA_OFFSET + frames * 4, &path).expect("RF64");
    assert_eq!(layout.frames(), frames);
    let mut id = [0; 4];
    closed.read_exact_at(&mut id, 0).expect("a head");
    assert_eq!(&id, b"RF64");
    assert_eq!(take.verify(), Vec::<String>::new());
}

fn flip(path: &Path, byte: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(path).expect("there");
    let mut value = [0];
    file.read_exact_at(&mut value, byte).expect("long enough");
    file.write_all_at(&[value[0] ^ 1 << bit], byte).expect("room");
}

fn replace_boot_id(folder: &Path) {
    let path = folder.join(LEDGER_NAME);
    let text = std::fs::read_to_string(&path).expect("there");
    let (first, rest) = text.split_once('\n').expect("lines");
    let mut entry: serde_json::Value = serde_json::from_str(&first[9..]).expect("an entry");
    entry["boot_id"] = "another run".into();
    let json = entry.to_string();
    let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    std::fs::write(&path, line + rest).expect("room");
}
