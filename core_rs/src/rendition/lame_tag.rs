//! The first frame of an MP3 file: no sound, but how long the file is and what a decoder leaves out at its ends.
//!
//! Xing's tag with LAME's extension, which every player knows. It is written here and not by LAME, since LAME has none for low
//! bitrates, counts in 32 bits, and gives nothing while the file still grows.

use super::frame_walk::{RATES_HZ, bitrates_kbps};

/// Frames that LAME puts before the sound.
pub const ENCODER_DELAY_FRAMES: u64 = 576;
/// Frames that every decoder puts before what it decodes.
pub const DECODER_DELAY_FRAMES: u64 = 529;

/// What all tags of a file have in common.
#[derive(Clone, Copy, Debug)]
pub struct TagFormat {
    /// 1 or 2.
    pub channels: usize,
    /// One that MP3 has.
    pub sample_rate_hz: u32,
    /// Of a constant bitrate; None when it varies.
    pub kbps: Option<u32>,
}

/// What is known once all is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Totals<'a> {
    /// Encoded frames, this one not counted.
    pub mp3_frames: u64,
    /// Bytes of the file, this frame included.
    pub file_bytes: u64,
    /// Frames of silence that fill the last encoded frame.
    pub padding_frames: u64,
    /// The byte at which each hundredth of the duration begins.
    pub hundredths: &'a [u64; 100],
    /// CRC-16 of all bytes behind this frame.
    pub music_crc: u16,
}

impl TagFormat {
    /// The frame: with totals as it stays, without them as it is while the file grows.
    pub fn frame(&self, totals: Option<Totals<'_>>) -> Vec<u8> {
        let side_info_bytes = match (self.is_first(), self.channels) {
            (true, 1) => 17,
            (true, _) => 32,
            (false, 1) => 9,
            (false, _) => 17,
        };
        let kbps = self.tag_kbps(4 + side_info_bytes + TAG_BYTES);
        let mut frame = self.header(kbps).to_vec();
        frame.resize(4 + side_info_bytes, 0);
        frame.extend_from_slice(if self.kbps.is_some() { b"Info" } else { b"Xing" });
        put_xing(&mut frame, totals);
        self.put_lame(&mut frame, totals);
        let crc = crc16(0, &frame);
        frame.extend_from_slice(&crc.to_be_bytes());
        frame.resize(self.frame_bytes(kbps), 0);
        frame
    }

    fn header(&self, kbps: u32) -> [u8; 4] {
        let kind = match self.sample_rate_hz {
            ..16_000 => 0xE3,
            16_000..32_000 => 0xF3,
            _ => 0xFB,
        };
        let family = RATES_HZ.iter().position(|rate| rate >> self.halvings() == self.sample_rate_hz);
        let bitrate = bitrates_kbps(self.is_first()).iter().position(|one| *one == kbps);
        let rates = (bitrate.unwrap_or(0) as u8 + 1) << 4 | (family.unwrap_or(0) as u8) << 2;
        [0xFF, kind, rates, if self.channels == 1 { 0xC4 } else { 0x44 }]
    }

    /// The bitrate of the file; of a varying one the usual; a higher one where the tag would not fit.
    fn tag_kbps(&self, bytes: usize) -> u32 {
        let usual = match self.sample_rate_hz {
            ..16_000 => 32,
            16_000..32_000 => 64,
            _ => 128,
        };
        let wanted = self.kbps.unwrap_or(usual);
        let fits = |kbps: &&u32| **kbps >= wanted && self.frame_bytes(**kbps) >= bytes;
        bitrates_kbps(self.is_first()).iter().find(fits).copied().unwrap_or(160)
    }

    fn frame_bytes(&self, kbps: u32) -> usize {
        let frames = if self.is_first() { 1152 } else { 576 };
        (frames / 8 * kbps * 1000 / self.sample_rate_hz) as usize
    }

    fn put_lame(&self, frame: &mut Vec<u8>, totals: Option<Totals<'_>>) {
        let delays = |padding: u64| (ENCODER_DELAY_FRAMES << 12 | padding.min(0xFFF)) as u32;
        let padding = totals.map_or(0, |totals| totals.padding_frames);
        frame.extend_from_slice(b"LAME3.100");
        frame.push(if self.kbps.is_some() { CONSTANT_BITRATE } else { VARYING_BITRATE });
        frame.extend_from_slice(&[0; 10]); // low pass, peak, gains, flags: not told
        frame.push(self.kbps.unwrap_or(0).min(255) as u8);
        frame.extend_from_slice(&delays(padding).to_be_bytes()[1..]);
        frame.extend_from_slice(&[0; 4]); // noise shaping, gain, preset: not told
        let file_bytes = totals.map_or(0, |totals| u32::try_from(totals.file_bytes).unwrap_or(0));
        frame.extend_from_slice(&file_bytes.to_be_bytes());
        frame.extend_from_slice(&totals.map_or(0, |totals| totals.music_crc).to_be_bytes());
    }

