"""FLAC as far as a controller reads it: STREAMINFO, and the headers of frames."""

from collections.abc import Iterator
from dataclasses import dataclass

from web.cache.encoded import EncodedFrame
from web.cache.errors import ContentError

HEAD_BYTES = 42
"""The marker and STREAMINFO: all that a decoder needs before the first frame."""
_MOST_HEADER_BYTES = 16
_MOST_FALSE_MARKS = 4096
"""Sound has one in 64 KiB that looks like the start of a frame and is none; bytes made to look so only cost time."""
_BLOCK_FRAMES = {1: 192, **{2 + n: 576 << n for n in range(4)}, **{8 + n: 256 << n for n in range(8)}}
_BLOCK_IN_8_BITS, _BLOCK_IN_16_BITS = 6, 7


@dataclass(frozen=True)
class FlacHead:
    """What STREAMINFO claims."""

    channels: int
    sample_rate_hz: int
    bits: int
    frames: int
    """0 where it is not known, or more than it can say."""


@dataclass(frozen=True)
class FlacHeader:
    """One encoded frame as its header describes it."""

    number: int
    """Of this encoded frame, or of its first frame of sound where their lengths vary."""
    frames: int


def parse_flac_head(head: bytes) -> FlacHead:
    """Reads the start of a FLAC file. Raises ContentError."""
    if len(head) < HEAD_BYTES or head[:4] != b"fLaC" or head[4] & 0x7F != 0 or head[5:8] != b"\0\0\x22":
        raise ContentError("It does not begin as a FLAC file does.")
    packed = int.from_bytes(head[18:26], "big")
    sample_rate_hz = packed >> 44
    if sample_rate_hz == 0:
        raise ContentError("Its head names no sample rate.")
    return FlacHead(
        channels=(packed >> 41 & 0x7) + 1,
        sample_rate_hz=sample_rate_hz,
        bits=(packed >> 36 & 0x1F) + 1,
        frames=packed & 0xF_FFFF_FFFF,
    )


def growing_flac_head(head: bytes) -> bytes:
    """A head for frames that follow without an end in sight: nothing but STREAMINFO, with no length and no digest."""
    parse_flac_head(head)
    packed = int.from_bytes(head[18:26], "big") & ~0xF_FFFF_FFFF
    return head[:4] + b"\x80" + head[5:18] + packed.to_bytes(8, "big") + bytes(16)


def parse_flac_header(data: bytes, at: int = 0) -> FlacHeader | None:
    """The header of an encoded frame at this byte; None when there is none, or it is not whole."""
    header = data[at : at + _MOST_HEADER_BYTES]
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    number_bytes = max(1, 8 - (~header[4] & 0xFF).bit_length())
    block, rate = header[2] >> 4, header[2] & 0xF
    end = 4 + number_bytes
    sizes = header[end : end + 2]
    end += {_BLOCK_IN_8_BITS: 1, _BLOCK_IN_16_BITS: 2}.get(block, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if number_bytes > 7 or 0x80 <= header[4] < 0xC0 or len(header) <= end or _crc8(header[:end]) != header[end]:
        return None
    match block:
        case 6:
            frames = sizes[0] + 1
        case 7:
            frames = int.from_bytes(sizes, "big") + 1
        case _ if block in _BLOCK_FRAMES:
            frames = _BLOCK_FRAMES[block]
        case _:
            return None
    return FlacHeader(_coded_number(header[4 : 4 + number_bytes]), frames)


def flac_frames_in(data: bytes) -> Iterator[EncodedFrame]:
    """Every encoded frame in `data`, which begins at one, but for the last: only the next one tells where one ends.

    Gives up where too much looks like a frame and is none.
    """
    header, at, marks_left = parse_flac_header(data), 0, _MOST_FALSE_MARKS
    while header is not None:
        step = header.frames if data[at + 1] & 1 else 1
        following, found, marks_left = None, at, marks_left + 1
        while following is None or following.number != header.number + step:
            found, marks_left = data.find(data[at : at + 2], found + 1), marks_left - 1
            if found < 0 or marks_left < 0:
                return
            following = parse_flac_header(data, found)
        yield EncodedFrame(at, found, header.frames)
        header, at = following, found


def _coded_number(coded: bytes) -> int:
    """As UTF-8 has it, up to 36 bits."""
    if len(coded) == 1:
        return coded[0]
    number = coded[0] & 0x7F >> len(coded)
    for byte in coded[1:]:
        number = number << 6 | byte & 0x3F
    return number


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ (0x07 if crc & 0x80 else 0)) & 0xFF
    return crc
