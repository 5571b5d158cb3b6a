//! What a codec has to do, whatever it is.

use crate::error::Result;

/// Turns frames into bytes that only follow one another.
pub trait Codec: Send + Sync {
    /// Everything before the first encoded frame: enough of a head to decode what follows while it grows.
    fn begin(&mut self, out: &mut Encoded);

    /// Encodes whole frames of the codec's format. It may hold frames back.
    ///
    /// # Errors
    /// [`Error::Encoder`](crate::Error::Encoder) when the encoder gives up.
    fn encode(&mut self, pcm: &[u8], out: &mut Encoded) -> Result<()>;

    /// Gives what was held back. Nothing is encoded afterwards.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn finish(&mut self, out: &mut Encoded) -> Result<()>;

    /// The final bytes of the file from byte 0 on, no more than [`begin`](Self::begin) gave; only after
    /// [`finish`](Self::finish).
    fn head(&self) -> Vec<u8>;
}

/// What a codec gave.
#[derive(Debug, Default)]
pub struct Encoded {
    /// The next bytes of the file.
    pub bytes: Vec<u8>,
    /// Encoded frames that are whole with these bytes, in order.
    pub places: Vec<Place>,
}

impl Encoded {
    /// For what comes next.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
    }
}

/// An encoded frame: a place where decoding can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The byte of the file at which it begins.
    pub byte: u64,
    /// The first frame of the recording that is heard when decoding begins here; below 0 while a decoder still gives what it
    /// adds itself.
    pub start_frame: i64,
    /// The first frame that is heard from the next encoded frame.
    pub end_frame: i64,
}