    fn is_first(&self) -> bool {
        self.halvings() == 0
    }

    fn halvings(&self) -> u32 {
        match self.sample_rate_hz {
            ..16_000 => 2,
            16_000..32_000 => 1,
            _ => 0,
        }
    }
}

const TAG_BYTES: usize = 4 + 4 + XING_BYTES + 36;
const XING_BYTES: usize = 4 + 4 + 100 + 4;
const HAS_FRAMES: u32 = 1;
const HAS_BYTES: u32 = 2;
const HAS_HUNDREDTHS: u32 = 4;
const HAS_QUALITY: u32 = 8;
const CONSTANT_BITRATE: u8 = 1;
const VARYING_BITRATE: u8 = 4;

/// Numbers beyond 32 bits are left out. While the file grows its length is the highest number, since ffmpeg takes a tag without any
/// number for a frame of sound.
fn put_xing(frame: &mut Vec<u8>, totals: Option<Totals<'_>>) {
    let Some(totals) = totals else {
        frame.extend_from_slice(&HAS_BYTES.to_be_bytes());
        frame.extend_from_slice(&u32::MAX.to_be_bytes());
        return;
    };
    let counts = [(HAS_FRAMES, totals.mp3_frames), (HAS_BYTES, totals.file_bytes)];
    let told = counts.map(|(flag, count)| u32::try_from(count).ok().map(|count| (flag, count)));
    let flags = told.iter().flatten().map(|(flag, _)| flag).sum::<u32>() | HAS_HUNDREDTHS | HAS_QUALITY;
    frame.extend_from_slice(&flags.to_be_bytes());
    for (_, count) in told.iter().flatten() {
        frame.extend_from_slice(&count.to_be_bytes());
    }
    let share = |byte: &u64| (u128::from(*byte) * 256 / u128::from(totals.file_bytes.max(1))).min(255) as u8;
    frame.extend(totals.hundredths.iter().map(share));
    frame.extend_from_slice(&[0; 4]); // quality: not told, but some readers count on its place
}

/// CRC-16 as in LAME's tag (polynomial 0x8005, reflected), going on from `crc`.
pub fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(crc, |crc, byte| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)])
}

const CRC_TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendition::Mp3Header;

    #[test]
    fn crc_is_the_known_one() {
        assert_eq!(crc16(0, b"123456789"), 0xBB3D);
        assert_eq!(crc16(crc16(0, b"1234"), b"56789"), 0xBB3D);
    }

    #[test]
    fn the_frame_is_as_long_as_its_header_says_and_keeps_its_length() {
        let totals = Totals {
            mp3_frames: 7,
            file_bytes: 5000,
            padding_frames: 900,
            hundredths: &[2500; 100],
            music_crc: 1,
        };
        for sample_rate_hz in [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            for channels in [1, 2] {
                for kbps in [None, Some(32), Some(64)] {
                    let format = TagFormat { channels, sample_rate_hz, kbps };
                    let (growing, sealed) = (format.frame(None), format.frame(Some(totals)));
                    let header =
                        Mp3Header::parse([sealed[0], sealed[1], sealed[2], sealed[3]]).expect("a header");
                    assert_eq!(growing[..4], sealed[..4]);
                    assert_eq!((growing.len(), sealed.len()), (header.bytes as usize, header.bytes as usize));
                    assert_eq!((header.sample_rate_hz, header.channels as usize), (sample_rate_hz, channels));
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_32_bits_are_left_out() {
        let format = TagFormat { channels: 2, sample_rate_hz: 48_000, kbps: None };
        let totals = Totals {
            mp3_frames: 1 << 24,
            file_bytes: 1 << 33,
            padding_frames: 900,
            hundredths: &[1 << 32; 100],
            music_crc: 1,
        };
        let frame = format.frame(Some(totals));
        assert_eq!(frame[36..48], [&b"Xing"[..], &[0, 0, 0, 13], &[1, 0, 0, 0]].concat());
        assert_eq!(frame[48..148], [128; 100]);
    }
}
