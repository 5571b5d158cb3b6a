//! What goes into a take comes out of it, however it was cut.

mod support;

use std::time::Duration;

use core_rs::channels::ChannelMap;
use core_rs::segment::segment_name;
use core_rs::take::{RING_FULL, Take, TakeOptions, TakeWriter};
use core_rs::{Error, PcmFormat, SampleType};
use proptest::prelude::*;
use support::{NS, RATE, counter, create, push, quick, read, wait_until_durable};

#[derive(Clone, Debug)]
enum Act {
    Push(u64),
    Lost(u64),
    Interrupted(u64),
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1u64..6_000).prop_map(Act::Push),
        1 => (0u64..200).prop_map(Act::Lost),
        1 => (0u64..20_000).prop_map(Act::Interrupted),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_split_into_pushes_gaps_and_segments_reads_back_equal(
        acts in prop::collection::vec(any_act(), 1..25),
        ranges in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 8),
        waits: u32,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("take");
        let writer = create(&folder, TakeOptions { ring_seconds: 30, ..quick() });
        let (mut expected, mut gaps, mut is_known) = (Vec::new(), Vec::new(), false);
        for (turn, act) in acts.iter().enumerate() {
            let frame = writer.next_frame();
            match *act {
                Act::Push(frames) => {
                    writer.push(&counter(frame, frames), (frame as i64) * NS).expect("open");
                    expected.extend(counter(frame, frames));
                }
                Act::Lost(frames) => {
                    writer.lost(frames, "xrun", 0).expect("open");
                    expected.extend(vec![0; frames as usize * 4]);
                    gaps.extend((frames > 0).then_some((frame, frames)));
                }
                Act::Interrupted(frames) => {
                    writer.interrupted("device_lost").expect("open");
                    // The map knows nothing before the first push: then nothing can be missing.
                    let missing = if is_known { frames } else { 0 };
                    let start = frame + missing;
                    writer.push(&counter(start, 1), start as i64 * NS).expect("open");
                    expected.extend(vec![0; missing as usize * 4]);
                    expected.extend(counter(start, 1));
                    gaps.push((frame, missing));
                }
            }
            is_known |= !matches!(act, Act::Lost(_));
            prop_assert_eq!(writer.next_frame() * 4, expected.len() as u64);
            if waits & (1 << turn) != 0 {
                wait_until_durable(&writer, writer.next_frame());
            }
        }
        let end = writer.close("test", Duration::from_secs(60)).expect("drained");
        let frames = expected.len() as u64 / 4;
        prop_assert_eq!((end.end_frame, end.drained), (frames, true));
        prop_assert_eq!(end.gap_frames, gaps.iter().map(|(_, frames)| frames).sum::<u64>());
        let take = Take::open(&folder).expect("whole");
        prop_assert_eq!(take.verify(), Vec::<String>::new());
        prop_assert_eq!(take.durable_frame(), frames);
        let listed: Vec<_> = take.gaps().iter().map(|gap| (gap.start_frame, gap.frames)).collect();
        prop_assert_eq!(listed, gaps);
        prop_assert!(read(&take, 0, frames) == expected);
        for (one, other) in ranges {
            let (one, other) = ((one * frames as f64) as u64, (other * frames as f64) as u64);
            let (start, stop) = (one.min(other), one.max(other));
            prop_assert!(read(&take, start, stop) == expected[start as usize * 4..stop as usize * 4]);
        }
    }
}

#[test]
fn every_format_reads_back_from_full_and_short_segments() {
    let home = tempfile::tempdir().expect("a folder");
    for (channels, sample_type) in [
        (1, SampleType::S16),
        (1, SampleType::S24),
        (3, SampleType::S24),
        (64, SampleType::S32),
        (2, SampleType::F32),
    ] {
        let format = PcmFormat::new(channels, RATE as u32, sample_type).expect("plain");
        let folder = home.path().join(format!("{channels}{sample_type}"));
        let writer = TakeWriter::create(&folder, format, serde_json::Map::new(), quick()).expect("a take");
        let frames = 2 * RATE + 77;
        let pcm: Vec<u8> =
            (0..frames as usize * format.frame_bytes()).map(|byte| ((byte * 31) >> 3) as u8).collect();
        assert_eq!(writer.push(&pcm, 0).expect("open"), frames);
        writer.close("test", Duration::from_secs(60)).expect("drained");
        let take = Take::open(&folder).expect("whole");
        assert!(read(&take, 0, frames) == pcm);
        assert_eq!(take.segments().len(), 3);
        assert_eq!(take.verify(), Vec::<String>::new());
    }
}

#[test]
fn what_is_durable_holds_no_room_in_the_ring() {
    let home = tempfile::tempdir().expect("a folder");
    let writer = create(&home.path().join("take"), TakeOptions { ring_seconds: 1, ..quick() });
    for _ in 0..40 {
        push(&writer, RATE);
        wait_until_durable(&writer, writer.next_frame());
    }
    let end = writer.close("test", Duration::from_secs(60)).expect("drained");
    assert_eq!((end.end_frame, end.gap_frames), (40 * RATE, 0));
}

