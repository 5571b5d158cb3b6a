//! Peak, RMS, clipping and standing still of every channel, measured as samples pass by.

use crate::pcm::{PcmFormat, Sample};
use crate::with_sample;

/// One channel since the last asking. Digital silence is negative infinity, never 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelLevels {
    /// Largest absolute sample, dBFS.
    pub peak_dbfs: f64,
    /// Root of the mean square, dBFS; a full-scale sine reads −3.01.
    pub rms_dbfs: f64,
    /// Frames at full scale that stand in a run of three or more: overload. A lone peak is none.
    pub clipped_frames: u64,
    /// Frames in a row, up to the newest, that were exactly zero.
    pub zero_frames: u64,
    /// Frames in a row, up to the newest, that had one and the same value other than zero; sound rarely gets beyond 2.
    pub frozen_frames: u64,
}

/// Measures all channels of a stream.
#[derive(Clone, Debug)]
pub struct Levels {
    format: PcmFormat,
    sums: Sums,
    runs: Vec<Run>,
    /// One row of working sums, a whole number of frames wide.
    row: Row,
}

impl Levels {
    /// Nothing measured yet.
    pub fn new(format: PcmFormat) -> Self {
        let width = format.channels() * ROW_SAMPLES.div_ceil(format.channels());
        Self {
            format,
            sums: Sums::new(format.channels()),
            runs: vec![Run::default(); format.channels()],
            row: Row { peak: vec![0.0; width], squares: vec![0.0; width] },
        }
    }

    /// Measures whole frames; bytes behind the last whole one do not count.
    pub fn push(&mut self, pcm: &[u8]) {
        with_sample!(self.format.sample_type(), S => self.push_samples::<S>(pcm));
    }

    /// What was measured since the last call. Sums begin anew, runs go on.
    pub fn take(&mut self) -> Vec<ChannelLevels> {
        let levels = self.levels_of(&self.sums);
        self.sums.clear();
        levels
    }

    /// Moves what was measured since the last call into the sums of several who ask at different times.
    pub fn share<const N: usize>(&mut self, among: [&mut Sums; N]) {
        among.into_iter().for_each(|sums| sums.add(&self.sums));
        self.sums.clear();
    }

    /// These sums as levels, with the runs as they are now.
    pub fn levels_of(&self, sums: &Sums) -> Vec<ChannelLevels> {
        let frames = sums.frames as f64;
        let rms =
            |squares: f64| if frames > 0.0 { dbfs((squares / frames).sqrt()) } else { f64::NEG_INFINITY };
        let channels = sums.channels.iter().zip(&self.runs);
        channels
            .map(|(sum, run)| ChannelLevels {
                peak_dbfs: dbfs(f64::from(sum.peak)),
                rms_dbfs: rms(sum.squares),
                clipped_frames: sum.clipped_frames,
                zero_frames: if run.is_zero { run.frames } else { 0 },
                frozen_frames: if run.is_zero { 0 } else { run.frames },
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
        self.sums.frames += (whole.len() / frame_bytes) as u64;
    }

    fn close_block<S: Sample>(&mut self, block: &[u8]) {
        let count = self.runs.len();
        for (index, (sum, run)) in self.sums.channels.iter_mut().zip(&mut self.runs).enumerate() {
            let lanes = |row: &[f32], of: fn(f64, f64) -> f64| {
                row.iter().skip(index).step_by(count).map(|value| f64::from(*value)).fold(0.0, of)
            };
            let peak = lanes(&self.row.peak, f64::max) as f32;
            sum.peak = sum.peak.max(peak);
            sum.squares += lanes(&self.row.squares, |a, b| a + b);
            let samples = block[index * S::BYTES..].chunks(count * S::BYTES).map(|frame| &frame[..S::BYTES]);
            run.extend::<S>(samples.clone());
            if peak >= S::CLIPS_AT {
                sum.clipped_frames += run.clip::<S>(samples);
            } else {
                run.full_scale_frames = 0;
            }
        }
        self.row.peak.fill(0.0);
        self.row.squares.fill(0.0);
    }
}

/// What adds up over a stretch of a stream.
#[derive(Clone, Debug)]
pub struct Sums {
    frames: u64,
    channels: Vec<ChannelSums>,
}

#[derive(Clone, Copy, Debug, Default)]
struct ChannelSums {
    peak: f32,
    squares: f64,
    clipped_frames: u64,
}

impl Sums {
    /// Of nothing.
    pub fn new(channels: usize) -> Self {
        Self { frames: 0, channels: vec![ChannelSums::default(); channels] }
    }

    /// How long the stretch is.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.frames = 0;
        self.channels.fill(ChannelSums::default());
    }

    fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        for (to, from) in self.channels.iter_mut().zip(&other.channels) {
            to.peak = to.peak.max(from.peak);
            to.squares += from.squares;
            to.clipped_frames += from.clipped_frames;
        }
    }
}

/// How long a channel stands still, and how long it stands at full scale.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The newest sample, bytes that it does not have being 0.
    newest: [u8; 4],
    is_zero: bool,
    frames: u64,
    full_scale_frames: u64,
}

/// Fewer frames in a row at full scale are a peak that was just caught, not a flat top.
const CLIPPED_RUN_FRAMES: u64 = 3;

