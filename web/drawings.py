"""Sound as paths of SVG, short enough to stand in the page itself."""

from collections.abc import Iterable, Sequence
from itertools import groupby

PREVIEW_HEIGHT = 16
OVERVIEW_HALF = 100
"""Height of an overview above its middle line, and below it."""


def preview_path(levels: Sequence[int]) -> str:
    """An area over levels from 0 to 15, one unit a column; silence is a line."""
    steps = (f"V{PREVIEW_HEIGHT - 1 - level}h{len(list(run))}" for level, run in groupby(levels))
    return f"M0 {PREVIEW_HEIGHT}{''.join(steps)}V{PREVIEW_HEIGHT}z"


def overview_path(lows: Sequence[int], highs: Sequence[int]) -> str:
    """An area between lows and highs of -128 to 127, one unit a column, round the middle line `OVERVIEW_HALF`."""
    above = _line((OVERVIEW_HALF - _height(high) for high in highs), "h1")
    below = _line((OVERVIEW_HALF + _height(-low) for low in reversed(lows)), "h-1")
    return f"M0 {OVERVIEW_HALF}{above}{below}z"


def _line(ys: Iterable[int], step: str) -> str:
    sign = step[1:-1]
    return "".join(f"V{y}h{sign}{len(list(run))}" for y, run in groupby(ys))


def _height(sample: int) -> int:
    """At least a hair, so that silence is seen."""
    return max(1, round(sample * OVERVIEW_HALF / 128))
