"""Heads of WAV and RF64 files."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from web.cache.errors import ContentError

_MOST_CHUNKS = 64
_UNKNOWN = 0xFFFF_FFFF
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLE_TYPES = {(_PCM, 16): "s16", (_PCM, 24): "s24", (_PCM, 32): "s32", (_FLOAT, 32): "f32"}


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


def endless_wav_head(wav: WavHead) -> bytes:
    """A head for samples of the same format that follow without an end in sight."""
    (tag,) = (code for (code, bits), name in _SAMPLE_TYPES.items() if name == wav.sample_type)
    bits = wav.frame_bytes * 8 // wav.channels
    bytes_per_second = wav.sample_rate_hz * wav.frame_bytes
    form = struct.pack(
        "<HHIIHH", tag, wav.channels, wav.sample_rate_hz, bytes_per_second & _UNKNOWN, wav.frame_bytes, bits
    )
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", _UNKNOWN)
    return b"RIFF" + struct.pack("<I", _UNKNOWN) + chunks


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
    sample_rate_hz = _unpack("<I", format_chunk, 4)
    if sample_rate_hz == 0:
        raise ContentError("Its head names no sample rate.")
    sample_type = _SAMPLE_TYPES.get((tag, bits))
    if sample_type is None or channels == 0 or frame_bytes != channels * bits // 8:
        raise ContentError(f"Its samples are of kind {tag} with {bits} bits in frames of {frame_bytes} bytes.")
    return WavHead(channels, sample_rate_hz, sample_type, frame_bytes, data_offset, data_bytes)


def _unpack(form: str, data: bytes, at: int) -> int:
    try:
        (value,) = struct.unpack_from(form, data, at)
    except struct.error as cut:
        raise ContentError("Its head is cut short.") from cut
    return int(value)
