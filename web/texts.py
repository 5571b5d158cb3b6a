"""Numbers and instants as people read them."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from protocol.messages import Limits

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
"""In this order, since most claim to be others as well."""
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)
_PROGRAM_LONGEST = 60
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


def limits(what: Limits) -> str:
    """`2:00:00 of length, 2.0 GB, 10 min of silence`; empty when nothing ends it by itself."""
    parts = [
        what.length_ms and f"{duration(what.length_ms)} of length",
        what.size_bytes and size(what.size_bytes),
        what.idle_ms and f"{age(what.idle_ms / 1000)} of silence",
    ]
    return ", ".join(part for part in parts if part)


def loudness(lufs: float) -> str:
    """`−23.1 LUFS`."""
    return f"{lufs:.1f} LUFS".replace("-", "−")


def level(dbfs: float | None) -> str:
    """`−18.2 dBFS`; digital silence is said in words."""
    return "digital silence" if dbfs is None else f"{dbfs:.1f} dBFS".replace("-", "−")


def age(seconds: float) -> str:
    """`4 s`, `12 min`, `3 h`, `5 days`: roughly how long ago."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{max(0, round(seconds / unit))} {name}"
    return f"{round(seconds / 86_400)} days"


def elapsed_ms(instant: datetime) -> int:
    """Since then until now; 0 for what is still to come."""
    return max(0, round((datetime.now(UTC) - instant).total_seconds() * 1000))


def since(instant: datetime) -> str:
    """`12 min`: how long it is past."""
    return age((datetime.now(UTC) - instant).total_seconds())


def ago(instant: datetime) -> str:
    return f"{since(instant)} ago"


def khz(rate_hz: int) -> str:
    """`48 kHz`, `44.1 kHz`."""
    return f"{rate_hz / 1000:g} kHz"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 recording`, `1 284 recordings`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}".replace(",", "\u202f")


def sample_in_words(sample_type: str) -> str:
    """Of a sample type as the protocol names it: `16 bit`, `32 bit float`."""
    return f"{sample_type[1:]} bit{' float' if sample_type.startswith('f') else ''}"


def offset(milliseconds: int) -> str:
    """`+1.25 s`, `−12 ms`: how far one clock is before another."""
    sign = "+" if milliseconds > 0 else "−" if milliseconds < 0 else ""
    far = abs(milliseconds)
    return f"{sign}{far / 1000:.2f} s" if far >= 1000 else f"{sign}{far} ms"


def browser(user_agent: str) -> str:
    """`Firefox on Linux`, as far as browsers tell the truth."""
    program = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if not program:
        return user_agent[:_PROGRAM_LONGEST] or "Unknown browser"
    return f"{program} on {system}" if system else program


def iso(instant: datetime) -> str:
    """For machines: UTC, to the second."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


FILTERS: dict[str, Callable[..., Any]] = {
    "duration": duration,
    "size": size,
    "level": level,
    "limits": limits,
    "loudness": loudness,
    "elapsed_ms": elapsed_ms,
    "roughly": age,
    "since": since,
    "ago": ago,
    "khz": khz,
    "sample_in_words": sample_in_words,
    "offset": offset,
    "count_of": count,
    "iso": iso,
    "browser": browser,
}
"""By the names that templates use."""
