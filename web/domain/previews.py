"""The sound of a recording at a glance: how loud it is, column by column, small enough for a list."""

import math
from collections.abc import Sequence

COLUMNS = 160
LEVELS = 16
_LOUDEST = 128


def preview_level(low: int, high: int) -> int:
    """How high a column is, below LEVELS, for the least and the greatest 8-bit sample in it.

    By the root of the peak, so that speech is seen as well as a loud hall.
    """
    return round(math.sqrt(max(-low, high, 0) / _LOUDEST) * (LEVELS - 1))


def packed(levels: Sequence[int]) -> bytes:
    """Two columns a byte, the first in the upper half. An odd number of columns gets a silent one."""
    pairs = zip(levels[::2], [*levels[1::2], 0], strict=False)
    return bytes(first << 4 | second for first, second in pairs)


def unpacked(preview: bytes) -> list[int]:
    """The levels again."""
    return [level for byte in preview for level in (byte >> 4, byte & 0xF)]
