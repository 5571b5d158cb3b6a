//! The sums of an open segment: what each flush made durable, in records of fixed size beside the segment.
//!
//! A record is written only after the bytes it speaks of were synced, so that it is itself the proof of durability. A record cut
//! short or not matching its own sum was not finished by a crash; nothing after it counts. Room for records is written ahead as
//! zeros, so that a record changes no length: syncing it then costs no journal entry.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Bytes of one record on disk.
pub const RECORD_BYTES: usize = 32;

/// Records that room is made for at a time; their bytes fill a page.
const ROOM_RECORDS: u64 = 128;

/// One flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushRecord {
    /// Bytes of samples in the segment up to and with this flush.
    pub end_byte: u64,
    /// CRC-32 of the samples of this flush; none when sums are off.
    pub block_crc: Option<u32>,
    /// When the frame at `end_byte` was, or will be, captured.
    pub boottime_ns: i64,
}

impl FlushRecord {
    /// The record as it stands on disk.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[4..8].copy_from_slice(&self.block_crc.unwrap_or(0).to_le_bytes());
        bytes[8..16].copy_from_slice(&self.end_byte.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.boottime_ns.to_le_bytes());
        bytes[24..28].copy_from_slice(&u32::from(self.block_crc.is_some()).to_le_bytes());
        let own_crc = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&own_crc.to_le_bytes());
        bytes
    }

    /// None when the record does not match its own sum.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let is_true = word(0) == crc32fast::hash(&bytes[4..]);
        is_true.then(|| Self {
            end_byte: long(8),
            block_crc: (word(24) == 1).then(|| word(4)),
            boottime_ns: long(16).cast_signed(),
        })
    }
}

/// The sums file of a segment.
pub fn sums_path(segment: &Path) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(".sums");
    name.into()
}

/// Writes records.
pub struct SumsWriter {
    file: File,
    path: PathBuf,
    records: u64,
}

impl SumsWriter {
    /// Begins the sums of a new segment, with room.
    ///
    /// # Errors
    /// `Io`, also when there are some already.
    pub fn create(segment: &Path) -> Result<Self> {
        let path = sums_path(segment);
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let writer = Self { file, path, records: 0 };
        writer.make_room()?;
        Ok(writer)
    }

    /// Appends a record durably.
    ///
    /// # Errors
    /// `Io`.
    pub fn append(&mut self, record: &FlushRecord) -> Result<()> {
        if self.records > 0 && self.records.is_multiple_of(ROOM_RECORDS) {
            self.make_room()?;
        }
        let byte = self.records * RECORD_BYTES as u64;
        self.file.write_all_at(&record.encode(), byte).map_err(Error::io("write", &self.path))?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        self.records += 1;
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        let room = [0; ROOM_RECORDS as usize * RECORD_BYTES];
        self.file
            .write_all_at(&room, self.records * RECORD_BYTES as u64)
            .map_err(Error::io("write", &self.path))?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }
}

/// Reads records as they come.
#[derive(Debug)]
pub struct SumsReader {
    file: File,
    path: PathBuf,
    read_bytes: u64,
    end_byte: u64,
}

impl SumsReader {
    /// None when the segment has no sums: it is closed, or about to begin.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(segment: &Path) -> Result<Option<Self>> {
        let path = sums_path(segment);
        match File::open(&path) {
            Ok(file) => Ok(Some(Self { file, path, read_bytes: 0, end_byte: 0 })),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Io { action: "open", path, source }),
        }
    }

    /// The next record, or none. Stops for good before a record that is torn or that leads backwards.
    ///
    /// # Errors
    /// `Io`.
    pub fn next_record(&mut self) -> Result<Option<FlushRecord>> {
        let mut bytes = [0; RECORD_BYTES];
        let mut filled = 0;
        while filled < RECORD_BYTES {
            let read = self.file.read_at(&mut bytes[filled..], self.read_bytes + filled as u64);
            match read.map_err(Error::io("read", &self.path))? {
                0 => return Ok(None),
                count => filled += count,
            }
        }
        let Some(record) = FlushRecord::decode(&bytes) else { return Ok(None) };
        if record.end_byte <= self.end_byte {
            return Ok(None);
        }
        self.read_bytes += RECORD_BYTES as u64;
        self.end_byte = record.end_byte;
        Ok(Some(record))
    }

    /// Where the last good record ends the samples.
    pub fn end_byte(&self) -> u64 {
        self.end_byte
    }

    /// Where good records end, if anything but room stands behind them.
    ///
    /// # Errors
    /// `Io`.
    pub fn torn_byte(&self) -> Result<Option<u64>> {
        let mut rest = [0; ROOM_RECORDS as usize * RECORD_BYTES];
        let read = self.file.read_at(&mut rest, self.read_bytes).map_err(Error::io("read", &self.path))?;
        Ok(rest[..read].iter().any(|byte| *byte != 0).then_some(self.read_bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_come_back(end_byte: u64, block_crc: Option<u32>, boottime_ns: i64) {
            let record = FlushRecord { end_byte, block_crc, boottime_ns };
            prop_assert_eq!(FlushRecord::decode(&record.encode()), Some(record));
        }

        #[test]
        fn a_flipped_bit_voids_the_record(bit in 0usize..RECORD_BYTES * 8, end_byte: u64) {
            let mut bytes = FlushRecord { end_byte, block_crc: Some(7), boottime_ns: -1 }.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(FlushRecord::decode(&bytes), None);
        }
    }
}
