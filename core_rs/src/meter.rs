//! A live stream, measured once for two who ask at different times: meters, and the watch over the signal.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::levels::{ChannelLevels, Levels, Sums};
use crate::pcm::PcmFormat;
use crate::repeats::Repeats;

/// Windows a second.
const WINDOWS_PER_SECOND: u32 = 4;
/// A minute of them waits for whoever asks; of more the oldest go.
const MOST_WINDOWS: usize = 60 * WINDOWS_PER_SECOND as usize;

/// What was measured in a quarter of a second, or less where the stream broke.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// When its first frame was captured, CLOCK_BOOTTIME.
    pub boottime_ns: i64,
    /// Where in the take its first frame is, if one is being written.
    pub frame: Option<u64>,
    /// How long it is.
    pub frames: u64,
    /// Frames in a row, up to its end, that the device had delivered before.
    pub repeated_frames: u64,
    /// One a channel.
    pub channels: Vec<ChannelLevels>,
}

/// Levels of a live stream: one thread measures, others ask. Nobody waits longer than another works.
#[derive(Debug)]
pub struct LevelMeter(Mutex<Meter>);

impl LevelMeter {
    /// Nothing measured yet.
    pub fn new(format: PcmFormat) -> Self {
        Self(Mutex::new(Meter {
            format,
            window_frames: u64::from(format.sample_rate_hz() / WINDOWS_PER_SECOND),
            levels: Levels::new(format),
            asked: Sums::new(format.channels()),
            window: Sums::new(format.channels()),
            began: Place { boottime_ns: 0, frame: None },
            windows: VecDeque::new(),
            repeats: Repeats::default(),
        }))
    }

    /// Measures whole frames; bytes behind the last whole one do not count. The first of them was captured at
    /// `boottime_ns` and is this frame of the take that is being written.
    pub fn push(&self, pcm: &[u8], boottime_ns: i64, frame: Option<u64>) {
        self.lock().push(pcm, Place { boottime_ns, frame });
    }

    /// Since the last call. Empty when nothing came since then: that is not silence.
    pub fn levels(&self) -> Vec<ChannelLevels> {
        let mut meter = self.lock();
        if meter.asked.frames() == 0 {
            return Vec::new();
        }
        let levels = meter.levels.levels_of(&meter.asked);
        meter.asked.clear();
        levels
    }

    /// The windows that are complete since the last call, at most those of the last minute.
    pub fn windows(&self) -> Vec<Window> {
        self.lock().windows.drain(..).collect()
    }

    /// A measurement that panicked spoils one window, not the meter.
    fn lock(&self) -> MutexGuard<'_, Meter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Meter {
    format: PcmFormat,
    window_frames: u64,
    levels: Levels,
    asked: Sums,
    window: Sums,
    /// Of the window that is not complete.
    began: Place,
    windows: VecDeque<Window>,
    repeats: Repeats,
}

/// When and where a frame was captured.
#[derive(Clone, Copy, Debug)]
struct Place {
    boottime_ns: i64,
    frame: Option<u64>,
}

impl Place {
    fn after(self, frames: u64, rate_hz: u32) -> Self {
        Self {
            boottime_ns: self.boottime_ns + (frames * 1_000_000_000 / u64::from(rate_hz)) as i64,
            frame: self.frame.map(|frame| frame + frames),
        }
    }
}

impl Meter {
    fn push(&mut self, pcm: &[u8], at: Place) {
        let (rate_hz, frame_bytes) = (self.format.sample_rate_hz(), self.format.frame_bytes());
        let whole = &pcm[..pcm.len() - pcm.len() % frame_bytes];
        self.repeats.push(whole, frame_bytes);
        if self.window.frames() > 0 && self.began.after(self.window.frames(), rate_hz).frame != at.frame {
            self.close_window();
        }
        let (mut rest, mut at) = (whole, at);
        while !rest.is_empty() {
            if self.window.frames() == 0 {
                self.began = at;
            }
            let room = (self.window_frames - self.window.frames()) as usize * frame_bytes;
            let (now, later) = rest.split_at(rest.len().min(room));
            self.levels.push(now);
            self.levels.share([&mut self.asked, &mut self.window]);
            if self.window.frames() == self.window_frames {
                self.close_window();
            }
            at = at.after((now.len() / frame_bytes) as u64, rate_hz);
            rest = later;
        }
    }

    fn close_window(&mut self) {
        if self.windows.len() == MOST_WINDOWS {
            self.windows.pop_front();
        }
        self.windows.push_back(Window {
            boottime_ns: self.began.boottime_ns,
            frame: self.began.frame,
            frames: self.window.frames(),
            repeated_frames: self.repeats.frames(),
            channels: self.levels.levels_of(&self.window),
        });
        self.window.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::SampleType;
    use crate::synthetic::tone_pcm;

    fn stereo() -> PcmFormat {
        PcmFormat::new(2, 48_000, SampleType::S16).expect("in range")
    }

    #[test]
    fn a_meter_that_heard_nothing_since_the_last_asking_gives_nothing() {
        let meter = LevelMeter::new(stereo());
        assert!(meter.levels().is_empty());
        meter.push(&tone_pcm(0, 48_000, stereo(), 1000.0, -6.0).expect("small"), 0, None);
        let levels = meter.levels();
        assert_eq!(levels.len(), 2);
        assert!((levels[1].peak_dbfs + 6.0).abs() < 0.01);
        assert!(meter.levels().is_empty());
    }

    #[test]
    fn windows_follow_each_other_however_the_frames_arrive() {
        let pcm = tone_pcm(0, 48_000, stereo(), 1000.0, -6.0).expect("small");
        let windows = |piece: usize| {
            let meter = LevelMeter::new(stereo());
            for (index, piece_pcm) in pcm.chunks(piece * 4).enumerate() {
                let frame = (index * piece) as u64;
                meter.push(piece_pcm, (frame * 1_000_000_000 / 48_000) as i64, Some(frame + 500));
                if index % 3 == 0 {
                    meter.levels();
                }
            }
            meter.windows()
        };
        for piece in [7, 1_024, 48_000] {
            let found = windows(piece);
            let frames: Vec<_> = found.iter().map(|window| (window.frame, window.frames)).collect();
            assert_eq!(frames, [500, 12_500, 24_500, 36_500].map(|frame| (Some(frame), 12_000)));
            assert!((found[3].boottime_ns - 750_000_000).abs() < 1_000);
            for window in &found {
                assert!((window.channels[0].rms_dbfs + 9.01).abs() < 0.01);
            }
        }
    }

    #[test]
    fn a_window_ends_where_the_stream_breaks() {
        let meter = LevelMeter::new(stereo());
        meter.push(&[1; 4 * 1_000], 0, Some(0));
        meter.push(&[1; 4 * 1_000], 0, Some(5_000));
        meter.push(&[1; 4 * 12_000], 0, Some(6_000));
        meter.push(&[1; 4 * 1_000], 0, None);
        let found: Vec<_> = meter.windows().iter().map(|window| (window.frame, window.frames)).collect();
        assert_eq!(found, [(Some(0), 1_000), (Some(5_000), 12_000), (Some(17_000), 1_000)]);
    }

    #[test]
    fn windows_that_nobody_asks_for_stay_few() {
        let meter = LevelMeter::new(stereo());
        for _ in 0..100 {
            meter.push(&[1; 4 * 48_000], 0, None);
        }
        assert_eq!(meter.windows().len(), MOST_WINDOWS);
        assert!(meter.windows().is_empty());
    }
}
