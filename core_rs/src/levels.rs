//! Peak, RMS and exact zeros of every channel, measured as samples pass by.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::pcm::{PcmFormat, Sample};
use crate::with_sample;

/// One channel since the last asking. Digital silence is negative infinity, never 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLevels {
    /// Largest absolute sample, dBFS.
    pub peak_dbfs: f64,
    /// Root of the mean square, dBFS; a full-scale sine reads −3.01.
    pub rms_dbfs: f64,
    /// Frames in a row, up to the newest, that were exactly zero.
    pub zero_frames: u64,
}

/// Levels of a live stream: one thread measures, another asks. Neither waits longer than the other works.
#[derive(Debug)]
pub struct LevelMeter(Mutex<Levels>);

impl LevelMeter {
    /// Nothing measured yet.
    pub fn new(format: PcmFormat) -> Self {
        Self(Mutex::new(Levels::new(format)))
    }

    /// Measures whole frames; bytes behind the last whole one do not count.
    pub fn push(&self, pcm: &[u8]) {
        self.lock().push(pcm);
    }

    /// Since the last call. Empty when nothing came since then: that is not silence.
    pub fn levels(&self) -> Vec<ChannelLevels> {
        let mut levels = self.lock();
        if levels.has_measured() { levels.take() } else { Vec::new() }
    }

    /// A measurement that panicked spoils one window, not the meter.
    fn lock(&self) -> MutexGuard<'_, Levels> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Measures all channels of a stream.
#[derive(Clone, Debug)]
pub struct Levels {
    format: PcmFormat,
    frames: u64,
    channels: Vec<Channel>,
    /// One row of working sums, a whole number of frames wide.
    row: Row,
}

impl Levels {
    /// Nothing measured yet.
    pub fn new(format: PcmFormat) -> Self {
        let width = format.channels() * ROW_SAMPLES.div_ceil(format.channels());
        Self {
            format,
            frames: 0,
            channels: vec![Channel::default(); format.channels()],
            row: Row { peak: vec![0.0; width], squares: vec![0.0; width] },
        }
    }

    /// Measures whole frames; bytes behind the last whole one do not count.
    pub fn push(&mut self, pcm: &[u8]) {
        with_sample!(self.format.sample_type(), S => self.push_samples::<S>(pcm));
    }

    /// Whether there was anything to measure since the last [`take`](Self::take).
    pub fn has_measured(&self) -> bool {
        self.frames > 0
    }

    /// What was measured since the last call. Peak and RMS begin anew, runs of zeros go on.
    pub fn take(&mut self) -> Vec<ChannelLevels> {
        let frames = std::mem::take(&mut self.frames) as f64;
        self.channels
            .iter_mut()
            .map(|channel| {
                let squares = std::mem::take(&mut channel.squares);
                ChannelLevels {
                    peak_dbfs: dbfs(f64::from(std::mem::take(&mut channel.peak))),
                    rms_dbfs: if frames > 0.0 { dbfs((squares / frames).sqrt()) } else { f64::NEG_INFINITY },
                    zero_frames: channel.zero_frames,
                }
            })
            .collect()
    }

    fn push_samples<S: Sample>(&mut self, pcm: &[u8]) {
        let frame_bytes = self.format.frame_bytes();
        let row_bytes = self.row.peak.len() * S::BYTES;
        let whole = &pcm[..pcm.len() - pcm.len() % frame_bytes];
        for block in whole.chunks(row_bytes * BLOCK_ROWS) {
            for row in block.chunks(row_bytes) {
                self.row.add::<S>(row);
            }
            self.close_block::<S>(block);
        }
        self.frames += (whole.len() / frame_bytes) as u64;
    }