#[test]
fn a_full_ring_is_a_gap_at_exactly_the_right_frame() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, TakeOptions { ring_seconds: 1, ..quick() });
    push(&writer, 100);
    wait_until_durable(&writer, 100);
    let room = writer.push(&counter(100, 3 * RATE), 0).expect("open");
    assert!(room <= RATE);
    let gap_end = loop {
        let frame = writer.next_frame();
        if writer.push(&counter(frame, 1), 0).expect("open") == 1 {
            break frame;
        }
    };
    let end = writer.close("test", Duration::from_secs(60)).expect("drained");
    let take = Take::open(&folder).expect("whole");
    let [gap] = take.gaps() else { panic!("one gap, not {:?}", take.gaps()) };
    assert_eq!(
        (gap.cause.as_str(), gap.start_frame, gap.frames),
        (RING_FULL, 100 + room, gap_end - 100 - room)
    );
    assert_eq!((end.end_frame, end.gap_frames), (gap_end + 1, gap.frames));
    assert!(read(&take, 0, 100 + room) == counter(0, 100 + room));
    assert!(read(&take, gap.start_frame, gap_end).iter().all(|byte| *byte == 0));
    assert_eq!(read(&take, gap_end, gap_end + 1), counter(gap_end, 1));
}

#[test]
fn a_broken_stream_leaves_a_measured_gap_and_begins_a_segment() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 1_000);
    writer.interrupted("device_lost").expect("open");
    let back_ns = 5_000_000_000 + 3_000_000;
    writer.push(&counter(40_024, 50), back_ns).expect("open");
    assert_eq!(writer.next_frame(), 40_074);
    assert_eq!(writer.frame_at(back_ns), 40_024);
    writer.interrupted("device_lost").expect("open");
    writer.push(&counter(40_074, 10), back_ns).expect("an early one measures nothing");
    writer.close("test", Duration::from_secs(60)).expect("drained");
    let take = Take::open(&folder).expect("whole");
    let gaps: Vec<_> =
        take.gaps().iter().map(|gap| (gap.start_frame, gap.frames, gap.uncertainty_frames)).collect();
    assert_eq!(gaps, [(1_000, 39_024, RATE / 100), (40_074, 0, RATE / 100)]);
    let starts: Vec<_> = take.segments().iter().map(|segment| segment.start_frame).collect();
    assert_eq!(starts, [0, 40_024, 40_074]);
    assert_eq!(read(&take, 40_024, 40_084), counter(40_024, 60));
}

#[test]
fn what_no_device_can_lose_is_refused_and_harms_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 10);
    let long = "x".repeat(1 << 21);
    assert!(matches!(writer.lost(u64::MAX, "xrun", 0), Err(Error::InvalidArgument { .. })));
    assert!(matches!(writer.lost(1, &long, 0), Err(Error::InvalidArgument { .. })));
    assert!(matches!(writer.interrupted(&long), Err(Error::InvalidArgument { .. })));
    push(&writer, 10);
    let end = writer.close("test", Duration::from_secs(60)).expect("drained");
    assert_eq!((end.end_frame, end.gap_frames, end.drained), (20, 0, true));
    assert_eq!(read(&Take::open(&folder).expect("whole"), 0, 20), counter(0, 20));
}

#[test]
fn a_reader_follows_a_growing_take() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    let mut take = Take::open(&folder).expect("begun");
    let mut seen = 0;
    while seen < 5 * RATE {
        if writer.next_frame() < 5 * RATE && writer.next_frame() < seen + 4_000 {
            push(&writer, 500);
        }
        let said = writer.durable_frame();
        let durable = take.refresh().expect("readable");
        assert!(durable >= seen.max(said));
        assert!(read(&take, seen, durable) == counter(seen, durable - seen));
        seen = durable;
    }
    assert!(take.end().is_none());
    writer.close("test", Duration::from_secs(60)).expect("drained");
    take.refresh().expect("readable");
    assert_eq!(take.end().map(|end| end.end_frame), Some(seen));
}

#[test]
fn a_range_that_is_not_held_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 3 * RATE + 100);
    wait_until_durable(&writer, 3 * RATE + 100);
    assert_eq!(writer.release(2 * RATE + 5).expect("open"), 2 * RATE);
    assert_eq!(writer.release(RATE).expect("open"), 2 * RATE);
    let take = Take::open(&folder).expect("whole");
    assert_eq!((take.held_from_frame(), take.segments().len()), (2 * RATE, 2));
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").filter(is_wav).count(), 2);
    let mut pcm = Vec::new();
    for (start, end) in
        [(2 * RATE - 1, 2 * RATE + 1), (3 * RATE, 3 * RATE + 101), (2 * RATE + 2, 2 * RATE + 1)]
    {
        assert!(matches!(take.read_into(start, end, &mut pcm), Err(Error::SegmentMismatch { .. })));
    }
    assert_eq!(read(&take, 2 * RATE, 3 * RATE + 100), counter(2 * RATE, RATE + 100));
}

