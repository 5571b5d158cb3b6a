//! Takes: what one interface gave, on one frame timeline, in a folder.
//!
//! The folder holds the [ledger](crate::ledger) and segments. [`TakeWriter`] adds to it, [`Take`] reads it, finished or growing.
//! The timeline counts what the device's clock produced; what is missing on disk is a gap entry, so that frames written and
//! frames in gaps always add up to the end. Gap entries become durable before the audio behind them does: a gap entry that
//! the audio has not reached yet does not count.

mod clock_map;
mod drawing;
mod folders;
mod history;
mod inlet;
mod reader;
mod resume;
mod scribe;
mod writer;

pub use history::SegmentState;
pub use inlet::{DISK_FULL, RING_FULL};
pub use reader::Take;
pub use writer::{Standing, TakeOptions, TakeWriter};
