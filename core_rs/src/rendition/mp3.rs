//! MP3 by LAME, whose sources are built into this library.

use std::ffi::{CStr, c_int};
use std::ptr::NonNull;

use mp3lame_sys as lame;

use super::codec::{Codec, Encoded, Place};
use super::frame_walk::FrameWalk;
use super::lame_tag::{DECODER_DELAY_FRAMES, ENCODER_DELAY_FRAMES, TagFormat, Totals, crc16};
use crate::error::{Error, Result};
use crate::pcm::{PcmFormat, Sample};
use crate::with_sample;

/// How many bits the sound gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mp3Rate {
    /// As many as this quality needs; 0 is best, 9 the smallest.
    Vbr {
        /// As LAME counts.
        quality: u8,
    },
    /// Always the same.
    Cbr {
        /// One that MP3 has at the sample rate.
        kbps: u32,
    },
}

/// Encodes 1 or 2 channels. Samples beyond full scale are cut to it; what is no number is silence.
///
/// The level stays: LAME's habit of encoding low bitrates 0.2 to 0.4 dB softer is undone.
pub struct Mp3Codec {
    format: PcmFormat,
    lame: Lame,
    tag_format: TagFormat,
    tag_bytes: u64,
    walk: FrameWalk,
    hundredths: Hundredths,
    frames: u64,
    mp3_frames: u64,
    file_bytes: u64,
    music_crc: u16,
    left: Vec<f32>,
    right: Vec<f32>,
}

impl Mp3Codec {
    /// # Errors
    /// [`Error::UnsupportedFormat`] for what MP3 does not have: more than 2 channels, other sample rates and bitrates.
    pub fn new(format: PcmFormat, rate: Mp3Rate) -> Result<Self> {
        let kbps = match rate {
            Mp3Rate::Vbr { .. } => None,
            Mp3Rate::Cbr { kbps } => Some(kbps),
        };
        let tag_format =
            TagFormat { channels: format.channels(), sample_rate_hz: format.sample_rate_hz(), kbps };
        let mut lame = Lame::new(format, rate, 1.0)?;
        if lame.scale() != 1.0 {
            lame = Lame::new(format, rate, 1.0 / lame.scale())?;
        }
        let tag_bytes = tag_format.frame(None).len() as u64;
        Ok(Self {
            format,
            lame,
            tag_format,
            tag_bytes,
            walk: FrameWalk::new(tag_bytes),
            hundredths: Hundredths::default(),
            frames: 0,
            mp3_frames: 0,
            file_bytes: tag_bytes,
            music_crc: 0,
            left: Vec::new(),
            right: Vec::new(),
        })
    }

    fn split<S: Sample>(&mut self, pcm: &[u8]) {
        let sample = |bytes: &[u8]| {
            let value = S::to_f32(bytes);
            if value.is_nan() { 0.0 } else { value.clamp(-1.0, 1.0) }
        };
        let frames = pcm.chunks_exact(self.format.frame_bytes());
        self.left.clear();
        self.right.clear();
        self.left.extend(frames.clone().map(|frame| sample(&frame[..S::BYTES])));
        if self.format.channels() == 2 {
            self.right.extend(frames.map(|frame| sample(&frame[S::BYTES..])));
        }
    }

    /// Looks at what LAME gave from byte `start` of `out` on.
    fn take(&mut self, start: usize, out: &mut Encoded) {
        let bytes = &out.bytes[start..];
        self.music_crc = crc16(self.music_crc, bytes);
        self.file_bytes += bytes.len() as u64;
        let (mp3_frames, hundredths, places) = (&mut self.mp3_frames, &mut self.hundredths, &mut out.places);
        self.walk.push(bytes, |byte, header| {
            let decoded = *mp3_frames * u64::from(header.frames);
            let start_frame = decoded as i64 - (ENCODER_DELAY_FRAMES + DECODER_DELAY_FRAMES) as i64;
            places.push(Place { byte, start_frame, end_frame: start_frame + i64::from(header.frames) });
            hundredths.note(byte);
            *mp3_frames += 1;
        });
    }
}

impl Codec for Mp3Codec {
    fn begin(&mut self, out: &mut Encoded) {
        out.bytes.extend_from_slice(&self.tag_format.frame(None));
    }

    fn encode(&mut self, pcm: &[u8], out: &mut Encoded) -> Result<()> {
        with_sample!(self.format.sample_type(), S => self.split::<S>(pcm));
        self.frames += self.left.len() as u64;
        let start = out.bytes.len();
        self.lame.encode(&self.left, &self.right, &mut out.bytes)?;
        self.take(start, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Encoded) -> Result<()> {
        let start = out.bytes.len();
        self.lame.flush(&mut out.bytes)?;
        self.take(start, out);
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        let decoded = self.mp3_frames * self.lame.mp3_frame_frames();
        let totals = Totals {
            mp3_frames: self.mp3_frames,
            file_bytes: self.file_bytes,
            padding_frames: decoded.saturating_sub(self.frames + ENCODER_DELAY_FRAMES),
            hundredths: &self.hundredths.bytes(self.tag_bytes, self.mp3_frames),
            music_crc: self.music_crc,
        };
        self.tag_format.frame(Some(totals))
    }
}

/// The version of LAME.
pub fn lame_version() -> &'static str {
    // SAFETY: a constant of the library, ended by 0.
    unsafe { CStr::from_ptr(lame::get_lame_version()) }.to_str().unwrap_or("unknown")
}