    fn close_block<S: Sample>(&mut self, block: &[u8]) {
        let count = self.channels.len();
        let frames = block.chunks_exact(count * S::BYTES);
        for (index, channel) in self.channels.iter_mut().enumerate() {
            let peak = self.row.peak.iter().skip(index).step_by(count).fold(0.0, |a: f32, b| a.max(*b));
            channel.squares +=
                self.row.squares.iter().skip(index).step_by(count).map(|sum| f64::from(*sum)).sum::<f64>();
            channel.peak = channel.peak.max(peak);
            let at = index * S::BYTES;
            match frames.clone().rev().position(|frame| magnitude::<S>(&frame[at..at + S::BYTES]) > 0.0) {
                Some(zeros) => channel.zero_frames = zeros as u64,
                None => channel.zero_frames += frames.len() as u64,
            }
        }
        self.row.peak.fill(0.0);
        self.row.squares.fill(0.0);
    }
}

/// Wide enough for the vector units, small enough to stay in the nearest cache.
const ROW_SAMPLES: usize = 32;
/// So few squares are added in single precision that the error stays below a millionth.
const BLOCK_ROWS: usize = 64;

#[derive(Clone, Copy, Debug, Default)]
struct Channel {
    peak: f32,
    squares: f64,
    zero_frames: u64,
}

#[derive(Clone, Debug)]
struct Row {
    peak: Vec<f32>,
    squares: Vec<f32>,
}

impl Row {
    fn add<S: Sample>(&mut self, row: &[u8]) {
        let sums = self.peak.iter_mut().zip(&mut self.squares);
        for (bytes, (peak, squares)) in row.chunks_exact(S::BYTES).zip(sums) {
            let value = magnitude::<S>(bytes);
            *peak = if value > *peak { value } else { *peak };
            *squares += value * value;
        }
    }
}

/// 300 dB above full scale: so many squares of it still have a finite sum.
const MOST_MAGNITUDE: f32 = 1e15;

/// The absolute value; no number counts as silence, and infinity as [`MOST_MAGNITUDE`].
#[inline(always)]
fn magnitude<S: Sample>(bytes: &[u8]) -> f32 {
    let value = S::to_f32(bytes).abs();
    let value = if value < MOST_MAGNITUDE { value } else { MOST_MAGNITUDE };
    if S::to_f32(bytes).is_nan() { 0.0 } else { value }
}

fn dbfs(amplitude: f64) -> f64 {
    20.0 * amplitude.log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::SampleType;
    use crate::synthetic::tone_pcm;

    const ALL: [SampleType; 4] = [SampleType::S16, SampleType::S24, SampleType::S32, SampleType::F32];

    fn format(channels: u16, sample_type: SampleType) -> PcmFormat {
        PcmFormat::new(channels, 48_000, sample_type).expect("in range")
    }

    #[test]
    fn digital_silence_is_minus_infinity_and_never_full_scale() {
        for sample_type in ALL {
            let mut levels = Levels::new(format(3, sample_type));
            levels.push(&vec![0; format(3, sample_type).frame_bytes() * 1000]);
            for channel in levels.take() {
                assert_eq!((channel.peak_dbfs, channel.rms_dbfs), (f64::NEG_INFINITY, f64::NEG_INFINITY));
                assert_eq!(channel.zero_frames, 1000);
            }
        }
    }

    #[test]
    fn a_full_scale_sine_has_an_rms_of_minus_3_01() {
        for sample_type in ALL {
            for channels in [1, 2, 5, 64] {
                let format = format(channels, sample_type);
                let mut levels = Levels::new(format);
                levels.push(&tone_pcm(0, 48_000, format, 1000.0, 0.0).expect("small"));
                for channel in levels.take() {
                    assert!((channel.rms_dbfs + 3.0103).abs() < 0.001, "{sample_type}: {channel:?}");
                    assert!(channel.peak_dbfs.abs() < 0.001, "{sample_type}: {channel:?}");
                }
            }
        }
    }

    #[test]
    fn taking_begins_a_new_window_but_a_run_of_zeros_goes_on() {
        let format = format(2, SampleType::S16);
        let mut levels = Levels::new(format);
        let left_only = [1u8, 0, 0, 0].repeat(7);
        levels.push(&left_only);
        levels.push(&[0; 4 * 100]);
        let first = levels.take();
        assert_eq!((first[0].zero_frames, first[1].zero_frames), (100, 107));
        assert!(first[0].peak_dbfs > -91.0);
        levels.push(&[0; 4 * 3]);
        let second = levels.take();
        assert_eq!((second[0].zero_frames, second[1].zero_frames), (103, 110));
        assert_eq!(second[0].peak_dbfs, f64::NEG_INFINITY);
    }

    #[test]
    fn a_meter_that_heard_nothing_since_the_last_asking_gives_nothing() {
        let format = format(2, SampleType::S16);
        let meter = LevelMeter::new(format);
        assert!(meter.levels().is_empty());
        meter.push(&tone_pcm(0, 48_000, format, 1000.0, -6.0).expect("small"));
        let levels = meter.levels();
        assert_eq!(levels.len(), 2);
        assert!((levels[1].peak_dbfs + 6.0).abs() < 0.01);
        assert!(meter.levels().is_empty());
    }

    #[test]
    fn the_smallest_sample_of_32_bits_is_not_silence() {
        let mut levels = Levels::new(format(1, SampleType::S32));
        levels.push(&[1, 0, 0, 0]);
        let level = levels.take()[0];
        assert_eq!(level.zero_frames, 0);
        assert!((level.peak_dbfs + 186.64).abs() < 0.01);
    }

    #[test]
    fn levels_of_absurd_floats_are_finite() {
        let mut levels = Levels::new(format(1, SampleType::F32));
        levels.push(&[f32::INFINITY, -3e38, 1.0].map(f32::to_le_bytes).concat().repeat(5_000));
        let level = levels.take()[0];
        assert!((level.peak_dbfs - 300.0).abs() < 0.001);
        assert!(level.rms_dbfs < 300.0 && level.rms_dbfs > 297.0);
    }

    #[test]
    fn what_is_no_number_is_silence() {
        let mut levels = Levels::new(format(1, SampleType::F32));
        levels.push(&f32::NAN.to_le_bytes());
        assert_eq!(levels.take()[0].rms_dbfs, f64::NEG_INFINITY);
    }
}
