//! The waveform: per bin and channel a (min, max) pair, drawn while frames arrive.
//!
//! The numbers are those that audiowaveform computes. A sample first becomes 16 bits: of an integer the upper 16 are
//! taken (towards −∞), a float is multiplied by 32767, cut towards 0 and saturated; what is no number counts for nothing.
//! A pair of 8 bits is the pair of 16 bits divided by 256, cut towards 0.

use crate::error::{Error, Result};
use crate::pcm::{PcmFormat, SampleType};

/// Bits of one number of a waveform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// −128 … 127.
    Eight,
    /// −32768 … 32767.
    Sixteen,
}

impl Bits {
    /// # Errors
    /// [`Error::InvalidArgument`] for any other number than 8 and 16.
    pub fn new(bits: u32) -> Result<Self> {
        match bits {
            8 => Ok(Self::Eight),
            16 => Ok(Self::Sixteen),
            _ => Err(Error::invalid(format!("a waveform has 8 or 16 bits, not {bits}"))),
        }
    }

    const fn bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }

    fn put(self, value: i16, out: &mut Vec<u8>) {
        match self {
            Self::Eight => out.push((value / 256) as u8),
            Self::Sixteen => out.extend_from_slice(&value.to_le_bytes()),
        }
    }

    fn get(self, bytes: &[u8]) -> i16 {
        match self {
            Self::Eight => i16::from(bytes[0] as i8) * 256,
            Self::Sixteen => i16::from_le_bytes([bytes[0], bytes[1]]),
        }
    }
}

/// Draws one stream.
#[derive(Clone, Debug)]
pub struct Waveform {
    format: PcmFormat,
    frames_per_bin: u32,
    bits: Bits,
    bins: u64,
    /// Frames in the bin that is not complete.
    filled: u32,
    low: Vec<i16>,
    high: Vec<i16>,
}

impl Waveform {
    /// # Errors
    /// [`Error::InvalidArgument`] unless a bin has 1 to 2³¹ − 1 frames.
    pub fn new(format: PcmFormat, frames_per_bin: u32, bits: Bits) -> Result<Self> {
        if frames_per_bin == 0 || frames_per_bin > i32::MAX as u32 {
            return Err(Error::invalid(format!("{frames_per_bin} frames in a bin; use 1 to {}", i32::MAX)));
        }
        let channels = format.channels();
        Ok(Self {
            format,
            frames_per_bin,
            bits,
            bins: 0,
            filled: 0,
            low: vec![i16::MAX; channels],
            high: vec![i16::MIN; channels],
        })
    }

    /// Draws whole frames and appends the bins that they complete to `out`; bytes behind the last whole frame do not count.
    pub fn push(&mut self, pcm: &[u8], out: &mut Vec<u8>) {
        let frame_bytes = self.format.frame_bytes();
        let mut rest = &pcm[..pcm.len() - pcm.len() % frame_bytes];
        while !rest.is_empty() {
            let room = (self.frames_per_bin - self.filled) as usize;
            let (now, later) = rest.split_at(rest.len().min(room.saturating_mul(frame_bytes)));
            self.widen(now);
            self.filled += (now.len() / frame_bytes) as u32;
            if self.filled == self.frames_per_bin {
                self.close_bin(out);
            }
            rest = later;
        }
    }

    /// Goes on behind bins that were drawn before, by another drawer of the same stream.
    pub fn behind(mut self, bins: u64) -> Self {
        self.bins = bins;
        self
    }

    /// As [`push`](Self::push), of frames that are all zero: at most the bin that was begun goes to `out`. Returns the whole bins
    /// of silence behind it, whose bytes are all zero, so that hours of it cost nothing.
    pub fn push_silence(&mut self, frames: u64, out: &mut Vec<u8>) -> u64 {
        let per_bin = u64::from(self.frames_per_bin);
        let begun = if self.filled > 0 { frames.min(per_bin - u64::from(self.filled)) } else { 0 };
        self.widen_by_silence(begun, out);
        let silent_bins = (frames - begun) / per_bin;
        self.bins += silent_bins;
        self.widen_by_silence((frames - begun) % per_bin, out);
        silent_bins
    }

