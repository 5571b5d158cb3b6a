//! Takes for tests: a counter as content, and folders as a crash would leave them.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use core_rs::take::{Take, TakeOptions, TakeWriter};
use core_rs::{PcmFormat, SampleType};

pub const RATE: u64 = 8_000;
pub const NS: i64 = 1_000_000_000 / RATE as i64;

pub fn stereo() -> PcmFormat {
    PcmFormat::new(2, RATE as u32, SampleType::S16).expect("plain")
}

/// Every frame is its own number, in 4 bytes; frame 0 is 1, so that silence is something else.
pub fn counter(start_frame: u64, frames: u64) -> Vec<u8> {
    (start_frame..start_frame + frames).flat_map(|frame| (frame as u32 + 1).to_le_bytes()).collect()
}

pub fn quick() -> TakeOptions {
    TakeOptions { flush_interval: Duration::from_millis(1), segment_seconds: 1, ..TakeOptions::default() }
}

pub fn create(folder: &Path, options: TakeOptions) -> TakeWriter {
    TakeWriter::create(folder, stereo(), serde_json::Map::new(), options).expect("a take")
}

/// Pushes frames that continue the counter, at their nominal instants.
pub fn push(writer: &TakeWriter, frames: u64) {
    let start = writer.next_frame();
    let taken = writer.push(&counter(start, frames), start as i64 * NS).expect("open");
    assert_eq!(taken, frames);
}

pub fn wait_until_durable(writer: &TakeWriter, frame: u64) {
    while writer.durable_frame() < frame {
        assert_eq!(writer.fault(), None);
        std::thread::yield_now();
    }
}

pub fn read(take: &Take, start_frame: u64, end_frame: u64) -> Vec<u8> {
    let mut pcm = Vec::new();
    take.read_into(start_frame, end_frame, &mut pcm).expect("held");
    pcm
}

/// A take whose writer died with its only segment open, after this many flushes of this many frames.
pub fn crashed(folder: &Path, flushes: u64, flush_frames: u64) -> PathBuf {
    let writer = create(folder, TakeOptions { segment_seconds: 3_600, ..quick() });
    for flush in 1..=flushes {
        push(&writer, flush_frames);
        wait_until_durable(&writer, flush * flush_frames);
    }
    drop(writer);
    let take = Take::open(folder).expect("readable");
    assert_eq!(take.durable_frame(), flushes * flush_frames);
    folder.join(&take.segments()[0].file)
}

pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("new");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("listed");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("room");
    }
}
