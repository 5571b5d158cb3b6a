"""What the parsers of encoded sound find."""

from typing import NamedTuple


class EncodedFrame(NamedTuple):
    """A run of bytes that a decoder turns into some frames of sound."""

    start: int
    end: int
    frames: int
