//! The channel map: which inputs, with which gains, make each output.

use std::hash::{Hash, Hasher};

use crate::error::{Error, Result};
use crate::pcm::{F32, S16, S24, S32, Sample, SampleType};
use crate::with_sample;

/// A gain matrix of `outputs` rows with `inputs` gains each.
///
/// An output is the sum of input × gain in double precision, rounded half to even and saturated. Four sums run side by side,
/// input i in sum i mod 4, and make (0 + 1) + (2 + 3): a fixed order, so that the result is the same everywhere.
/// Where a row is one input with gain 1 and the sample type stays, the bits are copied.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelMap {
    inputs: usize,
    rows: Vec<Vec<f64>>,
}

impl Eq for ChannelMap {}

impl Hash for ChannelMap {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inputs.hash(state);
        self.rows.iter().flatten().for_each(|gain| gain.to_bits().hash(state));
    }
}

impl ChannelMap {
    /// # Errors
    /// [`Error::ChannelMap`] unless there are 1-64 rows of 1-64 finite gains, all rows of one length.
    pub fn new(rows: Vec<Vec<f64>>) -> Result<Self> {
        let inputs = rows.first().map_or(0, Vec::len);
        limited(rows.len())?;
        limited(inputs)?;
        if rows.iter().any(|row| row.len() != inputs) {
            return Err(unfit("every output needs a gain for every input".into()));
        }
        if rows.iter().flatten().any(|gain| !gain.is_finite()) {
            return Err(unfit("a gain is not a finite number".into()));
        }
        // Adding 0 turns −0 into 0, so that equal maps have equal hashes.
        let rows = rows.into_iter().map(|row| row.into_iter().map(|gain| gain + 0.0).collect()).collect();
        Ok(Self { inputs, rows })
    }

    /// Every channel as it is.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] outside 1-64 channels.
    pub fn identity(channels: usize) -> Result<Self> {
        limited(channels)?;
        Self::select(&(0..channels).collect::<Vec<_>>(), channels)
    }

    /// These channels, counted from 0, in this order.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] when there are none, or one that is not among the inputs.
    pub fn select(channels: &[usize], inputs: usize) -> Result<Self> {
        limited(inputs)?;
        if let Some(channel) = channels.iter().find(|channel| **channel >= inputs) {
            return Err(unfit(format!("channel {channel} of {inputs} inputs, counted from 0")));
        }
        let row = |channel: &usize| (0..inputs).map(|input| f64::from(u8::from(input == *channel))).collect();
        Self::new(channels.iter().map(row).collect())
    }

    /// All inputs with gain 1/inputs into one output.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] outside 1-64 inputs.
    pub fn mono(inputs: usize) -> Result<Self> {
        limited(inputs)?;
        Self::new(vec![vec![1.0 / inputs as f64; inputs]])
    }

    /// Channels that a frame must have to go in.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Channels of a frame that comes out.
    pub fn outputs(&self) -> usize {
        self.rows.len()
    }

    /// The gains, a row for each output.
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// Whether it changes nothing but, perhaps, the sample type.
    pub fn is_identity(&self) -> bool {
        self.selected().is_some_and(|channels| channels.into_iter().eq(0..self.inputs))
    }

    /// Appends the mapped frames of `pcm` to `out`.
    ///
    /// # Errors
    /// [`Error::ChannelMap`] when `pcm` is not whole frames of these inputs; then `out` is as before.
    pub fn apply(&self, pcm: &[u8], input: SampleType, output: SampleType, out: &mut Vec<u8>) -> Result<()> {
        let frame_bytes = self.inputs * input.bytes();
        if !pcm.len().is_multiple_of(frame_bytes) {
            return Err(unfit(format!(
                "{} bytes are not whole frames of {} {input} inputs",
                pcm.len(),
                self.inputs
            )));
        }
        if input == output {
            if self.is_identity() {
                out.extend_from_slice(pcm);
                return Ok(());
            }
            if let Some(channels) = self.selected() {
                copy_selected(pcm, frame_bytes, input, &channels, out);
                return Ok(());
            }
        }
        let start = out.len();
        out.resize(start + pcm.len() / frame_bytes * self.outputs() * output.bytes(), 0);
        let mixed = &mut out[start..];
        with_sample!(input, I => with_sample!(output, O => self.mix::<I, O>(pcm, mixed)));
        Ok(())
    }

