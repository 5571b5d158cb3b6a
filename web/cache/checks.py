"""What a sealed rendition must look like: its heads against its facts. Reads only what we write ourselves."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from protocol.messages import RecordingFacts

FRAMES_PER_BIN = 512
WAVEFORM_HEAD_BYTES = 24
_MOST_CHUNKS = 64
_UNKNOWN = 0xFFFF_FFFF
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLE_TYPES = {(_PCM, 16): "s16", (_PCM, 24): "s24", (_PCM, 32): "s32", (_FLOAT, 32): "f32"}


class ContentError(Exception):
    """Bytes that are not what their facts say."""


@dataclass(frozen=True)
class WavHead:
    """What the head of a WAV or RF64 file claims."""

    channels: int
    sample_rate_hz: int
    sample_type: str
    frame_bytes: int
    data_offset: int
    data_bytes: int

    @property
    def frames(self) -> int:
        return self.data_bytes // self.frame_bytes


def parse_wav_head(head: bytes) -> WavHead:
    """Reads a WAV or RF64 head up to the start of its samples. Raises ContentError."""
    long = head[:4] == b"RF64"
    if not (long or head[:4] == b"RIFF") or head[8:12] != b"WAVE":
        raise ContentError("It is no WAV or RF64 file.")
    format_chunk: bytes | None = None
    long_data_bytes: int | None = None
    for kind, claimed, position in _chunks(head):
        body = head[position : position + claimed]
        match kind:
            case b"ds64" if long:
                long_data_bytes = _unpack("<Q", body, 8)
            case b"fmt ":
                format_chunk = body
            case b"data":
                if format_chunk is None:
                    raise ContentError("Its samples come before their format.")
                data_bytes = long_data_bytes if long and claimed == _UNKNOWN else claimed
                if data_bytes is None:
                    raise ContentError("Its RF64 head has no 64-bit length.")
                return _wav_head(format_chunk, position, data_bytes)
    raise ContentError("Its head has no samples behind it.")


def check_audio(head: bytes, file_bytes: int, facts: RecordingFacts) -> None:
    """The head describes exactly the frames and the format that the facts name. Raises ContentError."""
    wav = parse_wav_head(head)
    sample_type = facts.encoding.sample_type or facts.capture.sample_type
    found = (wav.channels, wav.sample_rate_hz, wav.sample_type)
    wanted = (facts.channels, facts.sample_rate_hz, sample_type)
    if found != wanted:
        raise ContentError(f"Its head says {found}, its facts {wanted} (channels, rate, sample type).")
    if wav.data_bytes != facts.frames * wav.frame_bytes:
        raise ContentError(f"Its head claims {wav.frames} frames, its facts {facts.frames}.")
    if file_bytes - wav.data_offset - wav.data_bytes not in (0, wav.data_bytes % 2):
        raise ContentError(f"It has {file_bytes} bytes where its head needs {wav.data_offset + wav.data_bytes}.")


def check_waveform(head: bytes, file_bytes: int, facts: RecordingFacts) -> None:
    """The audiowaveform head (version 2) fits the frames and channels of the facts. Raises ContentError."""
    if len(head) != WAVEFORM_HEAD_BYTES:
        raise ContentError("Its head is not whole.")
    version, flags, sample_rate_hz, frames_per_bin, bins, channels = struct.unpack("<iIiiIi", head)
    point_bytes = 1 if flags & 1 else 2
    wanted_bins = -(-facts.frames // FRAMES_PER_BIN)
    found = (version, sample_rate_hz, frames_per_bin, bins, channels)
    wanted = (2, facts.sample_rate_hz, FRAMES_PER_BIN, wanted_bins, facts.channels)
    if found != wanted:
        raise ContentError(f"Its head says {found}, its facts {wanted} (version, rate, frames a bin, bins, channels).")
    if file_bytes != WAVEFORM_HEAD_BYTES + bins * channels * 2 * point_bytes:
        raise ContentError(f"It has {file_bytes} bytes for {bins} bins of {channels} channels.")


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


def _chunks(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    position = 12
    for _ in range(_MOST_CHUNKS):
        kind, claimed = head[position : position + 4], _unpack("<I", head, position + 4)
        position += 8
        yield kind, claimed, position
        position += claimed + claimed % 2


def _wav_head(format_chunk: bytes, data_offset: int, data_bytes: int) -> WavHead:
    tag, channels = _unpack("<H", format_chunk, 0), _unpack("<H", format_chunk, 2)
    bits, frame_bytes = _unpack("<H", format_chunk, 14), _unpack("<H", format_chunk, 12)
    if tag == _EXTENSIBLE:
        tag = _unpack("<H", format_chunk, 24)
    sample_type = _SAMPLE_TYPES.get((tag, bits))
    if sample_type is None or channels == 0 or frame_bytes != channels * bits // 8:
        raise ContentError(f"Its samples are of kind {tag} with {bits} bits in frames of {frame_bytes} bytes.")
    return WavHead(channels, _unpack("<I", format_chunk, 4), sample_type, frame_bytes, data_offset, data_bytes)


def _unpack(form: str, data: bytes, at: int) -> int:
    try:
        (value,) = struct.unpack_from(form, data, at)
    except struct.error as cut:
        raise ContentError("Its head is cut short.") from cut
    return int(value)
