//! Every fault of the core, one variant for each meaning, with the facts as fields.

use std::io;
use std::path::{Path, PathBuf};

use crate::room::is_no_room;

/// What every fallible function of the core returns.
pub type Result<T> = std::result::Result<T, Error>;

/// A fault of the core.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused something at a path.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Writing a take failed for good earlier; nothing that was durable is touched.
    #[error("writing {} failed for good: {reason}", folder.display())]
    WritingFailed {
        /// The take's folder.
        folder: PathBuf,
        /// The first fault, in words.
        reason: String,
    },
    /// No folder has room for audio; what was durable is.
    #[error("no room for audio on the disk of {} nor in any spill folder", folder.display())]
    NoRoom {
        /// Where takes lie.
        folder: PathBuf,
    },
    /// A format outside what the core keeps.
    #[error("unsupported format: {reason}")]
    UnsupportedFormat {
        /// What does not fit.
        reason: String,
    },
    /// Bytes on disk that are not what was written there.
    #[error("corrupt: {} at byte {byte}: {reason}", path.display())]
    CorruptSegment {
        /// The file.
        path: PathBuf,
        /// The first byte that cannot be trusted.
        byte: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A range that a take does not hold, or parts that do not belong together.
    #[error("{reason}")]
    SegmentMismatch {
        /// Which range or part.
        reason: String,
    },
    /// An encoder of others gave up.
    #[error("{reason}")]
    Encoder {
        /// Which, and what it said.
        reason: String,
    },
    /// A channel map that does not fit the channels at hand.
    #[error("channel map: {reason}")]
    ChannelMap {
        /// What does not fit.
        reason: String,
    },
    /// The writer was closed, or the take has its end mark.
    #[error("take {} is closed: {reason}", folder.display())]
    TakeClosed {
        /// The take's folder.
        folder: PathBuf,
        /// Why it ended.
        reason: String,
    },
    /// An argument that cannot be meant.
    #[error("{reason}")]
    InvalidArgument {
        /// Which, and what would do.
        reason: String,
    },
}

impl Error {
    /// For `map_err`: names the act and the path of a system fault.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Whether it says that a disk or a quota is full.
    pub fn is_no_room(&self) -> bool {
        match self {
            Self::NoRoom { .. } => true,
            Self::Io { source, .. } => is_no_room(source),
            _ => false,
        }
    }

    /// Bytes of a file that cannot be trusted from `byte` on.
    pub fn corrupt(path: impl AsRef<Path>, byte: u64, reason: impl Into<String>) -> Self {
        Self::CorruptSegment { path: path.as_ref().to_path_buf(), byte, reason: reason.into() }
    }

    /// An argument that cannot be meant.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }

    /// A range or part that does not belong.
    pub fn mismatch(reason: impl Into<String>) -> Self {
        Self::SegmentMismatch { reason: reason.into() }
    }
}