    fn mix<I: Number, O: Number>(&self, pcm: &[u8], mixed: &mut [u8]) {
        let scale = O::FULL_SCALE / I::FULL_SCALE;
        match (self.inputs, self.outputs()) {
            (2, 1) => mix_small::<I, O, 2, 1>(&self.matrix(scale), pcm, mixed),
            (2, 2) => mix_small::<I, O, 2, 2>(&self.matrix(scale), pcm, mixed),
            (_, 1) => mix_dense::<I, O, 1>(&self.tiles(scale), self.inputs, pcm, mixed),
            (_, 2) => mix_dense::<I, O, 2>(&self.tiles(scale), self.inputs, pcm, mixed),
            _ => mix_sparse::<I, O>(&self.terms(scale), self.inputs, pcm, mixed),
        }
    }

    /// The gains of each input, a power of two apart from what was asked for so that no sample needs scaling.
    fn matrix<const INPUTS: usize, const OUTPUTS: usize>(&self, scale: f64) -> [[f64; OUTPUTS]; INPUTS] {
        std::array::from_fn(|input| std::array::from_fn(|output| self.rows[output][input] * scale))
    }

    /// As [`Self::matrix`], four inputs at a time, filled up with gains of 0.
    fn tiles<const OUTPUTS: usize>(&self, scale: f64) -> Vec<[[f64; LANES]; OUTPUTS]> {
        let gain =
            |output: usize, input: usize| self.rows[output].get(input).map_or(0.0, |gain| gain * scale);
        let tile = |first: usize| {
            std::array::from_fn(|output| std::array::from_fn(|lane| gain(output, first + lane)))
        };
        (0..self.inputs).step_by(LANES).map(tile).collect()
    }

    /// The inputs that each output listens to, with their gains.
    fn terms(&self, scale: f64) -> Vec<Vec<(usize, f64)>> {
        let heard = |row: &Vec<f64>| {
            let gains = row.iter().map(|gain| gain * scale).enumerate();
            gains.filter(|(_, gain)| *gain != 0.0).collect()
        };
        self.rows.iter().map(heard).collect()
    }

    /// The input of each output, if all of them are one input with gain 1.
    fn selected(&self) -> Option<Vec<usize>> {
        self.rows
            .iter()
            .map(|row| {
                let channel = row.iter().position(|gain| *gain == 1.0)?;
                let others = row.iter().filter(|gain| **gain == 0.0).count();
                (others == self.inputs - 1).then_some(channel)
            })
            .collect()
    }
}

const MOST_CHANNELS: usize = 64;
/// Sums that run side by side.
const LANES: usize = 4;

fn limited(channels: usize) -> Result<()> {
    if (1..=MOST_CHANNELS).contains(&channels) {
        return Ok(());
    }
    Err(unfit(format!("{channels} channels; 1 to {MOST_CHANNELS} can be mapped")))
}

fn unfit(reason: String) -> Error {
    Error::ChannelMap { reason }
}

fn copy_selected(
    pcm: &[u8],
    frame_bytes: usize,
    sample_type: SampleType,
    channels: &[usize],
    out: &mut Vec<u8>,
) {
    match sample_type.bytes() {
        2 => copy_samples::<2>(pcm, frame_bytes, channels, out),
        3 => copy_samples::<3>(pcm, frame_bytes, channels, out),
        _ => copy_samples::<4>(pcm, frame_bytes, channels, out),
    }
}