    /// Appends the last, shorter bin, if there is one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.filled > 0 {
            self.close_bin(out);
        }
    }

    /// Complete bins so far.
    pub fn bins(&self) -> u64 {
        self.bins
    }

    /// What one frame of the drawn stream looks like.
    pub fn format(&self) -> PcmFormat {
        self.format
    }

    /// The 24 bytes before the bins of a `.dat` file of version 2, for the bins so far.
    pub fn header(&self) -> [u8; 24] {
        let flags = u32::from(self.bits == Bits::Eight);
        let bins = u32::try_from(self.bins).unwrap_or(u32::MAX);
        let fields = [
            2,
            flags,
            self.format.sample_rate_hz(),
            self.frames_per_bin,
            bins,
            self.format.channels() as u32,
        ];
        let mut header = [0; 24];
        for (bytes, field) in header.chunks_exact_mut(4).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        header
    }

    fn widen(&mut self, pcm: &[u8]) {
        match self.format.sample_type() {
            SampleType::S16 => widen::<Drawn16>(pcm, &mut self.low, &mut self.high),
            SampleType::S24 => widen::<Drawn24>(pcm, &mut self.low, &mut self.high),
            SampleType::S32 => widen::<Drawn32>(pcm, &mut self.low, &mut self.high),
            SampleType::F32 => widen::<DrawnFloat>(pcm, &mut self.low, &mut self.high),
        }
    }

    /// No more frames than the bin has room for.
    fn widen_by_silence(&mut self, frames: u64, out: &mut Vec<u8>) {
        if frames == 0 {
            return;
        }
        for (low, high) in self.low.iter_mut().zip(&mut self.high) {
            (*low, *high) = ((*low).min(0), (*high).max(0));
        }
        self.filled += frames as u32;
        if self.filled == self.frames_per_bin {
            self.close_bin(out);
        }
    }

    /// Bytes of one bin.
    pub fn bin_bytes(&self) -> u64 {
        (self.format.channels() * 2 * self.bits.bytes()) as u64
    }

    fn close_bin(&mut self, out: &mut Vec<u8>) {
        for (low, high) in self.low.iter_mut().zip(&mut self.high) {
            // A bin of floats that are no numbers has seen nothing: it is drawn as silence.
            let seen = low <= high;
            self.bits.put(if seen { *low } else { 0 }, out);
            self.bits.put(if seen { *high } else { 0 }, out);
            (*low, *high) = (i16::MAX, i16::MIN);
        }
        self.bins += 1;
        self.filled = 0;
    }
}

/// The next level of a pyramid: `factor` bins become one, the last of fewer.
///
/// # Errors
/// [`Error::InvalidArgument`] for a factor below 2, outside 1-64 channels, or for bytes that are not whole bins.
pub fn coarser(bins: &[u8], channels: usize, bits: Bits, factor: usize) -> Result<Vec<u8>> {
    let bin_bytes = channels.saturating_mul(2 * bits.bytes());
    if factor < 2 || !(1..=64).contains(&channels) || !bins.len().is_multiple_of(bin_bytes) {
        return Err(Error::invalid(format!(
            "{} bytes are not whole bins of {channels} channels (1 to 64), or the factor {factor} is below 2",
            bins.len()
        )));
    }
    let mut out = Vec::with_capacity(bins.len() / factor + bin_bytes);
    for group in bins.chunks(bin_bytes.saturating_mul(factor)) {
        for channel in 0..channels {
            let at = channel * 2 * bits.bytes();
            let pairs = group.chunks_exact(bin_bytes).map(|bin| &bin[at..]);
            let low = pairs.clone().map(|pair| bits.get(pair)).fold(i16::MAX, i16::min);
            let high = pairs.map(|pair| bits.get(&pair[bits.bytes()..])).fold(i16::MIN, i16::max);
            bits.put(low, &mut out);
            bits.put(high, &mut out);
        }
    }
    Ok(out)
}

