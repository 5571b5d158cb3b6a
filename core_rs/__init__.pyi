"""The audio core of Reelkeeper: takes, stitching, channel maps, waveforms, levels, digests.

Audio travels as interleaved little-endian PCM in anything with the buffer protocol and comes back as `bytes`.
Frames are counted from 0 at the start of a take; ranges are half open. Instants are CLOCK_BOOTTIME nanoseconds
(`boottime_ns`) or UTC nanoseconds since 1970 (`utc_ns`) and are always arguments. Work on disk and long work
run without the interpreter lock. Input/output faults are `OSError` with the path in the text; everything else is
an `AudioError`.
"""

import builtins
from collections.abc import Sequence
from os import PathLike
from typing import Literal, final

from typing_extensions import Buffer

__all__ = [
    "FLAC_VERSION",
    "HEAD_BYTES",
    "LAME_VERSION",
    "AudioError",
    "ChannelLevels",
    "ChannelMap",
    "ChannelMapError",
    "ClockPair",
    "CorruptSegmentError",
    "Digest",
    "DiskRoom",
    "EndMark",
    "FileScan",
    "Gap",
    "Growth",
    "GrowthGuard",
    "LevelMeter",
    "PcmFormat",
    "Rendition",
    "RenditionSeal",
    "SampleType",
    "Segment",
    "SegmentMismatchError",
    "SignalWindow",
    "Standing",
    "StrPath",
    "Take",
    "TakeClosedError",
    "TakeWriter",
    "Tear",
    "UnsupportedFormatError",
    "Waveform",
    "coarser_waveform",
    "counter_pcm",
    "disk_room",
    "end_after_signal",
    "give_back_reserve",
    "keep_reserve",
    "keyed_pcm",
    "scan_wav",
    "sha256_file",
    "tone_pcm",
]

SampleType = Literal["s16", "s24", "s32", "f32"]
Growth = Literal["growing", "quiet", "stalled"]
Standing = Literal["usable", "full", "failing"]
StrPath = str | PathLike[str]

class AudioError(Exception):
    """Base of every fault of the core that is not one of input and output."""

class UnsupportedFormatError(AudioError):
    """A format outside 1-64 channels, 8-384 kHz, s16, s24, s32 or f32."""

class CorruptSegmentError(AudioError):
    """Bytes on disk that are not what was written there; names path and byte."""

class SegmentMismatchError(AudioError):
    """A frame range that the take does not hold, or parts of takes that do not belong together."""

class ChannelMapError(AudioError):
    """A channel map that does not fit the channels at hand."""

class TakeClosedError(AudioError):
    """The writer was closed, or the take already has its end mark."""