fn copy_samples<const BYTES: usize>(pcm: &[u8], frame_bytes: usize, channels: &[usize], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + pcm.len() / frame_bytes * channels.len() * BYTES, 0);
    let copied = out[start..].chunks_exact_mut(channels.len() * BYTES);
    for (frame, copy) in pcm.chunks_exact(frame_bytes).zip(copied) {
        for (sample, channel) in copy.chunks_exact_mut(BYTES).zip(channels) {
            sample.copy_from_slice(&frame[channel * BYTES..][..BYTES]);
        }
    }
}

/// As [`mix_dense`], with a shape that the compiler knows and unrolls.
fn mix_small<I: Number, O: Number, const INPUTS: usize, const OUTPUTS: usize>(
    columns: &[[f64; OUTPUTS]; INPUTS],
    pcm: &[u8],
    mixed: &mut [u8],
) {
    let frames = pcm.chunks_exact(INPUTS * I::BYTES);
    for (frame, result) in frames.zip(mixed.chunks_exact_mut(OUTPUTS * O::BYTES)) {
        for output in 0..OUTPUTS {
            let mut sums = [0.0; LANES];
            for input in 0..INPUTS {
                sums[input % LANES] += read_at::<I>(frame, input) * columns[input][output];
            }
            O::write(total(sums), &mut result[output * O::BYTES..][..O::BYTES]);
        }
    }
}

fn mix_dense<I: Number, O: Number, const OUTPUTS: usize>(
    tiles: &[[[f64; LANES]; OUTPUTS]],
    inputs: usize,
    pcm: &[u8],
    mixed: &mut [u8],
) {
    let frames = pcm.chunks_exact(inputs * I::BYTES);
    for (frame, result) in frames.zip(mixed.chunks_exact_mut(OUTPUTS * O::BYTES)) {
        let mut sums = [[0.0; LANES]; OUTPUTS];
        let fours = frame.chunks_exact(LANES * I::BYTES);
        let rest = fours.remainder();
        for (bytes, tile) in fours.zip(tiles) {
            add_tile(&std::array::from_fn(|lane| read_at::<I>(bytes, lane)), tile, &mut sums);
        }
        if let Some(tile) = tiles.last().filter(|_| !rest.is_empty()) {
            let held = rest.len() / I::BYTES;
            let four = std::array::from_fn(|lane| if lane < held { read_at::<I>(rest, lane) } else { 0.0 });
            add_tile(&four, tile, &mut sums);
        }
        for (sums, bytes) in sums.iter().zip(result.chunks_exact_mut(O::BYTES)) {
            O::write(total(*sums), bytes);
        }
    }
}

#[inline(always)]
fn add_tile<const OUTPUTS: usize>(
    four: &[f64; LANES],
    tile: &[[f64; LANES]; OUTPUTS],
    sums: &mut [[f64; LANES]; OUTPUTS],
) {
    for output in 0..OUTPUTS {
        for lane in 0..LANES {
            sums[output][lane] += four[lane] * tile[output][lane];
        }
    }
}

fn mix_sparse<I: Number, O: Number>(
    terms: &[Vec<(usize, f64)>],
    inputs: usize,
    pcm: &[u8],
    mixed: &mut [u8],
) {
    let frames = pcm.chunks_exact(inputs * I::BYTES);
    for (frame, result) in frames.zip(mixed.chunks_exact_mut(terms.len() * O::BYTES)) {
        for (terms, bytes) in terms.iter().zip(result.chunks_exact_mut(O::BYTES)) {
            let mut sums = [0.0; LANES];
            for (input, gain) in terms {
                sums[input % LANES] += read_at::<I>(frame, *input) * gain;
            }
            O::write(total(sums), bytes);
        }
    }
}

