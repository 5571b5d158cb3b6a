//! Room on the disk below a folder, and the reserve that is held back for the moment when it is full.
//!
//! The reserve is a file beside the takes. Audio never counts on it; when the disk is full it is given back, so that ledgers,
//! closings and small files of others can still be written.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{Error, Result};

/// The name of the reserve in its folder.
pub const RESERVE_NAME: &str = ".reserve";

/// Audio leaves at least so much untouched, besides the reserve: a disk that is full to the last byte takes no ledger entry.
pub const LEAST_ROOM_BYTES: u64 = 256 << 10;

/// A disk that was full is used again when it has so much room, so that it is not full again at once.
pub const ROOM_TO_RETURN_BYTES: u64 = 1 << 20;

/// The reserve is at most one part in so many of its disk.
const RESERVE_PART: u64 = 100;

/// How a disk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What this user can write now.
    pub free_bytes: u64,
    /// Of the whole disk.
    pub total_bytes: u64,
    /// What the reserve of this disk is wanted to hold.
    pub reserve_bytes: u64,
    /// What it holds now.
    pub reserved_bytes: u64,
}

impl Room {
    /// What audio may still fill: all but the reserve and [`LEAST_ROOM_BYTES`].
    pub fn usable_bytes(&self) -> u64 {
        (self.free_bytes + self.reserved_bytes).saturating_sub(self.reserve_bytes + LEAST_ROOM_BYTES)
    }
}

/// Room on the disk that `folder` lies on. `most_reserve_bytes` are reserved there, less on a small disk.
///
/// # Errors
/// `Io`.
pub fn room(folder: &Path, most_reserve_bytes: u64) -> Result<Room> {
    let name = CString::new(folder.as_os_str().as_bytes())
        .map_err(|_| Error::invalid("a folder with a zero byte in its name"))?;
    // SAFETY: plain data, for which zeros are a value.
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: a text that ends in zero, and room for the answer.
    if unsafe { libc::statvfs(name.as_ptr(), &raw mut facts) } != 0 {
        return Err(Error::io("look at the disk of", folder)(std::io::Error::last_os_error()));
    }
    let block_bytes = facts.f_frsize;
    let total_bytes = facts.f_blocks.saturating_mul(block_bytes);
    Ok(Room {
        free_bytes: facts.f_bavail.saturating_mul(block_bytes),
        total_bytes,
        reserve_bytes: most_reserve_bytes.min(total_bytes / RESERVE_PART),
        reserved_bytes: reserved_bytes(folder)?,
    })
}

/// Makes the reserve when there is room for it and [`ROOM_TO_RETURN_BYTES`] more. Returns whether it is whole now.
///
/// # Errors
/// `Io`; what was begun of it is removed.
pub fn keep_reserve(folder: &Path, most_reserve_bytes: u64) -> Result<bool> {
    let room = room(folder, most_reserve_bytes)?;
    if room.reserved_bytes >= room.reserve_bytes {
        return Ok(true);
    }
    let missing = room.reserve_bytes - room.reserved_bytes;
    if room.free_bytes < missing + LEAST_ROOM_BYTES + ROOM_TO_RETURN_BYTES {
        return Ok(false);
    }
    let path = folder.join(RESERVE_NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    let bytes = i64::try_from(room.reserve_bytes).unwrap_or(i64::MAX);
    // SAFETY: an open file.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) } {
        0 => Ok(true),
        errno => {
            give_back_reserve(folder)?;
            Err(Error::io("reserve room in", &path)(std::io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Gives the reserve to whoever writes next. Whether there was one.
///
/// # Errors
/// `Io`.
pub fn give_back_reserve(folder: &Path) -> Result<bool> {
    let path = folder.join(RESERVE_NAME);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(Error::io("remove", &path)(fault)),
    }
}

/// Whether a fault says that there is no room, on the disk or in a quota.
pub fn is_no_room(fault: &std::io::Error) -> bool {
    matches!(fault.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
}

fn reserved_bytes(folder: &Path) -> Result<u64> {
    const SECTOR_BYTES: u64 = 512;
    let path = folder.join(RESERVE_NAME);
    match std::fs::metadata(&path) {
        Ok(facts) => Ok(facts.blocks() * SECTOR_BYTES),
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(0),
        Err(fault) => Err(Error::io("read", &path)(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_no_room_for_audio_whether_it_is_held_or_given_back() {
        let room = |free_bytes, reserved_bytes| Room {
            free_bytes,
            total_bytes: 1 << 40,
            reserve_bytes: 64 << 20,
            reserved_bytes,
        };
        assert_eq!(room(10 << 20, 64 << 20).usable_bytes(), (10 << 20) - LEAST_ROOM_BYTES);
        assert_eq!(room(74 << 20, 0).usable_bytes(), (10 << 20) - LEAST_ROOM_BYTES);
        assert_eq!(room(1 << 20, 0).usable_bytes(), 0);
    }

    #[test]
    fn a_reserve_is_made_whole_given_back_and_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for _ in 0..2 {
            assert!(keep_reserve(folder.path(), 1 << 20).expect("room"));
            let held = room(folder.path(), 1 << 20).expect("a disk");
            assert_eq!((held.reserve_bytes, held.reserved_bytes), (1 << 20, 1 << 20));
            assert!(give_back_reserve(folder.path()).expect("ours"));
            assert!(!give_back_reserve(folder.path()).expect("ours"));
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_fault() {
        assert!(matches!(room(Path::new("/no/such/folder"), 0), Err(Error::Io { .. })));
    }
}
