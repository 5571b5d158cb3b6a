//! Whether a device delivers the same buffers again and again, as one does whose driver died over a full ring.

use std::collections::VecDeque;

/// So many buffers may make the ring that is repeated.
const MOST_BUFFERS: usize = 8;
/// Bytes that are compared before a buffer is compared whole, at three places.
const GLANCE_BYTES: usize = 64;

/// Watches the buffers of a device as they come. Costs a glance at each until one comes twice.
///
/// A digital tone repeats as well, and is told apart by repeating inside the buffers too. What stands still is no
/// repetition here.
#[derive(Debug, Default)]
pub struct Repeats {
    glances: VecDeque<Vec<u8>>,
    /// Newest first; filled only while buffers look like earlier ones.
    kept: VecDeque<Vec<u8>>,
    frames: u64,
    /// Buffers after which this run repeats.
    apart: usize,
}

impl Repeats {
    /// Looks at the next buffer of the device.
    pub fn push(&mut self, buffer: &[u8], frame_bytes: usize) {
        if buffer.is_empty() {
            return;
        }
        let glance = glance(buffer);
        let like = self.glances.iter().position(|earlier| *earlier == glance);
        let apart = like.map_or(0, |newer| newer + 1);
        self.keep_glance(glance);
        if apart == 0 || stands_still(&self.glances[0]) {
            self.kept.clear();
            self.frames = 0;
            return;
        }
        if apart != self.apart || self.kept.get(apart - 1).is_some_and(|earlier| earlier != buffer) {
            self.frames = 0;
        } else if self.kept.len() >= apart && (self.frames > 0 || !self.is_tone(apart, frame_bytes)) {
            self.frames += (buffer.len() / frame_bytes) as u64;
        }
        self.apart = apart;
        self.keep(buffer);
    }

    /// Frames in a row, up to the newest, that had come before in the same order.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Whether what would be repeated repeats within itself already.
    fn is_tone(&self, apart: usize, frame_bytes: usize) -> bool {
        let block: Vec<u8> = self.kept.iter().take(apart).rev().flatten().copied().collect();
        let longest = block.len() / frame_bytes / 2;
        (1..=longest)
            .any(|frames| block[frames * frame_bytes..] == block[..block.len() - frames * frame_bytes])
    }

    fn keep_glance(&mut self, glance: Vec<u8>) {
        self.glances.push_front(glance);
        self.glances.truncate(MOST_BUFFERS);
    }

    fn keep(&mut self, buffer: &[u8]) {
        let mut reused =
            if self.kept.len() < MOST_BUFFERS { None } else { self.kept.pop_back() }.unwrap_or_default();
        reused.clear();
        reused.extend_from_slice(buffer);
        self.kept.push_front(reused);
    }
}

/// Start, middle and end, and how long it is.
fn glance(buffer: &[u8]) -> Vec<u8> {
    let length = buffer.len().min(GLANCE_BYTES);
    let mut bytes = buffer.len().to_le_bytes().to_vec();
    for begin in [0, (buffer.len() - length) / 2, buffer.len() - length] {
        bytes.extend_from_slice(&buffer[begin..begin + length]);
    }
    bytes
}

/// Zeros, and other values that do not change from one four bytes to the next, are seen by the runs of the levels.
fn stands_still(glance: &[u8]) -> bool {
    let (seen, _) = glance[size_of::<usize>()..].as_chunks::<4>();
    seen.iter().all(|bytes| bytes == &seen[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::{PcmFormat, SampleType};
    use crate::synthetic::{keyed_pcm, tone_pcm};

    const FRAME_BYTES: usize = 4;

    fn noise(start_frame: u64, frames: usize) -> Vec<u8> {
        keyed_pcm(start_frame, frames, 1, 5).expect("small")
    }

    fn repeated_frames(buffers: impl IntoIterator<Item = Vec<u8>>) -> u64 {
        let mut repeats = Repeats::default();
        buffers.into_iter().for_each(|buffer| repeats.push(&buffer, FRAME_BYTES));
        repeats.frames()
    }

    #[test]
    fn a_ring_of_one_or_several_buffers_that_goes_round_is_seen() {
        for ring in [1, 2, 3, 8] {
            let buffers = (0..100).map(|buffer| noise(1 + buffer % ring * 480, 480));
            assert!(repeated_frames(buffers) >= 480 * (100 - 3 * ring), "ring of {ring}");
        }
    }

    #[test]
    fn sound_that_only_begins_alike_is_not_repeated() {
        let alike = |buffer: u64| [noise(1, 200), noise(1_000 * buffer, 80), noise(900, 200)].concat();
        assert_eq!(repeated_frames((0..100).map(alike)), 0);
        assert_eq!(repeated_frames((0..100).map(|buffer| noise(1 + buffer * 480, 480))), 0);
    }

    #[test]
    fn it_is_over_with_the_first_other_buffer() {
        let mut buffers = vec![noise(1, 480); 50];
        buffers.push(noise(5_000, 480));
        assert_eq!(repeated_frames(buffers), 0);
    }

    #[test]
    fn silence_and_what_stands_still_is_no_repetition() {
        assert_eq!(repeated_frames(vec![vec![0; 480 * FRAME_BYTES]; 50]), 0);
        assert_eq!(repeated_frames(vec![[1, 0, 2, 0].repeat(480); 50]), 0);
    }

    #[test]
    fn a_tone_that_fits_into_the_buffers_is_not_stuck() {
        let format = PcmFormat::new(2, 48_000, SampleType::S16).expect("in range");
        for hz in [1_000.0, 500.0, 2_000.0] {
            let period = tone_pcm(0, 480, format, hz, -18.0).expect("small");
            assert_eq!(repeated_frames(vec![period; 50]), 0, "{hz} Hz");
        }
    }
}
