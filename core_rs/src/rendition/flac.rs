//! FLAC by libFLAC, whose sources are built into this library.

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;

use libflac_sys as libflac;

use super::codec::{Codec, Encoded, Place};
use crate::error::{Error, Result};
use crate::pcm::{PcmFormat, Sample, SampleType};
use crate::with_sample;

/// As `flac -5`.
const COMPRESSION_LEVEL: u32 = 5;

/// Encodes 1 to 8 channels of 16 or 24 bits, to be decoded bit for bit.
pub struct FlacCodec {
    format: PcmFormat,
    encoder: Encoder,
    samples: Vec<i32>,
}

impl FlacCodec {
    /// # Errors
    /// [`Error::UnsupportedFormat`] for more than 8 channels, and samples that are not `s16` or `s24`.
    pub fn new(format: PcmFormat) -> Result<Self> {
        let unfit = |reason: String| Error::UnsupportedFormat { reason };
        let bits = match format.sample_type() {
            SampleType::S16 => 16,
            SampleType::S24 => 24,
            other => return Err(unfit(format!("FLAC of {other} samples; it takes s16 and s24"))),
        };
        if format.channels() > 8 {
            return Err(unfit(format!("FLAC of {} channels; it takes 1 to 8", format.channels())));
        }
        Ok(Self { format, encoder: Encoder::new(format, bits)?, samples: Vec::new() })
    }

    fn widen<S: Sample>(&mut self, pcm: &[u8]) {
        let shift = 32 - 8 * S::BYTES as u32;
        self.samples.clear();
        self.samples.extend(pcm.chunks_exact(S::BYTES).map(|bytes| S::to_i32(bytes) >> shift));
    }
}

impl Codec for FlacCodec {
    fn begin(&mut self, out: &mut Encoded) {
        self.encoder.take(out);
    }

    fn encode(&mut self, pcm: &[u8], out: &mut Encoded) -> Result<()> {
        with_sample!(self.format.sample_type(), S => self.widen::<S>(pcm));
        self.encoder.encode(&self.samples, self.format.channels())?;
        self.encoder.take(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Encoded) -> Result<()> {
        self.encoder.finish()?;
        self.encoder.take(out);
        Ok(())
    }

    /// The marker and STREAMINFO, now with length and MD5.
    fn head(&self) -> Vec<u8> {
        self.encoder.sink().head.clone()
    }
}

/// The version of libFLAC.
pub fn flac_version() -> &'static str {
    // SAFETY: a constant of the library, ended by 0.
    unsafe { CStr::from_ptr(libflac::FLAC__VERSION_STRING) }.to_str().unwrap_or("unknown")
}

/// One encoder of libFLAC, and what it wrote.
struct Encoder {
    encoder: NonNull<libflac::FLAC__StreamEncoder>,
    /// Owned. A box would claim to be the only way to what libFLAC points at, too.
    sink: NonNull<Sink>,
}

/// What the callbacks of the encoder fill. The encoder keeps its address.
#[derive(Default)]
struct Sink {
    encoded: Encoded,
    file_bytes: u64,
    frames: u64,
    head: Vec<u8>,
}

// SAFETY: the encoder works in the thread that calls it and is tied to none.
unsafe impl Send for Encoder {}
// SAFETY: what is shared is only read.
unsafe impl Sync for Encoder {}

impl Encoder {
    fn new(format: PcmFormat, bits: u32) -> Result<Self> {
        // SAFETY: no arguments; null means that there is no memory.
        let made = NonNull::new(unsafe { libflac::FLAC__stream_encoder_new() });
        let encoder = made.ok_or_else(|| Error::Encoder { reason: "libFLAC has no memory".into() })?;
        let made = Self { encoder, sink: NonNull::from(Box::leak(Box::default())) };
        let at = encoder.as_ptr();
        let client = made.sink.as_ptr().cast::<c_void>();
        // SAFETY: the encoder lives; the sink outlives it and is borrowed by nobody else during a call.
        let status = unsafe {
            libflac::FLAC__stream_encoder_set_channels(at, format.channels() as u32);
            libflac::FLAC__stream_encoder_set_bits_per_sample(at, bits);
            libflac::FLAC__stream_encoder_set_sample_rate(at, format.sample_rate_hz());
            libflac::FLAC__stream_encoder_set_compression_level(at, COMPRESSION_LEVEL);
            libflac::FLAC__stream_encoder_set_streamable_subset(at, 0);
            libflac::FLAC__stream_encoder_init_stream(at, Some(write), None, None, Some(describe), client)
        };
        match status {
            libflac::FLAC__STREAM_ENCODER_INIT_STATUS_OK => Ok(made),
            status => {
                Err(Error::UnsupportedFormat { reason: format!("FLAC of {format:?}: libFLAC says {status}") })
            }
        }
    }

