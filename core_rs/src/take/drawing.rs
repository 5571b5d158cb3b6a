//! The waveform of a take's raw channels, drawn as frames become durable: `waveform.dat`.
//!
//! It is derived, so it is not synced with every flush: after a crash the last segments are drawn again from their samples. While
//! a segment lies in a spill folder it is: what is drawn tells how far that segment got, should its disk be missing.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::pcm::PcmFormat;
use crate::take::folders::is_away;
use crate::take::reader::{Take, file_length};
use crate::waveform::{Bits, Waveform};

/// Its name in the take's folder.
pub const WAVEFORM_NAME: &str = "waveform.dat";

const FRAMES_PER_BIN: u32 = 512;
const HEADER_BYTES: u64 = 24;
/// More than this is not drawn again: a capture waits for it.
const MOST_SECONDS_AGAIN: u64 = 600;

/// Draws into the file.
pub struct Drawing {
    file: File,
    path: PathBuf,
    waveform: Waveform,
    bins: Vec<u8>,
    end_byte: u64,
}

impl Drawing {
    /// Begins the file.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(folder: &Path, format: PcmFormat) -> Result<Self> {
        let path = folder.join(WAVEFORM_NAME);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        let waveform = Waveform::new(format, FRAMES_PER_BIN, Bits::Eight)?;
        Ok(Self { file, path, waveform, bins: Vec::new(), end_byte: HEADER_BYTES })
    }

    /// Goes on up to the end of a recovered take; what may not have reached the disk is drawn again. What lies on a missing disk
    /// is drawn as silence.
    ///
    /// # Errors
    /// `Io`, what reading the take returns, and `SegmentMismatch` when so much is not drawn that the capture would wait for it.
    pub fn resume(folder: &Path, take: &Take) -> Result<Self> {
        let mut drawing = Self::create(folder, take.format())?;
        let bin_bytes = drawing.waveform.bin_bytes();
        let drawn_bins = drawn_bins(&drawing.path, bin_bytes)?;
        let kept_bins = drawn_bins.min(trusted_frame(take)? / u64::from(FRAMES_PER_BIN));
        // A sync that failed may have left holes anywhere behind the last one that did not.
        let kept_bins = if has_failed_before(take) { 0 } else { kept_bins };
        drawing.waveform = drawing.waveform.behind(kept_bins);
        drawing.end_byte = HEADER_BYTES + kept_bins * bin_bytes;
        // What is drawn as a hole must be one.
        drawing.file.set_len(drawing.end_byte).map_err(Error::io("shorten", &drawing.path))?;
        drawing.draw_again(take, kept_bins * u64::from(FRAMES_PER_BIN))?;
        drawing.save()?;
        Ok(drawing)
    }

    /// Draws whole frames.
    pub fn push(&mut self, pcm: &[u8]) {
        self.waveform.push(pcm, &mut self.bins);
    }

    /// Draws missing frames. Much silence is a hole in the file.
    ///
    /// # Errors
    /// `Io`.
    pub fn push_silence(&mut self, frames: u64) -> Result<()> {
        let silent_bins = self.waveform.push_silence(frames, &mut self.bins);
        self.save_bins()?;
        self.end_byte += silent_bins * self.waveform.bin_bytes();
        Ok(())
    }

    /// Writes the complete bins and a head that is true for them.
    ///
    /// # Errors
    /// `Io`.
    pub fn save(&mut self) -> Result<()> {
        if self.bins.is_empty() {
            return Ok(());
        }
        self.save_bins()?;
        self.file.write_all_at(&self.waveform.header(), 0).map_err(Error::io("write", &self.path))
    }

    /// Makes what was saved durable.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("sync", &self.path))
    }

    /// Writes the last bin and ends the file there.
    ///
    /// # Errors
    /// `Io`.
    pub fn finish(mut self) -> Result<()> {
        self.waveform.finish(&mut self.bins);
        self.save_bins()?;
        self.file.write_all_at(&self.waveform.header(), 0).map_err(Error::io("write", &self.path))?;
        self.file.set_len(self.end_byte).map_err(Error::io("shorten", &self.path))?;
        self.sync()
    }

    fn save_bins(&mut self) -> Result<()> {
        self.file.write_all_at(&self.bins, self.end_byte).map_err(Error::io("write", &self.path))?;
        self.end_byte += self.bins.len() as u64;
        self.bins.clear();
        Ok(())
    }

    fn draw_again(&mut self, take: &Take, from_frame: u64) -> Result<()> {
        const READ_FRAMES: u64 = 1 << 14;
        self.check_backlog(take, from_frame)?;
        let (mut frame, end_frame) = (from_frame, take.durable_frame());
        let mut pcm = Vec::new();
        for extent in take.history().extents(from_frame, end_frame) {
            if is_away(&take.folder().join(&take.segments()[extent.segment].file))? {
                continue;
            }
            self.push_silence(extent.start_frame - frame)?;
            frame = extent.start_frame;
            let extent_end = extent.start_frame + extent.frames;
            while frame < extent_end {
                let next = extent_end.min(frame + READ_FRAMES);
                pcm.clear();
                take.read_into(frame, next, &mut pcm)?;
                self.push(&pcm);
                self.save_bins()?;
                frame = next;
            }
        }
        self.push_silence(end_frame - frame)
    }

    /// Whether little enough is missing, besides what is never sure to be on disk.
    fn check_backlog(&self, take: &Take, from_frame: u64) -> Result<()> {
        let missing = take.history().extents(from_frame, trusted_frame(take)?);
        let missing_frames: u64 = missing.iter().map(|extent| extent.frames).sum();
        if missing_frames > MOST_SECONDS_AGAIN * u64::from(take.format().sample_rate_hz()) {
            return Err(Error::mismatch(format!(
                "{} misses {missing_frames} frames, which would keep the capture waiting",
                self.path.display()
            )));
        }
        Ok(())
    }
}

/// The frame that the whole bins reach to; a bin is saved after its frames became durable. None when nothing is drawn, or drawing ever failed.
///
/// # Errors
/// `Io`.
pub fn drawn_frame(take: &Take) -> Result<Option<u64>> {
    let path = take.folder().join(WAVEFORM_NAME);
    if has_failed_before(take) || !path.exists() {
        return Ok(None);
    }
    let waveform = Waveform::new(take.format(), FRAMES_PER_BIN, Bits::Eight)?;
    Ok(Some(drawn_bins(&path, waveform.bin_bytes())? * u64::from(FRAMES_PER_BIN)))
}

fn drawn_bins(path: &Path, bin_bytes: u64) -> Result<u64> {
    Ok(file_length(path)?.saturating_sub(HEADER_BYTES) / bin_bytes)
}

fn has_failed_before(take: &Take) -> bool {
    take.history().tears.iter().any(|tear| tear.file == WAVEFORM_NAME)
}

/// The file is synced after each closing of a segment, so the last two may not be on disk; and with each flush in a spill folder,
/// so nothing of a segment that cannot be read is drawn again.
fn trusted_frame(take: &Take) -> Result<u64> {
    let segments = take.segments();
    let second_last = segments.len().saturating_sub(2);
    for at in (second_last..segments.len()).rev() {
        if is_away(&take.folder().join(&segments[at].file))? {
            return Ok(take.history().end_of_segment(at));
        }
    }
    Ok(if segments.len() < 2 { 0 } else { segments[second_last].start_frame })
}