@final
class PcmFormat:
    """What one frame looks like. `s24` is packed (3 bytes a sample)."""

    def __new__(cls, channels: int, sample_rate_hz: int, sample_type: SampleType) -> PcmFormat: ...
    @property
    def channels(self) -> int: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def sample_type(self) -> SampleType: ...
    @property
    def frame_bytes(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# ---- what a take says about itself (all frozen) ----

@final
class Gap:
    """Frames that the device's clock produced and that are not on disk."""

    @property
    def start_frame(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def cause(self) -> str: ...
    @property
    def uncertainty_frames(self) -> int: ...

@final
class Segment:
    @property
    def path(self) -> str: ...
    @property
    def start_frame(self) -> int: ...
    @property
    def frames(self) -> int:
        """Durable frames; grows while the segment is open."""
    @property
    def sha256(self) -> str | None:
        """Of the whole file; None while it is open, without checksums, and when a fault ended it."""

@final
class ClockPair:
    @property
    def frame(self) -> int: ...
    @property
    def boottime_ns(self) -> int: ...
    @property
    def utc_ns(self) -> int: ...

@final
class Tear:
    """Bytes that a crash left behind and that do not count as content."""

    @property
    def path(self) -> str: ...
    @property
    def byte(self) -> int: ...
    @property
    def reason(self) -> str: ...

@final
class EndMark:
    """The last entry of a ledger: the capture ended on purpose, and this is all of it."""

    @property
    def reason(self) -> str: ...
    @property
    def end_frame(self) -> int: ...
    @property
    def gap_frames(self) -> int: ...
    @property
    def drained(self) -> bool:
        """False when the drain hit its limit: then the end is a kill, and is written as one."""

@final
class ChannelLevels:
    """One channel since the last asking. Digital silence is -inf dBFS, never 0; +inf never comes."""

    @property
    def peak_dbfs(self) -> float: ...
    @property
    def rms_dbfs(self) -> float: ...
    @property
    def clipped_frames(self) -> int:
        """Frames at full scale that stand in a run of three or more: overload. A lone peak is none."""
    @property
    def zero_frames(self) -> int:
        """How many frames in a row, up to the newest, were exactly zero."""
    @property
    def frozen_frames(self) -> int:
        """How many frames in a row, up to the newest, had one and the same value other than zero."""

@final
class SignalWindow:
    """A quarter of a second of a stream, or less where it broke."""

    @property
    def boottime_ns(self) -> int: ...
    @property
    def frame(self) -> int | None:
        """Of the take that was being written; None when there was none."""
    @property
    def frames(self) -> int: ...
    @property
    def repeated_frames(self) -> int:
        """How many frames in a row, up to its end, the device had delivered before: buffers that come again."""
    @property
    def channels(self) -> list[ChannelLevels]: ...

@final
class LevelMeter:
    """Levels of a live stream. One thread pushes while others ask; nobody waits for a disk."""

    def __new__(cls, format: PcmFormat) -> LevelMeter: ...
    def push(self, buffer: Buffer, boottime_ns: int = 0, frame: int | None = None) -> None:
        """Measures whole frames; bytes behind the last whole one do not count.

        The first of them was captured at `boottime_ns`, and is this frame of the take that is being written.
        """
    def levels(self) -> list[ChannelLevels]:
        """Since the last call. Empty when nothing came since then: that is not silence."""
    def windows(self) -> list[SignalWindow]:
        """Those that became complete since the last call, at most the newest minute."""

# ---- writing ----

@final
class TakeWriter:
    """Writes one take. `push` only copies into a ring; a thread of the core makes it durable.

    Folder: `ledger` (one checked JSON line an entry) and WAV/RF64 segments. After a crash at any moment everything
    below the last `durable_frame` reads back. A writer holds no lock on the folder: its owner does.
    """

    @staticmethod
    def create(
        folder: StrPath,
        format: PcmFormat,
        *,
        facts: str,
        flush_interval_ms: int = 500,
        segment_seconds: int = 60,
        ring_seconds: int = 10,
        waveform: bool = True,
        checksums: bool = True,
        spill_folders: Sequence[StrPath] = ...,
        reserve_bytes: int = 0,
    ) -> TakeWriter:
        """Begins a take in a folder that it makes.

        `facts`: a JSON object kept in the first ledger entry (backend, interface …).
        The folder must not exist, its parent must. A ring of more than 2 GiB is refused. With `waveform` the take
        keeps a `waveform.dat` of its raw channels, 512 frames a bin, as long as that can be drawn; without `checksums`
        segments have no digests, and `verify` sees only lengths.

        Segments that cannot be written in the folder go to `<spill folder>/<name of the take>/`, in the order of the
        absolute `spill_folders`, and come back when they can. Audio leaves `reserve_bytes` free in each, but at most
        1 % of its disk; see `keep_reserve`. Raises OSError with ENOSPC when no folder has room.
        """
    @staticmethod
    def resume(
        folder: StrPath,
        *,
        cause: str,
        flush_interval_ms: int = 500,
        segment_seconds: int = 60,
        ring_seconds: int = 10,
        waveform: bool = True,
        checksums: bool = True,
        spill_folders: Sequence[StrPath] = ...,
        reserve_bytes: int = 0,
    ) -> TakeWriter:
        """Goes on after a crash, in a new segment. A torn tail is moved aside (`*.torn`), never deleted.

        The time between the last durable frame and the first push becomes a gap with this cause. After a restart
        of the machine that is measured only if `note_clock` comes before the first push, and came before the crash;
        else the gap is listed with 0 frames. Also the way on after a writer's `fault`, once its cause is gone.
        Raises TakeClosedError when the take has its end mark.
        """
    @property
    def format(self) -> PcmFormat: ...
    def push(self, buffer: Buffer, boottime_ns: int) -> int:
        """Appends whole frames; `boottime_ns` is when the first of them was captured. Never waits.

        Returns the frames taken; what a full ring refuses becomes a gap of exactly that length, with cause `disk_full`
        while no folder has room, else `ring_full`.
        Raises TakeClosedError after close, OSError once writing has failed for good.
        """
    def lost(self, frames: int, cause: str, uncertainty_frames: int = 0) -> None:
        """The device says that it dropped this many frames at this point of the stream.

        `cause` is one word of at most 64 bytes, also for `interrupted` and `resume`.
        """
    def interrupted(self, cause: str) -> None:
        """The stream broke: the clock map measures the gap up to the next push, where a new segment begins.

        It is listed even where nothing measurable is missing, with 0 frames. The first cause stands until that push.
        """
    @property
    def next_frame(self) -> int:
        """The frame that the next push begins at, gaps counted."""
    @property
    def durable_frame(self) -> int:
        """Every frame below is on disk or in a durable gap entry."""
    @property
    def durable_bytes(self) -> int:
        """Bytes of audio made durable by this writer: what a growth guard watches."""
    @property
    def growth(self) -> Growth: ...
    @property
    def standing(self) -> Standing:
        """`full` while no folder has room: what comes in waits in the ring, then it is a gap, until there is room.

        `failing` once writing has failed for good for another reason.
        """
    @property
    def fault(self) -> str | None:
        """Why writing failed for good, or None."""
    def frame_at(self, boottime_ns: int) -> int:
        """The frame captured at that instant by the clock map; extrapolates forward, never below 0."""
    def mark(self, key: str, frame: int) -> int:
        """Binds a name to a frame, durably before it returns.

        A name that is already bound keeps, and gives, its first frame.
        """
    def note_clock(self, boottime_ns: int, utc_ns: int) -> None:
        """Puts a clock pair into the ledger."""
    def release(self, before_frame: int) -> int:
        """Unlinks whole closed segments that end at or before this frame, after a ledger entry.

        Returns the first frame still held. Where a file cannot be unlinked the others are, OSError says which, and
        the next call tries again.
        """
    def close(self, reason: str, drain_seconds: float = 6.0) -> EndMark:
        """Drains the ring, makes it durable, writes the end mark. A second call gives the same mark.

        A writer with a `fault` ends with `drained` false and a gap `write_error`, if the ledger can still be
        written; else OSError. A writer that is dropped without this makes durable what came in and writes no
        end mark, as a crash would.
        """

# ---- reading ----

@final
class Take:
    """Reads a take, finished or growing. Never writes."""

    @staticmethod
    def open(folder: StrPath) -> Take: ...
    def refresh(self) -> int:
        """Looks again at a growing take; costs only what is new. Returns `durable_frame`."""
    def give_up(self, path: str) -> None:
        """From now on the segment of this path reads as silence, and is one of the gaps, with cause `disk_away`."""
    @property
    def folder(self) -> str: ...
    @property
    def format(self) -> PcmFormat: ...
    @property
    def facts(self) -> str: ...
    @property
    def held_from_frame(self) -> int:
        """The first frame that was not released."""
    @property
    def durable_frame(self) -> int: ...
    @property
    def segments(self) -> list[Segment]: ...
    @property
    def gaps(self) -> list[Gap]: ...
    @property
    def marks(self) -> dict[str, int]: ...
    @property
    def clock_pairs(self) -> list[ClockPair]: ...
    @property
    def tears(self) -> list[Tear]:
        """While a writer is at work, what it is about to make durable looks like a tear."""
    @property
    def end(self) -> EndMark | None: ...
    def read(
        self,
        start_frame: int,
        end_frame: int,
        channel_map: ChannelMap | None = None,
        sample_type: SampleType | None = None,
    ) -> bytes:
        """Mapped frames, silence in the gaps.

        Raises SegmentMismatchError beyond what is held and durable, and for more than memory holds.
        """
    def verify(self) -> list[str]:
        """Reads everything again against sums and digests; one sentence for each fault, naming file and byte."""

@final
class GrowthGuard:
    """Says whether what should grow does."""

    def __new__(cls, quiet_after_seconds: float = 1.0, stalled_after_seconds: float = 3.0) -> GrowthGuard: ...
    def observe(self, now_seconds: float, bytes: int) -> Growth:
        """`bytes` is any counter that only rises while audio is written; a fall (a new file) counts as growth."""

@final
class ChannelMap:
    """A gain matrix: `outputs` rows of `inputs` gains.

    Output = sum of input × gain in double precision, rounded half to even and saturated. Input i adds to sum i mod 4;
    the sums make (0 + 1) + (2 + 3), so that a result can be repeated to the last bit.
    """

    def __new__(cls, rows: Sequence[Sequence[float]]) -> ChannelMap: ...
    @staticmethod
    def identity(channels: int) -> ChannelMap: ...
    @staticmethod
    def select(channels: Sequence[int], *, inputs: int) -> ChannelMap:
        """The given channels (from 0), bit for bit, in this order."""
    @staticmethod
    def mono(*, inputs: int) -> ChannelMap:
        """All inputs with gain 1/inputs into one."""
    @staticmethod
    def stereo(left: int, right: int, *, inputs: int) -> ChannelMap: ...
    @staticmethod
    def mono_to_stereo(channel: int = 0, *, inputs: int = 1) -> ChannelMap: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def rows(self) -> list[list[float]]: ...
    def apply(self, pcm: Buffer, sample_type: SampleType, output_type: SampleType | None = None) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

# ---- what is drawn and proved ----

@final
class Waveform:
    """Per bin and channel a (min, max) pair, drawn while frames arrive.

    Layout of the file: audiowaveform `.dat`, version 2. The numbers are also those of audiowaveform: the upper 16 bits
    of an integer, a float × 32767 cut towards 0; a pair of 8 bits is that divided by 256, cut towards 0.
    """

    def __new__(cls, format: PcmFormat, frames_per_bin: int = 512, bits: Literal[8, 16] = 8) -> Waveform: ...
    def push(self, pcm: Buffer) -> bytes:
        """The bytes of the bins that these frames completed."""
    def finish(self) -> bytes:
        """The bytes of the last, shorter bin, if there is one."""
    @property
    def bins(self) -> int: ...
    def header(self) -> bytes:
        """The 24 bytes before the bins, for the bins so far."""

def coarser_waveform(bins: Buffer, channels: int, bits: Literal[8, 16], factor: int = 4) -> bytes:
    """The next level of a waveform pyramid."""

@final
class Digest:
    """SHA-256, incrementally."""

    def __new__(cls) -> Digest: ...
    def update(self, data: Buffer) -> None: ...
    def hexdigest(self) -> str: ...

@final
class FileScan:
    @property
    def sha256(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def waveform(self) -> builtins.bytes:
        """A whole `.dat` file."""
    @property
    def integrated_lufs(self) -> float | None:
        """None unless asked for; -inf when nothing is above the gate. All channels count alike."""

def scan_wav(path: StrPath, *, frames_per_bin: int = 512, bits: Literal[8, 16] = 8, loudness: bool = False) -> FileScan:
    """SHA-256, waveform and, if asked, R 128 loudness of a WAV or RF64 file in one pass."""

def sha256_file(path: StrPath, start_byte: int = 0, end_byte: int | None = None) -> str:
    """SHA-256 of a range of a file, read in blocks."""

# ---- renditions ----

HEAD_BYTES: int
"""Bytes at the start of every rendition that may still change until it is sealed: 4096."""
LAME_VERSION: str
FLAC_VERSION: str
"""Of the encoders that are built in: another version may give other bytes."""

@final
class RenditionSeal:
    @property
    def head(self) -> builtins.bytes:
        """The final first HEAD_BYTES of the file, or the whole file when it is shorter."""
    @property
    def head_sha256(self) -> str: ...
    @property
    def body_sha256(self) -> str:
        """Of everything from byte HEAD_BYTES on."""
    @property
    def body_block_sums(self) -> str:
        """CRC-32 of each MiB of the same, eight hexadecimal digits each; the last one may be of less."""
    @property
    def bytes(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def seek(self) -> builtins.bytes:
        """The last entries of the seek index."""

@final
class Rendition:
    """One file that only grows, but for its first HEAD_BYTES; the same frames give the same bytes, however cut.

    `format` is that of the frames that are encoded. A head with which the growing file plays is written at the start,
    the final one by `finish`. After an OSError the rendition is to be made again.
    """

    @staticmethod
    def wav(path: StrPath, format: PcmFormat) -> Rendition:
        """Creates or empties the file, as the others do. RF64 when it is long; samples begin at byte HEAD_BYTES."""
    @staticmethod
    def flac(path: StrPath, format: PcmFormat) -> Rendition:
        """Raises UnsupportedFormatError for more than 8 channels and for samples that are not s16 or s24."""
    @staticmethod
    def mp3(
        path: StrPath, format: PcmFormat, *, vbr_quality: int | None = None, bitrate_kbps: int | None = None
    ) -> Rendition:
        """Either a quality (0 best, 9 smallest) that the bitrate follows, or a bitrate.

        Raises UnsupportedFormatError for more than 2 channels, and for sample rates and bitrates that MP3 does not
        have.
        """
    def append(
        self, take: Take, start_frame: int, end_frame: int, channel_map: ChannelMap, waveform: Waveform | None = None
    ) -> tuple[bytes, bytes]:
        """Reads, maps, encodes, writes, hashes and draws in one go.

        Returns the waveform bytes that became complete, and the new entries of the seek index
        (`protocol.messages.SEEK_ENTRY`); the bytes that these speak of are in the file.
        """
    @property
    def frames(self) -> int:
        """Encoded so far; some of them may still be held back."""
    def levels(self) -> list[ChannelLevels]:
        """Of the mapped frames since the last asking."""
    def integrated_lufs(self) -> float:
        """R 128 loudness of the mapped frames so far; -inf when nothing is above the gate."""
    def finish(self) -> RenditionSeal:
        """Writes what was held back and the final head, and syncs the file."""

# ---- known signals, made fast enough for many channels ----

@final
class DiskRoom:
    """How a disk stands."""

    @property
    def free_bytes(self) -> int:
        """What this user can write now."""
    @property
    def total_bytes(self) -> int: ...
    @property
    def reserve_bytes(self) -> int:
        """What the reserve is wanted to hold on this disk."""
    @property
    def reserved_bytes(self) -> int:
        """What it holds now."""
    @property
    def usable_bytes(self) -> int:
        """What audio may still fill."""

def disk_room(folder: StrPath, reserve_bytes: int) -> DiskRoom:
    """Room on the disk of a folder that holds takes, when so much is to be reserved, but at most 1 % of the disk."""

def keep_reserve(folder: StrPath, reserve_bytes: int) -> bool:
    """Makes the reserve (`.reserve`) if there is room for it; whether it is whole now. A writer gives it back."""

def give_back_reserve(folder: StrPath) -> bool:
    """Gives the reserve to whoever writes next; whether there was one."""

# ---- stopping ----

def end_after_signal(told: int, signals: Sequence[int], seconds: float) -> bool:
    """Waits for one of these signals; the process ends with 0 so many seconds after it, whoever holds the interpreter.

    `told` is the reading end of the socket pair of `signal.set_wakeup_fd`, and is handed over. Returns as soon as the
    signal is heard, or False when the other end was closed.
    """

def counter_pcm(start_frame: int, frames: int) -> bytes:
    """Stereo s16: frame n as left = low 16 bits, right = high 16 bits. Frame 0 is silence, so a source begins at 1."""

def keyed_pcm(start_frame: int, frames: int, channels: int, key: int) -> bytes:
    """s32: every sample is the upper half of SplitMix64 of (64 × frame + channel) xor key."""

def tone_pcm(start_frame: int, frames: int, format: PcmFormat, hz: float, dbfs_peak: float) -> bytes:
    """A sine on all channels, continuous over calls, `dbfs_peak` its peak."""