#[inline(always)]
fn total(sums: [f64; LANES]) -> f64 {
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

#[inline(always)]
fn read_at<S: Number>(frame: &[u8], channel: usize) -> f64 {
    S::read(&frame[channel * S::BYTES..][..S::BYTES])
}

/// A sample as a number in its own steps.
trait Number: Sample {
    const FULL_SCALE: f64;
    fn read(bytes: &[u8]) -> f64;
    /// Rounds half to even and saturates.
    fn write(value: f64, bytes: &mut [u8]);
}

impl Number for S16 {
    const FULL_SCALE: f64 = 32_768.0;

    #[inline(always)]
    fn read(bytes: &[u8]) -> f64 {
        f64::from(Self::to_i32(bytes) >> 16)
    }

    #[inline(always)]
    fn write(value: f64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&rounded(value, Self::FULL_SCALE).to_le_bytes()[..2]);
    }
}

impl Number for S24 {
    const FULL_SCALE: f64 = 8_388_608.0;

    #[inline(always)]
    fn read(bytes: &[u8]) -> f64 {
        f64::from(Self::to_i32(bytes) >> 8)
    }

    #[inline(always)]
    fn write(value: f64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&rounded(value, Self::FULL_SCALE).to_le_bytes()[..3]);
    }
}

impl Number for S32 {
    const FULL_SCALE: f64 = 2_147_483_648.0;

    #[inline(always)]
    fn read(bytes: &[u8]) -> f64 {
        f64::from(Self::to_i32(bytes))
    }

    #[inline(always)]
    fn write(value: f64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&rounded(value, Self::FULL_SCALE).to_le_bytes());
    }
}

impl Number for F32 {
    const FULL_SCALE: f64 = 1.0;

    /// What is no number is silence, and infinity the largest number, so that a gain of 0 always silences.
    #[inline(always)]
    fn read(bytes: &[u8]) -> f64 {
        let value = Self::to_f32(bytes);
        f64::from(if value.is_nan() { 0.0 } else { value.clamp(f32::MIN, f32::MAX) })
    }

    #[inline(always)]
    fn write(value: f64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&(value as f32).to_le_bytes());
    }
}

/// Adding 1.5 × 2⁵² leaves the rounded integer in the low bits of a double: branch-free on every processor.
#[inline(always)]
fn rounded(value: f64, full_scale: f64) -> i32 {
    let floor = -full_scale;
    let ceiling = full_scale - 1.0;
    let value = if value > floor { value } else { floor };
    let value = if value < ceiling { value } else { ceiling };
    (value + 6_755_399_441_055_744.0).to_bits() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even_and_too_much_saturates() {
        let full = 32_768.0;
        let cases = [(0.5, 0), (1.5, 2), (-0.5, 0), (-1.5, -2), (2.5, 2), (1e12, 32_767), (-1e12, -32_768)];
        for (value, expected) in cases {
            assert_eq!(rounded(value, full), expected, "{value}");
        }
        assert_eq!(rounded(f64::MAX, 2_147_483_648.0), i32::MAX);
        assert_eq!(rounded(f64::MIN, 2_147_483_648.0), i32::MIN);
    }

    #[test]
    fn torn_frames_are_refused_and_leave_the_output_alone() {
        let map = ChannelMap::identity(2).expect("2 channels");
        let mut out = vec![7];
        assert!(map.apply(&[0; 6], SampleType::S16, SampleType::S16, &mut out).is_err());
        assert_eq!(out, [7]);
    }

    #[test]
    fn maps_that_cannot_be_are_refused() {
        assert!(ChannelMap::new(vec![]).is_err());
        assert!(ChannelMap::new(vec![vec![]]).is_err());
        assert!(ChannelMap::new(vec![vec![1.0], vec![1.0, 0.0]]).is_err());
        assert!(ChannelMap::new(vec![vec![f64::NAN]]).is_err());
        assert!(ChannelMap::select(&[2], 2).is_err());
        assert!(ChannelMap::select(&[], 2).is_err());
        assert!(ChannelMap::identity(usize::MAX).is_err());
        assert!(ChannelMap::mono(0).is_err());
    }
}