/// A sample as it is compared: the order of `Key`s is the order of the 16-bit values they end as.
trait Drawn {
    type Bytes: Copy;
    type Key: Copy + PartialOrd;
    const LOWEST: Self::Key;
    const HIGHEST: Self::Key;
    fn samples(pcm: &[u8]) -> &[Self::Bytes];
    fn key(sample: Self::Bytes) -> Self::Key;
    fn value(key: Self::Key) -> i16;
}

macro_rules! drawn_by_upper_bits {
    ($name:ident, $bytes:literal, $upper:expr) => {
        struct $name;

        impl Drawn for $name {
            type Bytes = [u8; $bytes];
            type Key = i16;
            const LOWEST: i16 = i16::MIN;
            const HIGHEST: i16 = i16::MAX;

            #[inline(always)]
            fn samples(pcm: &[u8]) -> &[[u8; $bytes]] {
                pcm.as_chunks().0
            }

            #[inline(always)]
            fn key(sample: [u8; $bytes]) -> i16 {
                $upper(sample)
            }

            #[inline(always)]
            fn value(key: i16) -> i16 {
                key
            }
        }
    };
}

drawn_by_upper_bits!(Drawn16, 2, i16::from_le_bytes);
drawn_by_upper_bits!(Drawn24, 3, |sample: [u8; 3]| i16::from_le_bytes([sample[1], sample[2]]));
drawn_by_upper_bits!(Drawn32, 4, |sample| (i32::from_le_bytes(sample) >> 16) as i16);

struct DrawnFloat;

impl Drawn for DrawnFloat {
    type Bytes = [u8; 4];
    type Key = f32;
    const LOWEST: f32 = f32::NEG_INFINITY;
    const HIGHEST: f32 = f32::INFINITY;

    #[inline(always)]
    fn samples(pcm: &[u8]) -> &[[u8; 4]] {
        pcm.as_chunks().0
    }

    #[inline(always)]
    fn key(sample: [u8; 4]) -> f32 {
        f32::from_le_bytes(sample)
    }

    #[inline(always)]
    fn value(key: f32) -> i16 {
        (key * 32_767.0) as i16
    }
}

/// Samples of one row of comparisons: a few vector registers.
const ROW: usize = 32;
/// The widest row of whole frames that [`widen`] needs.
const WIDEST_ROW: usize = 64;

fn widen<D: Drawn>(pcm: &[u8], low: &mut [i16], high: &mut [i16]) {
    let channels = low.len();
    let samples = D::samples(pcm);
    let mut lows = [D::HIGHEST; WIDEST_ROW];
    let mut highs = [D::LOWEST; WIDEST_ROW];
    let width = channels * ROW.div_ceil(channels);
    if width == ROW {
        extend_rows_of_32::<D>(samples, &mut lows, &mut highs);
    } else {
        for row in samples.chunks(width) {
            extend::<D>(row, &mut lows[..width], &mut highs[..width]);
        }
    }
    for (channel, (low, high)) in low.iter_mut().zip(high).enumerate() {
        for at in (channel..width).step_by(channels) {
            *low = D::value(lows[at]).min(*low);
            *high = D::value(highs[at]).max(*high);
        }
    }
}

/// As [`extend`], with a width that lets all of it stay in registers.
fn extend_rows_of_32<D: Drawn>(samples: &[D::Bytes], lows: &mut [D::Key], highs: &mut [D::Key]) {
    let mut near = [D::HIGHEST; ROW];
    let mut far = [D::LOWEST; ROW];
    let (rows, rest) = samples.as_chunks::<ROW>();
    for row in rows {
        for at in 0..ROW {
            let key = D::key(row[at]);
            near[at] = if key < near[at] { key } else { near[at] };
            far[at] = if key > far[at] { key } else { far[at] };
        }
    }
    extend::<D>(rest, &mut near, &mut far);
    lows[..ROW].copy_from_slice(&near);
    highs[..ROW].copy_from_slice(&far);
}

fn extend<D: Drawn>(row: &[D::Bytes], lows: &mut [D::Key], highs: &mut [D::Key]) {
    for (sample, (low, high)) in row.iter().zip(lows.iter_mut().zip(highs)) {
        let key = D::key(*sample);
        *low = if key < *low { key } else { *low };
        *high = if key > *high { key } else { *high };
    }
}
