//! Formats, frames and the conversion of single samples.
//!
//! Audio is interleaved little-endian PCM. Integers are compared across types left-justified in 32 bits; full scale is 1.0.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How one sample lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SampleType {
    /// 16-bit integer.
    S16,
    /// 24-bit integer, packed in 3 bytes.
    S24,
    /// 32-bit integer.
    S32,
    /// 32-bit float.
    F32,
}

impl SampleType {
    /// Bytes of one sample.
    pub const fn bytes(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::S24 => 3,
            Self::S32 | Self::F32 => 4,
        }
    }

    /// The name that Python and the ledger use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::S16 => "s16",
            Self::S24 => "s24",
            Self::S32 => "s32",
            Self::F32 => "f32",
        }
    }
}

impl fmt::Display for SampleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SampleType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "s16" => Ok(Self::S16),
            "s24" => Ok(Self::S24),
            "s32" => Ok(Self::S32),
            "f32" => Ok(Self::F32),
            _ => Err(Error::UnsupportedFormat {
                reason: format!("sample type {name:?}; use s16, s24, s32 or f32"),
            }),
        }
    }
}

/// What one frame looks like; only supported formats exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedFormat")]
pub struct PcmFormat {
    channels: u16,
    sample_rate_hz: u32,
    sample_type: SampleType,
}

impl PcmFormat {
    /// # Errors
    /// `UnsupportedFormat` outside 1-64 channels and 8-384 kHz.
    pub fn new(channels: u16, sample_rate_hz: u32, sample_type: SampleType) -> Result<Self> {
        if !(1..=64).contains(&channels) {
            return Err(Error::UnsupportedFormat {
                reason: format!("{channels} channels; 1 to 64 are kept"),
            });
        }
        if !(8_000..=384_000).contains(&sample_rate_hz) {
            return Err(Error::UnsupportedFormat {
                reason: format!("sample rate {sample_rate_hz} Hz; 8000 to 384000 are kept"),
            });
        }
        Ok(Self { channels, sample_rate_hz, sample_type })
    }

    /// Samples in a frame.
    pub const fn channels(&self) -> usize {
        self.channels as usize
    }

    /// Frames per second.
    pub const fn sample_rate_hz(&self) -> u32 {
        self.sample_rate_hz
    }

    /// How one sample lies in memory.
    pub const fn sample_type(&self) -> SampleType {
        self.sample_type
    }

    /// Bytes of one frame.
    pub const fn frame_bytes(&self) -> usize {
        self.channels() * self.sample_type.bytes()
    }

    /// The frames in `pcm`.
    ///
    /// # Errors
    /// `InvalidArgument` when the last frame is not whole.
    pub fn frames_in(&self, pcm: &[u8]) -> Result<usize> {
        if !pcm.len().is_multiple_of(self.frame_bytes()) {
            return Err(Error::invalid(format!(
                "{} bytes are not whole frames of {} bytes",
                pcm.len(),
                self.frame_bytes()
            )));
        }
        Ok(pcm.len() / self.frame_bytes())
    }
}

#[derive(Deserialize)]
struct UncheckedFormat {
    channels: u16,
    sample_rate_hz: u32,
    sample_type: SampleType,
}

impl TryFrom<UncheckedFormat> for PcmFormat {
    type Error = Error;

    fn try_from(raw: UncheckedFormat) -> Result<Self> {
        Self::new(raw.channels, raw.sample_rate_hz, raw.sample_type)
    }
}

/// A sample type known at compile time, for loops over many samples. Choose one with [`with_sample!`](crate::with_sample).
///
/// The slices hold exactly `BYTES` bytes.
pub trait Sample {
    /// Bytes of one sample.
    const BYTES: usize;

    /// The absolute value at which a converter clips: the largest positive one. For 32 bits that of 24, since
    /// few converters have more; for a float that of 16, since many were integers before.
    const CLIPS_AT: f32;

    /// Left-justified in 32 bits; a float is rounded half to even and saturated, NaN is 0.
    fn to_i32(bytes: &[u8]) -> i32;

    /// Full scale is 1.0.
    fn to_f32(bytes: &[u8]) -> f32;

    /// Full scale is 1.0; an integer is rounded half to even and saturated, NaN becomes 0.
    fn put_f64(value: f64, bytes: &mut [u8]);

    /// From left-justified 32 bits; fewer bits are rounded half to even and saturated.
    fn put_i32(value: i32, bytes: &mut [u8]);
}

/// [`SampleType::S16`].
pub struct S16;
/// [`SampleType::S24`].
pub struct S24;
/// [`SampleType::S32`].
pub struct S32;
/// [`SampleType::F32`].
pub struct F32;

const FULL_SCALE: f64 = 2_147_483_648.0;

/// One load instead of one for each byte, so that loops over samples become vector code.
#[inline(always)]
fn fixed<const BYTES: usize>(bytes: &[u8]) -> [u8; BYTES] {
    let mut array = [0; BYTES];
    array.copy_from_slice(bytes);
    array
}

impl Sample for S16 {
    const BYTES: usize = 2;
    const CLIPS_AT: f32 = 1.0 - 1.0 / (1u32 << 15) as f32;

