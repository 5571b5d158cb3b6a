"""Numbers and instants as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def duration(milliseconds: int | None) -> str:
    """`8:09:15`, `0:42`; a dash when it is not known."""
    if milliseconds is None:
        return "–"
    seconds = milliseconds // 1000
    hours, minutes, seconds = seconds // 3600, seconds // 60 % 60, seconds % 60
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def size(count: int | None) -> str:
    """`3.4 MB`, by thousands."""
    if count is None:
        return "–"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} {_UNITS[0]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def level(dbfs: float | None) -> str:
    """`−18.2 dBFS`; digital silence is said in words."""
    return "digital silence" if dbfs is None else f"{dbfs:.1f} dBFS".replace("-", "−")


def age(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h`, `5 days`: roughly how long ago."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, round(seconds / unit))} {name}"
    return f"{round(seconds / 86_400)} days"


def ago(instant: datetime) -> str:
    return f"{age((datetime.now(UTC) - instant).total_seconds())} ago"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 recording`, `1 284 recordings`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", "\u202f")


def iso(instant: datetime) -> str:
    """For machines: UTC, to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


FILTERS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "size": size,
    "level": level,
    "ago": ago,
    "count_of": count,
    "iso": iso,
}
"""By the names that templates use."""