    fn encode(&mut self, samples: &[i32], channels: usize) -> Result<()> {
        let at = self.encoder.as_ptr();
        let frames = (samples.len() / channels) as u32;
        // SAFETY: there are that many frames; the sink is not borrowed.
        let went_well =
            unsafe { libflac::FLAC__stream_encoder_process_interleaved(at, samples.as_ptr(), frames) };
        self.judged(went_well)
    }

    fn finish(&mut self) -> Result<()> {
        // SAFETY: the encoder lives; the sink is not borrowed.
        let went_well = unsafe { libflac::FLAC__stream_encoder_finish(self.encoder.as_ptr()) };
        self.judged(went_well)
    }

    fn judged(&self, went_well: libflac::FLAC__bool) -> Result<()> {
        if went_well != 0 {
            return Ok(());
        }
        // SAFETY: the encoder lives.
        let state = unsafe { libflac::FLAC__stream_encoder_get_state(self.encoder.as_ptr()) };
        Err(Error::Encoder { reason: format!("libFLAC failed in state {state}") })
    }

    fn sink(&self) -> &Sink {
        // SAFETY: ours until the drop; only calls to libFLAC change it, and those borrow the encoder for themselves.
        unsafe { self.sink.as_ref() }
    }

    fn take(&mut self, out: &mut Encoded) {
        // SAFETY: as in `sink`; this borrow is the only one.
        let sink = unsafe { self.sink.as_mut() };
        out.bytes.append(&mut sink.encoded.bytes);
        out.places.append(&mut sink.encoded.places);
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `new` and deleted once, the encoder before the sink that it points at.
        unsafe {
            libflac::FLAC__stream_encoder_delete(self.encoder.as_ptr());
            drop(Box::from_raw(self.sink.as_ptr()));
        }
    }
}

/// Called by libFLAC with metadata (no samples), and once for every encoded frame.
unsafe extern "C" fn write(
    _encoder: *const libflac::FLAC__StreamEncoder,
    buffer: *const libflac::FLAC__byte,
    bytes: usize,
    samples: u32,
    _current_frame: u32,
    client: *mut c_void,
) -> libflac::FLAC__StreamEncoderWriteStatus {
    // SAFETY: the sink given at the start, and as many bytes as libFLAC says.
    let (sink, buffer) = unsafe { (&mut *client.cast::<Sink>(), std::slice::from_raw_parts(buffer, bytes)) };
    if samples > 0 {
        let end_frame = sink.frames + u64::from(samples);
        sink.encoded.places.push(Place {
            byte: sink.file_bytes,
            start_frame: sink.frames as i64,
            end_frame: end_frame as i64,
        });
        sink.frames = end_frame;
    }
    sink.encoded.bytes.extend_from_slice(buffer);
    sink.file_bytes += bytes as u64;
    libflac::FLAC__STREAM_ENCODER_WRITE_STATUS_OK
}

/// Called by libFLAC at the end, with the final STREAMINFO.
unsafe extern "C" fn describe(
    _encoder: *const libflac::FLAC__StreamEncoder,
    metadata: *const libflac::FLAC__StreamMetadata,
    client: *mut c_void,
) {
    // SAFETY: the sink given at the start; libFLAC passes a STREAMINFO block and nothing else.
    let (sink, info) = unsafe { (&mut *client.cast::<Sink>(), &(*metadata).data.stream_info) };
    // SAFETY: as above.
    let is_last = unsafe { (*metadata).is_last } != 0;
    sink.head = stream_info(info, is_last);
}

/// The marker and the block, as RFC 9639 (8.2) lays it out.
fn stream_info(info: &libflac::FLAC__StreamMetadata_StreamInfo, is_last: bool) -> Vec<u8> {
    let total_frames = if info.total_samples < 1 << 36 { info.total_samples } else { 0 };
    let packed = u64::from(info.sample_rate) << 44
        | u64::from(info.channels - 1) << 41
        | u64::from(info.bits_per_sample - 1) << 36
        | total_frames;
    let mut block = b"fLaC".to_vec();
    block.extend_from_slice(&[u8::from(is_last) << 7, 0, 0, 34]);
    block.extend_from_slice(&(info.min_blocksize as u16).to_be_bytes());
    block.extend_from_slice(&(info.max_blocksize as u16).to_be_bytes());
    block.extend_from_slice(&info.min_framesize.to_be_bytes()[1..]);
    block.extend_from_slice(&info.max_framesize.to_be_bytes()[1..]);
    block.extend_from_slice(&packed.to_be_bytes());
    block.extend_from_slice(&info.md5sum);
    block
}
