//! R 128 integrated loudness (ITU-R BS.1770-4, EBU Tech 3341) in constant memory.
//!
//! Every channel counts alike: where microphones stand is not known, so nothing is weighted as surround.

use crate::pcm::{PcmFormat, Sample};
use crate::with_sample;

/// Measures one stream.
pub struct Loudness {
    format: PcmFormat,
    weighting: Weighting,
    pairs: Vec<Pair>,
    samples: Vec<f32>,
    tenth_frames: usize,
    /// Frames in the tenth of a second that is not complete.
    filled: usize,
    /// Energies of the newest tenths; four make a gating block, so that blocks overlap by three quarters.
    tenths: [f64; 4],
    complete_tenths: u64,
    blocks: Histogram,
}

impl Loudness {
    /// Nothing measured yet.
    pub fn new(format: PcmFormat) -> Self {
        Self {
            format,
            weighting: Weighting::at(f64::from(format.sample_rate_hz())),
            pairs: vec![Pair::default(); format.channels().div_ceil(2)],
            samples: Vec::new(),
            tenth_frames: (format.sample_rate_hz() as usize + 5) / 10,
            filled: 0,
            tenths: [0.0; 4],
            complete_tenths: 0,
            blocks: Histogram::default(),
        }
    }

    /// Measures whole frames; bytes behind the last whole one do not count.
    pub fn push(&mut self, pcm: &[u8]) {
        let frame_bytes = self.format.frame_bytes();
        let mut rest = &pcm[..pcm.len() - pcm.len() % frame_bytes];
        while !rest.is_empty() {
            let room = (self.tenth_frames - self.filled) * frame_bytes;
            let (now, later) = rest.split_at(rest.len().min(room));
            with_sample!(self.format.sample_type(), S => self.weigh::<S>(now));
            self.filled += now.len() / frame_bytes;
            if self.filled == self.tenth_frames {
                self.close_tenth();
            }
            rest = later;
        }
    }

    /// LUFS so far; negative infinity when nothing was above the absolute gate of −70.
    pub fn integrated_lufs(&self) -> f64 {
        let ungated = self.blocks.mean_from(0.0);
        lufs(self.blocks.mean_from(ungated / 10.0))
    }

    fn weigh<S: Sample>(&mut self, pcm: &[u8]) {
        self.samples.clear();
        self.samples.extend(pcm.chunks_exact(S::BYTES).map(value::<S>));
        let channels = self.format.channels();
        for (index, pair) in self.pairs.iter_mut().enumerate() {
            let frames = self.samples.chunks_exact(channels).map(|frame| &frame[2 * index..]);
            if 2 * index + 1 < channels {
                pair.weigh(&self.weighting, frames.map(|two| [f64::from(two[0]), f64::from(two[1])]));
            } else {
                pair.weigh(&self.weighting, frames.map(|one| [f64::from(one[0]), 0.0]));
            }
        }
    }

    fn close_tenth(&mut self) {
        self.tenths.rotate_left(1);
        self.tenths[3] = self.pairs.iter_mut().map(Pair::take_energy).sum();
        self.filled = 0;
        self.complete_tenths += 1;
        if self.complete_tenths >= 4 {
            self.blocks.add(self.tenths.iter().sum::<f64>() / (4 * self.tenth_frames) as f64);
        }
    }
}

/// What is no finite number is silence: one of them would stay in the filter for ever.
#[inline(always)]
fn value<S: Sample>(bytes: &[u8]) -> f32 {
    let value = S::to_f32(bytes);
    if value.is_finite() { value } else { 0.0 }
}

fn lufs(energy: f64) -> f64 {
    10.0 * energy.log10() - 0.691
}

/// The K-weighting: a high shelf and a high pass as one filter of fourth order.
struct Weighting {
    forward: [f64; 5],
    back: [f64; 4],
}

