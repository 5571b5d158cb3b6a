//! Where the segments of a take may lie: in its own folder first, then in its places in the spill folders.

use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::room::{LEAST_ROOM_BYTES, ROOM_TO_RETURN_BYTES, give_back_reserve, room};
use crate::segment::sync_folder;

/// A folder that failed is tried again after this time, sooner only when there is no other one.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// One whose disk said that it is full, whatever its free space looks like (a quota), for longer each time in a row.
const FULL_FOR: Duration = Duration::from_secs(5);
const MOST_FULL_DOUBLINGS: u32 = 6;

/// The folders, in the order in which they are filled.
pub struct Folders {
    all: Vec<Folder>,
    most_reserve_bytes: u64,
}

struct Folder {
    /// Where segments of this take lie.
    path: PathBuf,
    /// Where takes and the reserve lie.
    base: PathBuf,
    /// Segments of this take were put there: when the place is missing, its disk is, and nothing is made in its stead.
    is_used: bool,
    is_full: bool,
    refusals: u32,
    full_until: Option<Instant>,
    failing_until: Option<Instant>,
}

/// Whether the disk that a segment lies on is missing: its place was durable before the ledger named it.
///
/// # Errors
/// `Io` when that cannot be told.
pub fn is_away(segment: &Path) -> Result<bool> {
    let place = segment.parent().unwrap_or(segment);
    place.try_exists().map(|exists| !exists).map_err(Error::io("find the spill folder", place))
}

impl Folders {
    /// The take's own folder, which exists, and one of its name in each spill folder, made when it is first needed.
    pub fn new(take: &Path, spill: &[PathBuf], most_reserve_bytes: u64) -> Self {
        let name = take.file_name().unwrap_or_default();
        let own = Folder::new(take.to_path_buf(), take.parent().unwrap_or(take).to_path_buf());
        let others = spill.iter().map(|base| Folder::new(base.join(name), base.clone()));
        Self { all: std::iter::once(own).chain(others).collect(), most_reserve_bytes }
    }

    /// Where a segment may be opened now that takes so many bytes at once: the first folder with room that does not fail, else
    /// one that does.
    ///
    /// # Errors
    /// `NoRoom` when none has any, `Io` when the place in it cannot be made.
    pub fn choose(&mut self, bytes: u64) -> Result<PathBuf> {
        let now = Instant::now();
        let mut places: Vec<usize> =
            (0..self.all.len()).filter(|at| self.has_room(*at, bytes, now)).collect();
        places.sort_by_key(|at| self.all[*at].fails(now));
        let mut outcome = Err(Error::NoRoom { folder: self.all[0].base.clone() });
        for at in places {
            outcome = self.all[at].made();
            if outcome.is_ok() {
                break;
            }
            self.all[at].failing_until = Some(now + TRIED_AGAIN_AFTER);
        }
        outcome
    }

    /// # Errors
    /// `NoRoom` when no folder has room for a new take.
    pub fn check_start(&mut self) -> Result<()> {
        let now = Instant::now();
        let has_room = (0..self.all.len()).any(|at| self.has_room(at, ROOM_TO_RETURN_BYTES, now));
        if has_room { Ok(()) } else { Err(Error::NoRoom { folder: self.all[0].base.clone() }) }
    }

    /// Whether so many bytes more fit where this segment lies. A full disk gets its reserve back.
    pub fn fits(&mut self, segment: &Path, bytes: u64) -> bool {
        self.place_of(segment).is_none_or(|at| self.has_room(at, bytes, Instant::now()))
    }

    /// Takes note of why writing there failed. Returns whether that was for want of room.
    pub fn note_fault(&mut self, segment: &Path, fault: &Error) -> bool {
        let now = Instant::now();
        let is_full = fault.is_no_room();
        if let Some(at) = self.place_of(segment) {
            let folder = &mut self.all[at];
            if is_full {
                let doublings = folder.refusals.min(MOST_FULL_DOUBLINGS);
                folder.refusals += 1;
                (folder.is_full, folder.full_until) = (true, Some(now + FULL_FOR * (1 << doublings)));
                folder.give_back_reserve();
            } else {
                folder.failing_until = Some(now + TRIED_AGAIN_AFTER);
            }
        }
        is_full
    }

    /// The ledger names this segment.
    pub fn note_named(&mut self, segment: &Path) {
        if let Some(at) = self.place_of(segment) {
            self.all[at].is_used = true;
        }
    }

    /// A segment was written there to its end.
    pub fn note_success(&mut self, segment: &Path) {
        if let Some(at) = self.place_of(segment) {
            (self.all[at].refusals, self.all[at].failing_until) = (0, None);
        }
    }

    /// The places that exist, the take's own first.
    pub fn existing(&self) -> impl Iterator<Item = &Path> {
        self.all.iter().map(|folder| folder.path.as_path()).filter(|path| path.is_dir())
    }

    fn place_of(&self, segment: &Path) -> Option<usize> {
        self.all.iter().position(|folder| Some(folder.path.as_path()) == segment.parent())
    }

    /// A disk that does not even say how full it is counts as failing, not as full.
    fn has_room(&mut self, at: usize, bytes: u64, now: Instant) -> bool {
        let most_reserve_bytes = self.most_reserve_bytes;
        let folder = &mut self.all[at];
        if folder.full_until.is_some_and(|until| now < until) {
            return false;
        }
        match room(&folder.base, most_reserve_bytes) {
            Ok(room) => {
                if room.free_bytes < LEAST_ROOM_BYTES {
                    folder.give_back_reserve();
                }
                let spare = if folder.is_full { ROOM_TO_RETURN_BYTES } else { 0 };
                folder.is_full = room.usable_bytes() < bytes.saturating_add(spare);
                !folder.is_full
            }
            Err(_) => {
                folder.failing_until = Some(now + TRIED_AGAIN_AFTER);
                true
            }
        }
    }
}

impl Folder {
    fn new(path: PathBuf, base: PathBuf) -> Self {
        Self {
            path,
            base,
            is_used: false,
            is_full: false,
            refusals: 0,
            full_until: None,
            failing_until: None,
        }
    }

    /// Before the ledger names it: a place that the ledger names and that is missing is a disk that is missing.
    fn made(&mut self) -> Result<PathBuf> {
        let path = &self.path;
        if !path.is_dir() {
            if self.is_used {
                return Err(Error::io("find the spill folder", path)(ErrorKind::NotFound.into()));
            }
            std::fs::DirBuilder::new().mode(0o700).create(path).map_err(Error::io("create", path))?;
            sync_folder(&self.base)?;
        }
        self.is_used = true;
        Ok(self.path.clone())
    }

    fn fails(&self, now: Instant) -> bool {
        self.failing_until.is_some_and(|until| now < until)
    }

    /// What cannot be given back changes nothing: the disk stays full, and is looked at again.
    fn give_back_reserve(&self) {
        let _ = give_back_reserve(&self.base);
    }
}
