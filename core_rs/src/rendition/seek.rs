//! The seek index: where to begin decoding for every second of a recording.

use super::codec::Place;

/// Finds entry after entry while encoded frames arrive: entry k is the last place at or before second k.
///
/// An entry is two little-endian 64-bit numbers: the byte of the file, and the frame that is heard first from there.
#[derive(Clone, Debug)]
pub struct SeekIndex {
    sample_rate_hz: u64,
    next_second: u64,
}

impl SeekIndex {
    /// An empty index.
    pub fn new(sample_rate_hz: u32) -> Self {
        Self { sample_rate_hz: u64::from(sample_rate_hz), next_second: 0 }
    }

    /// Takes the next encoded frame and appends the entries of the seconds that begin in it, as far as the recording reaches.
    ///
    /// A place before the first frame of the recording stands for the start of the file, where decoders know what to leave out.
    pub fn add(&mut self, place: Place, frames: u64, entries: &mut Vec<u8>) {
        let end_frame = (place.end_frame.max(0) as u64).min(frames);
        while self.next_second * self.sample_rate_hz < end_frame {
            let (byte, frame) = match u64::try_from(place.start_frame) {
                Ok(frame) => (place.byte, frame),
                Err(_) => (0, 0),
            };
            entries.extend_from_slice(&byte.to_le_bytes());
            entries.extend_from_slice(&frame.to_le_bytes());
            self.next_second += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(places: &[(u64, i64, i64)], frames: u64) -> Vec<(u64, u64)> {
        let mut index = SeekIndex::new(1000);
        let mut found = Vec::new();
        for (byte, start_frame, end_frame) in places {
            let place = Place { byte: *byte, start_frame: *start_frame, end_frame: *end_frame };
            index.add(place, frames, &mut found);
        }
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        found.chunks_exact(16).map(|entry| (number(&entry[..8]), number(&entry[8..]))).collect()
    }

    #[test]
    fn entry_k_is_the_last_place_at_or_before_second_k() {
        let places = [(10, 0, 700), (20, 700, 1400), (30, 1400, 2000), (40, 2000, 2700)];
        assert_eq!(entries(&places, 10_000), [(10, 0), (20, 700), (40, 2000)]);
    }

    #[test]
    fn a_recording_that_is_heard_only_after_a_delay_begins_at_the_start_of_the_file() {
        assert_eq!(entries(&[(400, -600, 500), (800, 500, 1600)], 10_000), [(0, 0), (800, 500)]);
        assert_eq!(entries(&[(400, -600, -100), (800, -100, 400)], 10_000), [(0, 0)]);
    }

    #[test]
    fn there_is_no_entry_behind_the_end_of_the_recording() {
        assert_eq!(entries(&[(10, 0, 4000)], 1000), [(10, 0)]);
        assert_eq!(entries(&[(10, 0, 4000)], 1001), [(10, 0), (10, 0)]);
        assert_eq!(entries(&[(10, -100, 4000)], 0), []);
    }
}
