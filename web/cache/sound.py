"""The sound of a file that may still grow: where decoding can begin, what goes first, where an encoded frame ends."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol

from protocol.messages import HEAD_BYTES, Codec
from web.cache.encoded import EncodedFrame
from web.cache.errors import ContentError
from web.cache.flac import flac_frames_in, growing_flac_head, parse_flac_head
from web.cache.mp3 import (
    DECODER_DELAY_FRAMES,
    ENCODER_DELAY_FRAMES,
    mp3_frames_in,
    parse_mp3_header,
    parse_mp3_tag,
)
from web.cache.wav import endless_wav_head, parse_wav_head

WALK_BYTES = 8 * 1024 * 1024
"""So far behind an entry of the seek index a place is looked for."""


@dataclass(frozen=True)
class Place:
    """Where decoding can begin."""

    byte: int
    frame: int
    """Of the recording, that is heard first; below 0 for what a decoder gives before the recording begins."""


class Source(Protocol):
    """The file, as far as it is there."""

    def length(self) -> int: ...

    def read(self, byte: int, most: int) -> bytes: ...


@dataclass(frozen=True)
class EncodedSound:
    """How MP3 or FLAC is heard from any place on."""

    head: bytes
    """What a decoder needs before the first encoded frame."""
    sample_rate_hz: int
    frames_in: Callable[[bytes], Iterator[EncodedFrame]]
    head_place: Place | None = None
    """What an entry of the seek index that points to the start of the file means, when nothing of the head is sent."""

    needs_index: ClassVar = True
    """Whether a place can only be found from an entry of the seek index."""
    takes_padding: ClassVar = True
    """Whether decoders pass over zeros between encoded frames."""

    def place_before(self, frame: int, entry: Place, source: Source) -> Place:
        """The last place at or before this frame that is there, and not before the entry."""
        first = self.head_place if self.head_place is not None and entry.byte == 0 else entry
        found, next_frame = first, first.frame
        for encoded in self.frames_in(source.read(first.byte, WALK_BYTES)):
            if next_frame > frame:
                break
            found = Place(first.byte + encoded.start, next_frame)
            next_frame += encoded.frames
        return found

    def whole_bytes(self, data: bytes) -> int:
        """Where the last encoded frame ends that is known to lie whole in `data`, which begins at one."""
        whole = 0
        for encoded in self.frames_in(data):
            whole = encoded.end
        return whole


@dataclass(frozen=True)
class WavSound:
    """The same of WAV, where every sample has its place."""

    head: bytes
    sample_rate_hz: int
    first_byte: int
    frame_bytes: int

    needs_index: ClassVar = False
    takes_padding: ClassVar = False

    def place_before(self, frame: int, entry: Place, source: Source) -> Place:
        there = max(source.length() - self.first_byte, 0) // self.frame_bytes
        found = min(frame, there)
        return Place(self.first_byte + found * self.frame_bytes, found)

    def whole_bytes(self, data: bytes) -> int:
        return len(data) // self.frame_bytes * self.frame_bytes


Sound = EncodedSound | WavSound


def sound_of(codec: Codec, start: bytes) -> Sound:
    """`start` is the start of the file, HEAD_BYTES of it where it has so many. Raises ContentError."""
    match codec:
        case "mp3":
            return _mp3_sound(start)
        case "flac":
            return EncodedSound(growing_flac_head(start), parse_flac_head(start).sample_rate_hz, flac_frames_in)
        case "wav":
            wav = parse_wav_head(start)
            return WavSound(endless_wav_head(wav), wav.sample_rate_hz, wav.data_offset, wav.frame_bytes)


def _mp3_sound(start: bytes) -> EncodedSound:
    header = parse_mp3_header(start)
    if header is None:
        raise ContentError("It does not begin with an MP3 frame.")
    tag = parse_mp3_tag(start[:HEAD_BYTES], header)
    delay_frames = tag.delay_frames if tag is not None and tag.delay_frames else ENCODER_DELAY_FRAMES
    first = Place(0 if tag is None else header.bytes, -delay_frames - DECODER_DELAY_FRAMES)
    return EncodedSound(b"", header.sample_rate_hz, mp3_frames_in, first)
