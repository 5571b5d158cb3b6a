//! Finds MP3 frames in bytes as they are written (ISO/IEC 11172-3 and 13818-3, layer III; MPEG 2.5).

/// Bytes of the header at the start of every frame.
pub const HEADER_BYTES: usize = 4;

/// What the header of an MP3 frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mp3Header {
    /// 1 or 2.
    pub channels: u16,
    /// Frames of sound per second.
    pub sample_rate_hz: u32,
    /// Frames of sound in it.
    pub frames: u32,
    /// Its length with its header.
    pub bytes: u32,
}

impl Mp3Header {
    /// None for what is no header of layer III, and for lengths that it does not tell ("free format").
    pub fn parse(header: [u8; HEADER_BYTES]) -> Option<Self> {
        let [sync, kind, rates, mode] = header;
        if sync != 0xFF || kind & 0xE0 != 0xE0 || (kind >> 1) & 3 != LAYER_3 {
            return None;
        }
        let (halvings, is_first) = match (kind >> 3) & 3 {
            3 => (0, true),
            2 => (1, false),
            0 => (2, false),
            _ => return None,
        };
        let sample_rate_hz = RATES_HZ.get(usize::from((rates >> 2) & 3))? >> halvings;
        let bitrates_kbps = bitrates_kbps(is_first);
        let kbps = bitrates_kbps.get(usize::from(rates >> 4).checked_sub(1)?)?;
        let frames = if is_first { 1152 } else { 576 };
        Some(Self {
            channels: if mode >> 6 == MONO { 1 } else { 2 },
            sample_rate_hz,
            frames,
            bytes: frames / 8 * kbps * 1000 / sample_rate_hz + u32::from((rates >> 1) & 1),
        })
    }
}

/// What the four bits of the bitrate mean, counted from 1, in MPEG-1 or the later ones.
pub const fn bitrates_kbps(is_first: bool) -> [u32; 14] {
    if is_first {
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    } else {
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
    }
}

/// Sample rates of MPEG-1; MPEG-2 has the half, MPEG-2.5 the quarter of them.
pub const RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];
const LAYER_3: u8 = 1;
const MONO: u8 = 3;

/// Goes from frame to frame through bytes that come in any pieces. Bytes that are no frame are passed over.
#[derive(Clone, Debug)]
pub struct FrameWalk {
    /// Where the next piece begins.
    position: u64,
    header: [u8; HEADER_BYTES],
    held: usize,
    inside: Option<(Mp3Header, u64)>,
}

impl FrameWalk {
    /// Begins at this byte of the file.
    pub fn new(position: u64) -> Self {
        Self { position, header: [0; HEADER_BYTES], held: 0, inside: None }
    }

    /// Tells the first byte and the header of every frame that is whole with this piece.
    pub fn push(&mut self, mut piece: &[u8], mut found: impl FnMut(u64, Mp3Header)) {
        loop {
            if let Some((header, start)) = self.inside {
                let left = start + u64::from(header.bytes) - self.position;
                if left > piece.len() as u64 {
                    self.position += piece.len() as u64;
                    return;
                }
                self.skip(&mut piece, left as usize);
                self.inside = None;
                found(start, header);
            }
            let wanted = (HEADER_BYTES - self.held).min(piece.len());
            self.header[self.held..self.held + wanted].copy_from_slice(&piece[..wanted]);
            self.held += wanted;
            self.skip(&mut piece, wanted);
            if self.held < HEADER_BYTES {
                return;
            }
            match Mp3Header::parse(self.header).filter(|header| header.bytes as usize >= HEADER_BYTES) {
                Some(header) => {
                    self.inside = Some((header, self.position - HEADER_BYTES as u64));
                    self.held = 0;
                }
                None => {
                    self.header.rotate_left(1);
                    self.held -= 1;
                }
            }
        }
    }

    fn skip(&mut self, piece: &mut &[u8], bytes: usize) {
        *piece = &piece[bytes..];
        self.position += bytes as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(pieces: &[&[u8]]) -> Vec<(u64, Mp3Header)> {
        let mut walk = FrameWalk::new(0);
        let mut found = Vec::new();
        for piece in pieces {
            walk.push(piece, |byte, header| found.push((byte, header)));
        }
        found
    }

    #[test]
    fn headers_say_what_the_standard_says() {
        let parsed = |header| {
            Mp3Header::parse(header).map(|one| (one.channels, one.sample_rate_hz, one.frames, one.bytes))
        };
        assert_eq!(parsed([0xFF, 0xFB, 0x90, 0x64]), Some((2, 44_100, 1152, 417)));
        assert_eq!(parsed([0xFF, 0xFB, 0x92, 0x64]), Some((2, 44_100, 1152, 418)));
        assert_eq!(parsed([0xFF, 0xFB, 0xE4, 0xC4]), Some((1, 48_000, 1152, 960)));
        assert_eq!(parsed([0xFF, 0xF3, 0x80, 0x44]), Some((2, 22_050, 576, 208)));
        assert_eq!(parsed([0xFF, 0xE3, 0x48, 0xC4]), Some((1, 8_000, 576, 288)));
        for none in
            [[0xFE, 0xFB, 0x90, 0], [0xFF, 0xFD, 0x90, 0], [0xFF, 0xEB, 0x90, 0], [0xFF, 0xFB, 0x9C, 0]]
        {
            assert_eq!(Mp3Header::parse(none), None);
        }
        assert_eq!(Mp3Header::parse([0xFF, 0xFB, 0x00, 0]), None, "a length that is not told");
        assert_eq!(Mp3Header::parse([0xFF, 0xFB, 0xF0, 0]), None);
    }

    #[test]
    fn a_frame_is_found_once_it_is_whole() {
        let mut stream = vec![0; 5];
        for _ in 0..3 {
            stream.extend_from_slice(&[0xFF, 0xFB, 0x90, 0x64]);
            stream.resize(stream.len() + 413, 0);
        }
        let starts = |bytes: &[u8]| walked(&[bytes]).into_iter().map(|(byte, _)| byte).collect::<Vec<_>>();
        assert_eq!(starts(&stream), [5, 422, 839]);
        assert_eq!(starts(&stream[..stream.len() - 1]), [5, 422]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_cuts_change_nothing(
            mut bytes in prop::collection::vec(any::<u8>(), 0..4000),
            headers in prop::collection::vec((0usize..4000, any::<[u8; 2]>()), 0..20),
            cut in 0usize..4000,
        ) {
            for (at, [rates, mode]) in headers {
                let header = [0xFF, 0xFB, rates, mode];
                let room = bytes.len().saturating_sub(at).min(4);
                let start = at.min(bytes.len());
                bytes[start..start + room].copy_from_slice(&header[..room]);
            }
            let (a, b) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(walked(&[a, b]), walked(&[&bytes]));
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(walked(&singly), walked(&[&bytes]));
        }
    }
}