impl Run {
    /// Most blocks end with two different samples, and cost no more than that.
    fn extend<'a, S: Sample>(
        &mut self,
        samples: impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator,
    ) {
        let frames = samples.len() as u64;
        let mut backwards = samples.rev();
        let Some(last) = backwards.next() else { return };
        let is_zero = magnitude::<S>(last) == 0.0;
        let is_same = |sample: &[u8]| if is_zero { magnitude::<S>(sample) == 0.0 } else { sample == last };
        self.frames = match backwards.position(|sample| !is_same(sample)) {
            Some(equal) => equal as u64 + 1,
            None if self.frames > 0 && is_same(&self.newest[..S::BYTES]) => self.frames + frames,
            None => frames,
        };
        self.newest[..S::BYTES].copy_from_slice(last);
        self.is_zero = is_zero;
    }

    /// The frames of these that clip, and those before them of which only now is known that they did.
    fn clip<'a, S: Sample>(&mut self, samples: impl Iterator<Item = &'a [u8]>) -> u64 {
        let mut clipped_frames = 0;
        for sample in samples {
            if !is_full_scale::<S>(sample) {
                self.full_scale_frames = 0;
                continue;
            }
            self.full_scale_frames += 1;
            clipped_frames += match self.full_scale_frames {
                CLIPPED_RUN_FRAMES => CLIPPED_RUN_FRAMES,
                frames => u64::from(frames > CLIPPED_RUN_FRAMES),
            };
        }
        clipped_frames
    }
}

/// Wide enough for the vector units, small enough to stay in the nearest cache.
const ROW_SAMPLES: usize = 32;
/// So few squares are added in single precision that the error stays below a millionth.
const BLOCK_ROWS: usize = 64;

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

/// The largest positive or the smallest negative value: one step inside of either is none.
#[inline(always)]
fn is_full_scale<S: Sample>(bytes: &[u8]) -> bool {
    let value = S::to_f32(bytes);
    value >= S::CLIPS_AT || value <= -1.0
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

    fn pcm<S: Sample>(values: &[f64]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * S::BYTES];
        values.iter().zip(bytes.chunks_exact_mut(S::BYTES)).for_each(|(value, out)| S::put_f64(*value, out));
        bytes
    }

    fn mono<S: Sample>(sample_type: SampleType, values: &[f64], piece_frames: usize) -> ChannelLevels {
        let mut levels = Levels::new(format(1, sample_type));
        pcm::<S>(values).chunks(piece_frames * S::BYTES).for_each(|piece| levels.push(piece));
        levels.take()[0]
    }

    #[test]
    fn a_flat_top_is_clipped_and_a_lone_peak_is_not() {
        let peaks = [0.0, 1.0, 0.3, -1.0, -1.0, 0.2].repeat(50);
        let flat = [0.0, 1.0, 1.0, 1.0, 0.3, -1.0, -1.0, -1.0, -1.0, 0.1].repeat(50);
        for sample_type in ALL {
            for piece in [1, 2, 3, 7, 5000] {
                with_sample!(sample_type, S => {
                    assert_eq!(mono::<S>(sample_type, &peaks, piece).clipped_frames, 0, "{sample_type}");
                    assert_eq!(mono::<S>(sample_type, &flat, piece).clipped_frames, 7 * 50, "{sample_type}");
                });
            }
        }
    }

    #[test]
    fn full_scale_is_the_largest_value_of_the_sample_type_and_no_less() {
        let mut levels = Levels::new(format(1, SampleType::S16));
        levels.push(&[i16::MAX - 1; 9].map(i16::to_le_bytes).concat());
        levels.push(&[-i16::MAX; 9].map(i16::to_le_bytes).concat());
        assert_eq!(levels.take()[0].clipped_frames, 0);
        levels.push(&[i16::MAX; 9].map(i16::to_le_bytes).concat());
        assert_eq!(levels.take()[0].clipped_frames, 9);
        let mut levels = Levels::new(format(1, SampleType::S32));
        levels.push(&[0x7FFF_FE00_i32; 9].map(i32::to_le_bytes).concat());
        assert_eq!(levels.take()[0].clipped_frames, 0);
        levels.push(&[0x7FFF_FF00_i32; 9].map(i32::to_le_bytes).concat());
        assert_eq!(levels.take()[0].clipped_frames, 9, "24 bits in 32");
    }

    #[test]
    fn one_value_again_and_again_is_frozen_unless_it_is_zero() {
        let still = [vec![0.5; 10], vec![0.25; 5_000]].concat();
        let moving: Vec<f64> = (0..5_000).map(|frame| f64::from(frame % 100) / 200.0 + 0.1).collect();
        for sample_type in ALL {
            for piece in [1, 7, 10_000] {
                with_sample!(sample_type, S => {
                    assert_eq!(mono::<S>(sample_type, &still, piece).frozen_frames, 5_000);
                    assert_eq!(mono::<S>(sample_type, &still, piece).zero_frames, 0);
                    assert_eq!(mono::<S>(sample_type, &moving, piece).frozen_frames, 1);
                    assert_eq!(mono::<S>(sample_type, &[0.0; 5_000], piece).frozen_frames, 0);
                    assert_eq!(mono::<S>(sample_type, &[0.0; 5_000], piece).zero_frames, 5_000);
                });
            }
        }
    }
}