#[test]
fn a_segment_that_cannot_be_unlinked_keeps_no_other_and_is_tried_again() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 4 * RATE + 100);
    wait_until_durable(&writer, 4 * RATE + 100);
    let stubborn = folder.join(segment_name(0, 0));
    std::fs::remove_file(&stubborn).expect("there");
    std::fs::create_dir(&stubborn).expect("room");
    assert!(matches!(writer.release(3 * RATE), Err(Error::Io { .. })));
    let wavs = || std::fs::read_dir(&folder).expect("a folder").filter(is_wav).count();
    assert_eq!(wavs(), 3, "the stubborn one, and what is held");
    std::fs::remove_dir(&stubborn).expect("empty");
    std::fs::write(&stubborn, "").expect("room");
    drop(writer);
    let writer = TakeWriter::resume(&folder, "owner_died", quick()).expect("resumable");
    assert_eq!(writer.release(0).expect("open"), 3 * RATE);
    assert_eq!(wavs(), 2);
}

fn is_wav(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|kind| kind == "wav"))
}

#[test]
fn mapped_frames_are_the_map_of_the_raw_ones() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, RATE + 10);
    writer.lost(5, "xrun", 0).expect("open");
    push(&writer, 10);
    let end = writer.close("test", Duration::from_secs(60)).expect("drained").end_frame;
    let take = Take::open(&folder).expect("whole");
    let map = ChannelMap::mono(2).expect("plain");
    let (mut mapped, mut expected) = (Vec::new(), Vec::new());
    take.read_mapped(0, end, &map, SampleType::F32, &mut mapped).expect("held");
    map.apply(&read(&take, 0, end), SampleType::S16, SampleType::F32, &mut expected).expect("fits");
    assert!(mapped == expected);
}

#[test]
fn a_second_close_gives_the_same_mark_and_nothing_follows_it() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 10);
    assert_eq!(writer.mark("a", 3).expect("open"), 3);
    let first = writer.close("stopped", Duration::from_secs(60)).expect("drained");
    assert_eq!(writer.close("again", Duration::ZERO).expect("same"), first);
    assert!(matches!(writer.push(&[0; 4], 0), Err(Error::TakeClosed { .. })));
    assert!(matches!(writer.lost(1, "late", 0), Err(Error::TakeClosed { .. })));
    assert!(matches!(writer.mark("b", 3), Err(Error::TakeClosed { .. })));
    assert_eq!(writer.mark("a", 9).expect("bound"), 3);
    assert!(matches!(TakeWriter::resume(&folder, "crash", quick()), Err(Error::TakeClosed { .. })));
    assert_eq!(Take::open(&folder).expect("whole").end(), Some(&first));
}

#[test]
fn a_flush_with_nothing_new_writes_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 100);
    wait_until_durable(&writer, 100);
    std::thread::sleep(Duration::from_millis(20));
    let look = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("listed"));
        let facts = entries.map(|entry| (entry.file_name(), entry.metadata().expect("there")));
        let mut seen: Vec<_> =
            facts.map(|(name, facts)| (name, facts.len(), facts.modified().expect("kept"))).collect();
        seen.sort();
        seen
    };
    let before = look();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(look(), before);
}

#[test]
fn the_waveform_covers_every_frame_and_draws_gaps_as_silence() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    let loud = |frames: usize| [0xFF, 0x7F].repeat(frames * 2);
    writer.push(&loud(1_024), 0).expect("open");
    writer.lost(1_024, "xrun", 0).expect("open");
    writer.push(&loud(100), 0).expect("open");
    writer.close("test", Duration::from_secs(60)).expect("drained");
    let file = std::fs::read(folder.join("waveform.dat")).expect("drawn");
    assert_eq!(u32::from_le_bytes(file[16..20].try_into().expect("4")), 5);
    let bins: Vec<_> = file[24..].chunks(4).map(|bin| bin.iter().any(|value| *value != 0)).collect();
    assert_eq!(bins, [true, true, false, false, true]);
}

#[test]
fn a_drain_past_its_limit_is_written_as_a_kill() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("take");
    let writer = create(&folder, quick());
    push(&writer, 2 * RATE);
    let said = writer.close("stopped", Duration::ZERO).expect("no fault");
    assert_eq!((said.end_frame, said.drained), (2 * RATE, false));
    assert_eq!(writer.close("stopped", Duration::ZERO).expect("same"), said);
    let mut take = Take::open(&folder).expect("readable");
    while take.end().is_none() {
        take.refresh().expect("readable");
    }
    assert_eq!(take.end().map(|end| (end.end_frame, end.drained)), Some((2 * RATE, false)));
    assert!(read(&take, 0, 2 * RATE) == counter(0, 2 * RATE));
}