/// One encoder of LAME.
struct Lame(NonNull<lame::lame_global_flags>);

// SAFETY: an encoder has no ties to the thread that made it.
unsafe impl Send for Lame {}
// SAFETY: what is shared is only read.
unsafe impl Sync for Lame {}

impl Lame {
    fn new(format: PcmFormat, rate: Mp3Rate, scale: f32) -> Result<Self> {
        let unfit = || Error::UnsupportedFormat {
            reason: format!(
                "MP3 of {} channels at {} Hz, {rate:?}",
                format.channels(),
                format.sample_rate_hz()
            ),
        };
        if format.channels() > 2 {
            return Err(unfit());
        }
        // SAFETY: no arguments; null means that there is no memory.
        let encoder =
            Self(NonNull::new(unsafe { lame::lame_init() }).ok_or_else(|| gave_up("lame_init", -2))?);
        let (at, hz) = (encoder.0.as_ptr(), format.sample_rate_hz() as c_int);
        let is_mono = format.channels() == 1;
        let mode = if is_mono { lame::MPEG_mode::MONO } else { lame::MPEG_mode::JOINT_STEREO };
        // SAFETY: the encoder lives, and these only set its fields.
        let initialised = unsafe {
            lame::lame_set_num_channels(at, format.channels() as c_int);
            lame::lame_set_mode(at, mode);
            lame::lame_set_in_samplerate(at, hz);
            lame::lame_set_out_samplerate(at, hz);
            lame::lame_set_bWriteVbrTag(at, 0);
            lame::lame_set_write_id3tag_automatic(at, 0);
            lame::lame_set_scale(at, scale);
            match rate {
                Mp3Rate::Vbr { quality } => {
                    lame::lame_set_VBR(at, lame::vbr_mode::vbr_default);
                    lame::lame_set_VBR_q(at, c_int::from(quality));
                }
                Mp3Rate::Cbr { kbps } => {
                    lame::lame_set_VBR(at, lame::vbr_mode::vbr_off);
                    lame::lame_set_brate(at, kbps as c_int);
                }
            }
            lame::lame_init_params(at)
        };
        // SAFETY: as above, reading.
        let (rate_hz, kbps) = unsafe { (lame::lame_get_out_samplerate(at), lame::lame_get_brate(at)) };
        let is_as_asked = rate_hz == hz
            && match rate {
                Mp3Rate::Vbr { quality } => quality <= 9,
                Mp3Rate::Cbr { kbps: wanted } => kbps == wanted as c_int,
            };
        if initialised != 0 || !is_as_asked { Err(unfit()) } else { Ok(encoder) }
    }

    /// What samples are multiplied by.
    fn scale(&self) -> f32 {
        // SAFETY: the encoder lives.
        unsafe { lame::lame_get_scale(self.0.as_ptr()) }
    }

    /// Frames of sound in one MP3 frame.
    fn mp3_frame_frames(&self) -> u64 {
        // SAFETY: the encoder lives.
        unsafe { lame::lame_get_framesize(self.0.as_ptr()) as u64 }
    }

    /// `right` is not looked at in mono.
    fn encode(&mut self, left: &[f32], right: &[f32], out: &mut Vec<u8>) -> Result<()> {
        let room = left.len() + left.len() / 4 + SPARE_BYTES;
        // SAFETY: both slices hold that many samples (LAME reads only the left of mono), and `out` has room for what LAME
        // says that it writes at most.
        into(out, room, "lame_encode_buffer", |bytes, room| unsafe {
            lame::lame_encode_buffer_ieee_float(
                self.0.as_ptr(),
                left.as_ptr(),
                right.as_ptr(),
                left.len() as c_int,
                bytes,
                room,
            )
        })
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<()> {
        // SAFETY: `out` has more room than LAME says that a flush needs.
        into(out, 4 * SPARE_BYTES, "lame_encode_flush", |bytes, room| unsafe {
            lame::lame_encode_flush(self.0.as_ptr(), bytes, room)
        })
    }
}

impl Drop for Lame {
    fn drop(&mut self) {
        // SAFETY: made by `lame_init`, closed once.
        unsafe { lame::lame_close(self.0.as_ptr()) };
    }
}

/// Beside 1.25 bytes a sample, as LAME's manual asks for.
const SPARE_BYTES: usize = 7200;

/// Appends what `write` puts into that much room.
fn into(
    out: &mut Vec<u8>,
    room: usize,
    action: &str,
    write: impl FnOnce(*mut u8, c_int) -> c_int,
) -> Result<()> {
    let start = out.len();
    out.resize(start + room, 0);
    let written = write(out[start..].as_mut_ptr(), room as c_int);
    out.truncate(start + usize::try_from(written).unwrap_or(0));
    if written < 0 { Err(gave_up(action, written)) } else { Ok(()) }
}

fn gave_up(action: &str, code: c_int) -> Error {
    Error::Encoder { reason: format!("{action} of LAME failed with {code}") }
}

/// Where each hundredth of the duration begins, out of ever fewer, evenly spread notes: memory does not grow.
#[derive(Clone, Debug)]
struct Hundredths {
    stride: u64,
    seen: u64,
    starts: Vec<u64>,
}

impl Default for Hundredths {
    fn default() -> Self {
        Self { stride: 1, seen: 0, starts: Vec::new() }
    }
}

impl Hundredths {
    const MOST: usize = 4096;

