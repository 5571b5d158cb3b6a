//! Known signals: every frame can be told from every other, and made again at any place.

use std::f64::consts::TAU;

use crate::error::{Error, Result};
use crate::pcm::{PcmFormat, Sample, SampleType};
use crate::with_sample;

/// Stereo s16: frame n as left = its low 16 bits, right = the next 16. Frame 0 is silence, so a source begins at 1.
///
/// # Errors
/// [`Error::InvalidArgument`] for more than memory holds.
pub fn counter_pcm(start_frame: u64, frames: usize) -> Result<Vec<u8>> {
    let mut pcm = room(frames, 4)?;
    for frame in numbered(start_frame, frames) {
        pcm.extend_from_slice(&(frame as u32).to_le_bytes());
    }
    Ok(pcm)
}

/// s32: a sample is the upper half of [`keyed_hash`].
///
/// # Errors
/// [`Error::InvalidArgument`] outside 1-64 channels and for more than memory holds.
pub fn keyed_pcm(start_frame: u64, frames: usize, channels: usize, key: u64) -> Result<Vec<u8>> {
    if !(1..=64).contains(&channels) {
        return Err(Error::invalid(format!("{channels} channels; use 1 to 64")));
    }
    let mut pcm = room(frames, channels * 4)?;
    for frame in numbered(start_frame, frames) {
        for channel in 0..channels as u64 {
            pcm.extend_from_slice(&((keyed_hash(frame, channel, key) >> 32) as u32).to_le_bytes());
        }
    }
    Ok(pcm)
}

/// SplitMix64 of (64 × frame + channel) xor key: all arithmetic modulo 2⁶⁴, one step of the generator from that state.
pub fn keyed_hash(frame: u64, channel: u64, key: u64) -> u64 {
    let state = (frame.wrapping_mul(64).wrapping_add(channel) ^ key).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let state = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let state = (state ^ state >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    state ^ state >> 31
}

/// A sine on all channels, 0 at frame 0 and continuous over calls; `dbfs_peak` is the level of its crest.
///
/// # Errors
/// [`Error::InvalidArgument`] for more than memory holds.
pub fn tone_pcm(
    start_frame: u64,
    frames: usize,
    format: PcmFormat,
    hz: f64,
    dbfs_peak: f64,
) -> Result<Vec<u8>> {
    let mut pcm = room(frames, format.frame_bytes())?;
    let crest = 10f64.powf(dbfs_peak / 20.0);
    let rate = f64::from(format.sample_rate_hz());
    let mut sample = [0; 4];
    let sample = &mut sample[..format.sample_type().bytes()];
    for frame in numbered(start_frame, frames) {
        let turns = (frame as f64 * hz / rate).fract();
        put(format.sample_type(), crest * (TAU * turns).sin(), sample);
        for _ in 0..format.channels() {
            pcm.extend_from_slice(sample);
        }
    }
    Ok(pcm)
}

fn put(sample_type: SampleType, value: f64, sample: &mut [u8]) {
    with_sample!(sample_type, S => S::put_f64(value, sample));
}

fn numbered(start_frame: u64, frames: usize) -> impl Iterator<Item = u64> {
    (0..frames as u64).map(move |frame| start_frame.wrapping_add(frame))
}

fn room(frames: usize, frame_bytes: usize) -> Result<Vec<u8>> {
    let mut pcm = Vec::new();
    frames
        .checked_mul(frame_bytes)
        .and_then(|bytes| pcm.try_reserve_exact(bytes).ok())
        .ok_or_else(|| Error::invalid(format!("{frames} frames at once are more than memory holds")))?;
    Ok(pcm)
}