    #[inline(always)]
    fn to_i32(bytes: &[u8]) -> i32 {
        i32::from(i16::from_le_bytes(fixed(bytes))) << 16
    }

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        f32::from(i16::from_le_bytes(fixed(bytes))) / 32_768.0
    }

    #[inline(always)]
    fn put_f64(value: f64, bytes: &mut [u8]) {
        let rounded = (value * 32_768.0).round_ties_even() as i16;
        bytes.copy_from_slice(&rounded.to_le_bytes());
    }

    #[inline(always)]
    fn put_i32(value: i32, bytes: &mut [u8]) {
        Self::put_f64(f64::from(value) / FULL_SCALE, bytes);
    }
}

impl Sample for S24 {
    const BYTES: usize = 3;
    const CLIPS_AT: f32 = 1.0 - 1.0 / (1u32 << 23) as f32;

    #[inline(always)]
    fn to_i32(bytes: &[u8]) -> i32 {
        i32::from_le_bytes([0, bytes[0], bytes[1], bytes[2]])
    }

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        (Self::to_i32(bytes) >> 8) as f32 / 8_388_608.0
    }

    #[inline(always)]
    fn put_f64(value: f64, bytes: &mut [u8]) {
        let rounded = ((value * 8_388_608.0).round_ties_even() as i32).clamp(-8_388_608, 8_388_607);
        bytes.copy_from_slice(&rounded.to_le_bytes()[..3]);
    }

    #[inline(always)]
    fn put_i32(value: i32, bytes: &mut [u8]) {
        Self::put_f64(f64::from(value) / FULL_SCALE, bytes);
    }
}

impl Sample for S32 {
    const BYTES: usize = 4;
    const CLIPS_AT: f32 = 1.0 - 1.0 / (1u32 << 23) as f32;

    #[inline(always)]
    fn to_i32(bytes: &[u8]) -> i32 {
        i32::from_le_bytes(fixed(bytes))
    }

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        Self::to_i32(bytes) as f32 / FULL_SCALE as f32
    }

    #[inline(always)]
    fn put_f64(value: f64, bytes: &mut [u8]) {
        let rounded = (value * FULL_SCALE).round_ties_even() as i32;
        bytes.copy_from_slice(&rounded.to_le_bytes());
    }

    #[inline(always)]
    fn put_i32(value: i32, bytes: &mut [u8]) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
}

impl Sample for F32 {
    const BYTES: usize = 4;
    const CLIPS_AT: f32 = 1.0 - 1.0 / (1u32 << 15) as f32;

    #[inline(always)]
    fn to_i32(bytes: &[u8]) -> i32 {
        (f64::from(Self::to_f32(bytes)) * FULL_SCALE).round_ties_even() as i32
    }

    #[inline(always)]
    fn to_f32(bytes: &[u8]) -> f32 {
        f32::from_le_bytes(fixed(bytes))
    }

    #[inline(always)]
    fn put_f64(value: f64, bytes: &mut [u8]) {
        bytes.copy_from_slice(&(value as f32).to_le_bytes());
    }

    #[inline(always)]
    fn put_i32(value: i32, bytes: &mut [u8]) {
        Self::put_f64(f64::from(value) / FULL_SCALE, bytes);
    }
}

/// Runs an expression with `$S` bound to the [`Sample`] of a [`SampleType`]: `with_sample!(sample_type, S => sum::<S>(pcm))`.
#[macro_export]
macro_rules! with_sample {
    ($sample_type:expr, $S:ident => $body:expr) => {
        match $sample_type {
            $crate::pcm::SampleType::S16 => {
                type $S = $crate::pcm::S16;
                $body
            }
            $crate::pcm::SampleType::S24 => {
                type $S = $crate::pcm::S24;
                $body
            }
            $crate::pcm::SampleType::S32 => {
                type $S = $crate::pcm::S32;
                $body
            }
            $crate::pcm::SampleType::F32 => {
                type $S = $crate::pcm::F32;
                $body
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<S: Sample>(values: &[i32]) {
        let mut bytes = vec![0; S::BYTES];
        for value in values {
            S::put_i32(*value, &mut bytes);
            assert_eq!(S::to_i32(&bytes), *value);
        }
    }

    #[test]
    fn samples_of_every_width_come_back_unchanged() {
        round_trip::<S16>(&[0, 1 << 16, -(1 << 16), i32::MIN, 0x7FFF_0000]);
        round_trip::<S24>(&[0, 1 << 8, -(1 << 8), i32::MIN, 0x7FFF_FF00]);
        round_trip::<S32>(&[0, 1, -1, i32::MIN, i32::MAX]);
        round_trip::<F32>(&[0, 1 << 8, -(1 << 8), i32::MIN]);
    }

    #[test]
    fn too_loud_values_saturate_instead_of_wrapping() {
        let mut bytes = [0; 2];
        S16::put_f64(1.5, &mut bytes);
        assert_eq!(i16::from_le_bytes(bytes), i16::MAX);
        S16::put_f64(f64::NAN, &mut bytes);
        assert_eq!(i16::from_le_bytes(bytes), 0);
    }

    #[test]
    fn formats_outside_the_limits_do_not_exist() {
        assert!(PcmFormat::new(0, 48_000, SampleType::S16).is_err());
        assert!(PcmFormat::new(65, 48_000, SampleType::S16).is_err());
        assert!(PcmFormat::new(2, 7_999, SampleType::S16).is_err());
        let text = r#"{"channels":0,"sample_rate_hz":48000,"sample_type":"s16"}"#;
        assert!(serde_json::from_str::<PcmFormat>(text).is_err());
    }
}