impl Weighting {
    /// The analogue prototypes of BS.1770, taken to this sample rate (De Man, 2014).
    fn at(rate_hz: f64) -> Self {
        let shelf_gain = 10f64.powf(3.999_843_853_973_347 / 20.0);
        let shelf_band = shelf_gain.powf(0.499_666_774_154_541_6);
        let (q, k) = (0.707_175_236_955_419_6, prewarped(1_681.974_450_955_533, rate_hz));
        let norm = 1.0 + k / q + k * k;
        let shelf = [
            (shelf_gain + shelf_band * k / q + k * k) / norm,
            2.0 * (k * k - shelf_gain) / norm,
            (shelf_gain - shelf_band * k / q + k * k) / norm,
        ];
        let shelf_back = [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / q + k * k) / norm];

        let (q, k) = (0.500_327_037_323_877_3, prewarped(38.135_470_876_024_44, rate_hz));
        let norm = 1.0 + k / q + k * k;
        let pass_back = [1.0, 2.0 * (k * k - 1.0) / norm, (1.0 - k / q + k * k) / norm];
        let back = product(shelf_back, pass_back);
        Self { forward: product(shelf, [1.0, -2.0, 1.0]), back: [back[1], back[2], back[3], back[4]] }
    }
}

fn prewarped(hz: f64, rate_hz: f64) -> f64 {
    (std::f64::consts::PI * hz / rate_hz).tan()
}

fn product(a: [f64; 3], b: [f64; 3]) -> [f64; 5] {
    let mut product = [0.0; 5];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            product[i + j] += a * b;
        }
    }
    product
}

/// Two channels side by side, as wide as the smallest vector register.
#[derive(Clone, Default)]
struct Pair {
    past: [[f64; 2]; 4],
    energy: [f64; 2],
}

impl Pair {
    fn weigh(&mut self, weighting: &Weighting, frames: impl Iterator<Item = [f64; 2]>) {
        let Weighting { forward: b, back: a } = weighting;
        let [mut s1, mut s2, mut s3, mut s4] = self.past;
        let mut energy = self.energy;
        for frame in frames {
            let mut s0 = [0.0; 2];
            for lane in 0..2 {
                // What hangs on the newest value comes last, since the next frame waits for it.
                let known = frame[lane] - (a[1] * s2[lane] + a[2] * s3[lane] + a[3] * s4[lane]);
                s0[lane] = known - a[0] * s1[lane];
                let past = b[1] * s1[lane] + b[2] * s2[lane] + b[3] * s3[lane] + b[4] * s4[lane];
                let weighted = b[0] * s0[lane] + past;
                energy[lane] += weighted * weighted;
            }
            (s4, s3, s2, s1) = (s3, s2, s1, s0);
        }
        self.past = [s1, s2, s3, s4];
        self.energy = energy;
    }

    /// The energy since the last taking. Ends a decay before its numbers get so small that the processor slows down.
    fn take_energy(&mut self) -> f64 {
        for value in self.past.iter_mut().flatten() {
            *value = if value.abs() < 1e-60 { 0.0 } else { *value };
        }
        std::mem::take(&mut self.energy).iter().sum()
    }
}

/// Energies of gating blocks, sorted into steps of 0.01 LU from the absolute gate up.
struct Histogram {
    steps: Vec<(u64, f64)>,
}

const GATE_LUFS: f64 = -70.0;
const STEPS_PER_LU: f64 = 100.0;
const HIGHEST_LUFS: f64 = 30.0;

impl Default for Histogram {
    fn default() -> Self {
        let steps = ((HIGHEST_LUFS - GATE_LUFS) * STEPS_PER_LU) as usize + 1;
        Self { steps: vec![(0, 0.0); steps] }
    }
}

impl Histogram {
    fn add(&mut self, energy: f64) {
        let above_gate = lufs(energy) - GATE_LUFS;
        if above_gate >= 0.0 {
            let step = ((above_gate * STEPS_PER_LU) as usize).min(self.steps.len() - 1);
            self.steps[step].0 += 1;
            self.steps[step].1 += energy;
        }
    }

