"""MP3 as far as a controller reads it: frame headers, and the tag that the first frame carries."""

from collections.abc import Iterator
from dataclasses import dataclass

from web.cache.encoded import EncodedFrame
from web.cache.errors import ContentError

ENCODER_DELAY_FRAMES = 576
"""What LAME puts before the sound, where no tag says otherwise."""
DECODER_DELAY_FRAMES = 529
"""What a decoder gives before the first frame that was encoded."""
HEADER_BYTES = 4
_KBPS = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By the version of MPEG; 2.5 has those of 2."""
_RATES_HZ = {0b11: (44_100, 48_000, 32_000), 0b10: (22_050, 24_000, 16_000), 0b00: (11_025, 12_000, 8_000)}
_LAYER_3 = 0b01
_TAG_FIELDS = ((1, 4), (2, 4), (4, 100), (8, 4))
"""Flag and size of: frames, bytes, table of contents, quality."""
_GAP_AT = 21
"""Where LAME's extension has delay and padding, 12 bits each."""
_MONO = 0b11


@dataclass(frozen=True)
class Mp3Header:
    """One frame as its header describes it."""

    channels: int
    sample_rate_hz: int
    frames: int
    """Frames of sound in it."""
    bytes: int
    """Its length, header included."""
    side_info_bytes: int


@dataclass(frozen=True)
class Mp3Tag:
    """What the first frame, which is no sound, says of all others (Xing's tag with LAME's extension)."""

    mp3_frames: int
    file_bytes: int
    delay_frames: int
    """That the encoder put before the sound."""
    padding_frames: int


@dataclass(frozen=True)
class Mp3Head:
    """What the head of an MP3 file claims."""

    channels: int
    sample_rate_hz: int
    frames: int
    file_bytes: int


def parse_mp3_header(data: bytes, at: int = 0) -> Mp3Header | None:
    """The header at this byte; None when there is none of MPEG 1, 2 or 2.5, layer 3."""
    if len(data) < at + HEADER_BYTES:
        return None
    sync, second, third, fourth = data[at : at + HEADER_BYTES]
    version, layer = second >> 3 & 3, second >> 1 & 3
    bitrate, rate, padding = third >> 4, third >> 2 & 3, third >> 1 & 1
    if sync != 0xFF or second >> 5 != 0b111 or version not in _RATES_HZ or layer != _LAYER_3:
        return None
    if bitrate in (0, 15) or rate == 3:
        return None
    is_first, is_mono = version == 0b11, fourth >> 6 == _MONO
    sample_rate_hz = _RATES_HZ[version][rate]
    kbps = _KBPS[1 if is_first else 2][bitrate - 1]
    return Mp3Header(
        channels=1 if is_mono else 2,
        sample_rate_hz=sample_rate_hz,
        frames=1152 if is_first else 576,
        bytes=(144 if is_first else 72) * kbps * 1000 // sample_rate_hz + padding,
        side_info_bytes=(17 if is_mono else 32) if is_first else (9 if is_mono else 17),
    )


def parse_mp3_tag(data: bytes, header: Mp3Header) -> Mp3Tag | None:
    """The tag in the frame at the start of `data`; None for a frame of sound."""
    at = HEADER_BYTES + header.side_info_bytes
    if data[at : at + 4] not in (b"Xing", b"Info"):
        return None
    flags = _number(data, at + 4, 4)
    at += 8
    fields = []
    for bit, size in _TAG_FIELDS:
        fields.append(_number(data, at, size) if flags & bit else 0)
        at += size if flags & bit else 0
    gap = _number(data, at + _GAP_AT, 3)
    return Mp3Tag(fields[0], fields[1], gap >> 12, gap & 0xFFF)


def parse_mp3_head(head: bytes) -> Mp3Head:
    """Reads the first frame. Raises ContentError when it is none with a tag."""
    header = parse_mp3_header(head)
    tag = None if header is None else parse_mp3_tag(head, header)
    if header is None or tag is None:
        raise ContentError("It does not begin with an MP3 frame that has a tag.")
    frames = tag.mp3_frames * header.frames - tag.delay_frames - tag.padding_frames
    return Mp3Head(header.channels, header.sample_rate_hz, frames, tag.file_bytes)


def mp3_frames_in(data: bytes) -> Iterator[EncodedFrame]:
    """Every frame that lies whole in `data`, which begins at one."""
    at = 0
    while (header := parse_mp3_header(data, at)) is not None and at + header.bytes <= len(data):
        yield EncodedFrame(at, at + header.bytes, header.frames)
        at += header.bytes


def _number(data: bytes, at: int, size: int) -> int:
    found = data[at : at + size]
    if len(found) < size:
        raise ContentError("Its tag is cut short.")
    return int.from_bytes(found, "big")
