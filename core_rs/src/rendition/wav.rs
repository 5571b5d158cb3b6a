//! WAV, RF64 when it is long. Samples begin right behind the head.

use super::HEAD_BYTES;
use super::codec::{Codec, Encoded, Place};
use crate::error::Result;
use crate::pcm::PcmFormat;
use crate::wav::{DataLength, head};

/// Samples as they are.
pub struct WavCodec {
    format: PcmFormat,
    frames: u64,
}

impl WavCodec {
    /// Takes frames of any format.
    pub fn new(format: PcmFormat) -> Self {
        Self { format, frames: 0 }
    }

    /// As if so many frames had been there already.
    #[cfg(test)]
    pub fn behind(format: PcmFormat, frames: u64) -> Self {
        Self { format, frames }
    }

    fn data_bytes(&self) -> u64 {
        self.frames * self.format.frame_bytes() as u64
    }
}

impl Codec for WavCodec {
    fn begin(&mut self, out: &mut Encoded) {
        out.bytes.extend_from_slice(&head(&self.format, DataLength::Unknown, HEAD_BYTES));
    }

    /// Every frame is a place; the first one of each second is told.
    fn encode(&mut self, pcm: &[u8], out: &mut Encoded) -> Result<()> {
        let frame_bytes = self.format.frame_bytes() as u64;
        let rate = u64::from(self.format.sample_rate_hz());
        let end = self.frames + pcm.len() as u64 / frame_bytes;
        for second in self.frames.div_ceil(rate)..end.div_ceil(rate) {
            let frame = second * rate;
            out.places.push(Place {
                byte: HEAD_BYTES + frame * frame_bytes,
                start_frame: frame as i64,
                end_frame: frame as i64 + 1,
            });
        }
        out.bytes.extend_from_slice(pcm);
        self.frames = end;
        Ok(())
    }

    /// RIFF wants an even length.
    fn finish(&mut self, out: &mut Encoded) -> Result<()> {
        out.bytes.resize((self.data_bytes() % 2) as usize, 0);
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        head(&self.format, DataLength::Bytes(self.data_bytes()), HEAD_BYTES)
    }
}