    /// The mean energy of the blocks from this energy on; 0 when there are none.
    fn mean_from(&self, energy: f64) -> f64 {
        let loud = self.steps.iter().filter(|(blocks, sum)| *blocks > 0 && sum / *blocks as f64 >= energy);
        let (blocks, sum) = loud.fold((0, 0.0), |(blocks, sum), step| (blocks + step.0, sum + step.1));
        if blocks > 0 { sum / blocks as f64 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use ebur128::{EbuR128, Mode};

    use super::*;
    use crate::pcm::SampleType;
    use crate::synthetic::{keyed_pcm, tone_pcm};

    /// Noise, quiet noise, silence and a tone, as floats.
    fn programme(rate: u32, channels: u16) -> Vec<f32> {
        let second = rate as usize;
        let noise = keyed_pcm(0, second * 3, usize::from(channels), 7).expect("small");
        let noise = noise.as_chunks().0.iter().map(|bytes| i32::from_le_bytes(*bytes) as f32 / 2f32.powi(33));
        let quiet: Vec<f32> = noise.clone().map(|value| value / 50.0).collect();
        let format = PcmFormat::new(channels, rate, SampleType::F32).expect("in range");
        let tone = tone_pcm(0, second * 2, format, 997.0, -12.0).expect("small");
        let tone = tone.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let silence = std::iter::repeat_n(0.0, second * usize::from(channels));
        noise.chain(quiet).chain(silence).chain(tone).collect()
    }

    fn measured(samples: &[f32], format: PcmFormat, piece: usize) -> f64 {
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let mut loudness = Loudness::new(format);
        pcm.chunks(piece * format.frame_bytes()).for_each(|piece| loudness.push(piece));
        loudness.integrated_lufs()
    }

    #[test]
    fn integrated_loudness_is_that_of_libebur128() {
        for (rate, channels) in [(8_000, 1), (11_025, 2), (44_100, 1), (48_000, 2), (96_000, 3), (384_000, 2)]
        {
            let samples = programme(rate, channels);
            let mut reference = EbuR128::new(u32::from(channels), rate, Mode::I).expect("in range");
            reference.add_frames_f32(&samples).expect("whole frames");
            let expected = reference.loudness_global().expect("asked for");
            let format = PcmFormat::new(channels, rate, SampleType::F32).expect("in range");
            let result = measured(&samples, format, 1000);
            assert!(
                (result - expected).abs() < 0.01,
                "{rate} Hz, {channels} channels: {result} not {expected}"
            );
        }
    }

    #[test]
    fn it_does_not_depend_on_how_the_frames_arrive() {
        let samples = programme(8_000, 2);
        let format = PcmFormat::new(2, 8_000, SampleType::F32).expect("in range");
        let whole = measured(&samples, format, samples.len());
        for piece in [1, 7, 799, 800, 801] {
            assert_eq!(measured(&samples, format, piece), whole);
        }
    }

    #[test]
    fn silence_and_less_than_a_block_have_no_finite_loudness() {
        let format = PcmFormat::new(1, 8_000, SampleType::F32).expect("in range");
        assert_eq!(measured(&vec![0.0; 80_000], format, 1000), f64::NEG_INFINITY);
        assert_eq!(measured(&vec![0.5; 3_199], format, 1000), f64::NEG_INFINITY);
    }

    #[test]
    fn what_is_no_number_does_not_stay() {
        let format = PcmFormat::new(1, 8_000, SampleType::F32).expect("in range");
        let mut samples = programme(8_000, 1);
        let before = measured(&samples, format, 1000);
        samples[0] = f32::NAN;
        samples[1] = f32::INFINITY;
        assert!((measured(&samples, format, 1000) - before).abs() < 0.01);
    }
}