    /// Notes where the next MP3 frame begins.
    fn note(&mut self, byte: u64) {
        if self.seen.is_multiple_of(self.stride) {
            if self.starts.len() == Self::MOST {
                let mut index = 0;
                self.starts.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.starts.push(byte);
            }
        }
        self.seen += 1;
    }

    fn bytes(&self, first_byte: u64, mp3_frames: u64) -> [u64; 100] {
        let start = |hundredth: usize| {
            let note = hundredth as u64 * mp3_frames / 100 / self.stride;
            self.starts.get(note as usize).or(self.starts.last()).copied().unwrap_or(first_byte)
        };
        std::array::from_fn(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pcm::SampleType;
    use crate::synthetic::tone_pcm;

    fn format(channels: u16, sample_rate_hz: u32, sample_type: SampleType) -> PcmFormat {
        PcmFormat::new(channels, sample_rate_hz, sample_type).expect("in range")
    }

    #[test]
    fn what_mp3_does_not_have_is_refused() {
        let vbr = Mp3Rate::Vbr { quality: 2 };
        let refused = |channels, hz, rate| {
            matches!(
                Mp3Codec::new(format(channels, hz, SampleType::S16), rate),
                Err(Error::UnsupportedFormat { .. })
            )
        };
        assert!(refused(3, 48_000, vbr));
        assert!(refused(2, 96_000, vbr));
        assert!(refused(2, 44_000, vbr));
        assert!(refused(2, 48_000, Mp3Rate::Vbr { quality: 10 }));
        assert!(refused(2, 48_000, Mp3Rate::Cbr { kbps: 100 }));
        assert!(refused(2, 8_000, Mp3Rate::Cbr { kbps: 320 }));
        assert!(!refused(1, 8_000, Mp3Rate::Cbr { kbps: 8 }));
    }

    #[test]
    fn delay_and_padding_are_what_lame_says() {
        for (channels, hz) in [(1, 8_000), (2, 22_050), (2, 48_000)] {
            for frames in [0, 1, 100, 5_000, 48_123] {
                let format = format(channels, hz, SampleType::F32);
                let mut codec = Mp3Codec::new(format, Mp3Rate::Vbr { quality: 5 }).expect("fits");
                let mut out = Encoded::default();
                codec.begin(&mut out);
                let pcm = tone_pcm(0, frames, format, 440.0, -6.0).expect("small");
                codec.encode(&pcm, &mut out).expect("encoded");
                codec.finish(&mut out).expect("flushed");
                // SAFETY: the encoder lives.
                let (delay, padding) = unsafe {
                    let at = codec.lame.0.as_ptr();
                    (lame::lame_get_encoder_delay(at) as u64, lame::lame_get_encoder_padding(at) as u64)
                };
                let decoded = codec.mp3_frames * codec.lame.mp3_frame_frames();
                assert_eq!(delay, ENCODER_DELAY_FRAMES);
                assert_eq!(decoded, delay + frames as u64 + padding, "{frames} frames at {hz} Hz");
                assert_eq!(codec.file_bytes, out.bytes.len() as u64);
            }
        }
    }

    #[test]
    fn no_number_and_no_end_of_it_are_encoded_as_silence_and_full_scale() {
        let format = format(1, 48_000, SampleType::F32);
        let mut codec = Mp3Codec::new(format, Mp3Rate::Vbr { quality: 5 }).expect("fits");
        let samples = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 0.5];
        let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        codec.split::<crate::pcm::F32>(&pcm);
        assert_eq!(codec.left, [0.0, 1.0, -1.0, 1.0, 0.5]);
    }

    #[test]
    fn hundredths_stay_right_while_notes_are_dropped() {
        for mp3_frames in [1, 50, 4096, 4097, 100_000] {
            let mut hundredths = Hundredths::default();
            (0..mp3_frames).for_each(|frame| hundredths.note(1000 + frame * 10));
            assert!(hundredths.starts.len() <= Hundredths::MOST);
            for (hundredth, byte) in hundredths.bytes(1000, mp3_frames).iter().enumerate() {
                let wanted = 1000 + hundredth as u64 * mp3_frames / 100 * 10;
                assert!(
                    byte.abs_diff(wanted) <= mp3_frames / 2000 * 10,
                    "{mp3_frames}: {hundredth} at {byte}"
                );
            }
        }
    }
}
