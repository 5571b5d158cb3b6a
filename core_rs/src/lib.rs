//! The audio core of Reelkeeper: crash-safe takes and everything that is computed from their samples.
//!
//! Time is an argument everywhere; only the writer's thread paces itself by a clock. Nothing here panics on bytes that come from outside.

pub mod channels;
pub mod digest;
pub mod error;
pub mod growth;
pub mod ledger;
pub mod levels;
pub mod loudness;
pub mod meter;
pub mod pcm;
pub mod rendition;
pub mod repeats;
pub mod room;
pub mod segment;
pub mod stopping;
pub mod sums;
pub mod synthetic;
pub mod take;
pub mod wav;
pub mod waveform;

#[cfg(feature = "python")]
mod py;

pub use error::{Error, Result};
pub use pcm::{PcmFormat, SampleType};
