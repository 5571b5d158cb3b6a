"""What a sealed rendition must look like: its heads against its facts."""

import json
import struct
from pathlib import Path

from protocol.messages import SEEK_ENTRY, FlacEncoding, Mp3Encoding, RecordingFacts, WavEncoding
from web.cache.errors import ContentError
from web.cache.flac import parse_flac_head
from web.cache.mp3 import parse_mp3_head
from web.cache.wav import parse_wav_head

FRAMES_PER_BIN = 512
WAVEFORM_HEAD_BYTES = 24
SEEK_ENTRY_BYTES = struct.calcsize(SEEK_ENTRY)
_READ_BYTES = 4096 * SEEK_ENTRY_BYTES
_MP3_COUNTED_BYTES = 2**32
_FLAC_COUNTED_FRAMES = 2**36


def check_audio(head: bytes, file_bytes: int, facts: RecordingFacts) -> None:
    """The head describes exactly the frames and the format that the facts name. Raises ContentError."""
    match facts.encoding:
        case WavEncoding():
            _check_wav(head, file_bytes, facts, facts.encoding)
        case FlacEncoding():
            _check_flac(head, facts, facts.encoding)
        case Mp3Encoding():
            _check_mp3(head, file_bytes, facts)


def check_waveform(head: bytes, file_bytes: int, facts: RecordingFacts) -> None:
    """The audiowaveform head (version 2) fits the frames and channels of the facts. Raises ContentError."""
    if len(head) != WAVEFORM_HEAD_BYTES:
        raise ContentError("Its head is not whole.")
    version, flags, sample_rate_hz, frames_per_bin, bins, channels = struct.unpack("<iIiiIi", head)
    wanted_bins = -(-facts.frames // FRAMES_PER_BIN)
    found = (version, flags, sample_rate_hz, frames_per_bin, bins, channels)
    wanted = (2, 1, facts.sample_rate_hz, FRAMES_PER_BIN, wanted_bins, facts.channels)
    if found != wanted:
        raise ContentError(
            f"Its head says {found}, its facts {wanted} (version, 8 bits, rate, frames a bin, bins, channels)."
        )
    if file_bytes != WAVEFORM_HEAD_BYTES + bins * channels * 2:
        raise ContentError(f"It has {file_bytes} bytes for {bins} bins of {channels} channels.")


def check_seek(path: Path, audio_bytes: int, facts: RecordingFacts) -> None:
    """The seek index points into the audio, a place for each second that begins in it, in order. Raises ContentError.

    Reads the file in blocks. Raises OSError.
    """
    most = max(1, -(-facts.frames // facts.sample_rate_hz))
    index_bytes = path.stat().st_size
    if index_bytes % SEEK_ENTRY_BYTES or index_bytes > most * SEEK_ENTRY_BYTES:
        raise ContentError(f"A seek index of {index_bytes} bytes does not fit {most} begun seconds.")
    before, second = (-1, -1), 0
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            for byte, frame in struct.iter_unpack(SEEK_ENTRY, block):
                if byte <= before[0] or frame <= before[1] or frame > second * facts.sample_rate_hz:
                    raise ContentError(f"Entry {second} of its seek index ({byte}, {frame}) is out of order.")
                before, second = (byte, frame), second + 1
    if before[0] >= audio_bytes:
        raise ContentError(f"Its seek index points to byte {before[0]} of {audio_bytes}.")


def check_ledger(text: bytes) -> None:
    """The ledger is one JSON object. Raises ContentError."""
    try:
        ledger = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise ContentError("It is no JSON.") from fault
    if not isinstance(ledger, dict):
        raise ContentError("It is no JSON object.")


def check_facts(facts: RecordingFacts) -> None:
    """The facts agree with themselves. Raises ContentError."""
    if facts.end_frame - facts.start_frame != facts.frames:
        raise ContentError(f"{facts.frames} frames do not fit between {facts.start_frame} and {facts.end_frame}.")
    if len(facts.channel_map) != facts.channels:
        raise ContentError(f"A channel map of {len(facts.channel_map)} rows does not make {facts.channels} channels.")
    if facts.sample_rate_hz != facts.capture.sample_rate_hz:
        raise ContentError("The sample rate is not the one of the capture.")


def _check_wav(head: bytes, file_bytes: int, facts: RecordingFacts, encoding: WavEncoding) -> None:
    wav = parse_wav_head(head)
    _require_same(
        (wav.channels, wav.sample_rate_hz, wav.sample_type),
        (facts.channels, facts.sample_rate_hz, encoding.sample_type or facts.capture.sample_type),
    )
    _require_frames(wav.data_bytes / wav.frame_bytes, facts.frames)
    if file_bytes - wav.data_offset - wav.data_bytes not in (0, wav.data_bytes % 2):
        raise ContentError(f"It has {file_bytes} bytes where its head needs {wav.data_offset + wav.data_bytes}.")


def _check_flac(head: bytes, facts: RecordingFacts, encoding: FlacEncoding) -> None:
    flac = parse_flac_head(head)
    _require_same(
        (flac.channels, flac.sample_rate_hz, flac.bits), (facts.channels, facts.sample_rate_hz, encoding.bits)
    )
    _require_frames(flac.frames, facts.frames if facts.frames < _FLAC_COUNTED_FRAMES else 0)


def _check_mp3(head: bytes, file_bytes: int, facts: RecordingFacts) -> None:
    mp3 = parse_mp3_head(head)
    _require_same((mp3.channels, mp3.sample_rate_hz), (facts.channels, facts.sample_rate_hz))
    _require_frames(mp3.frames, facts.frames)
    if file_bytes < _MP3_COUNTED_BYTES and mp3.file_bytes != file_bytes:
        raise ContentError(f"It has {file_bytes} bytes where its head says {mp3.file_bytes}.")


def _require_same(found: tuple[object, ...], wanted: tuple[object, ...]) -> None:
    if found != wanted:
        raise ContentError(f"Its head says {found}, its facts {wanted} (channels, rate, samples).")


def _require_frames(found: float, wanted: int) -> None:
    if found != wanted:
        raise ContentError(f"Its head claims {found:g} frames, its facts {wanted}.")
