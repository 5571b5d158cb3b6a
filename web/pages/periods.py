"""Which time a list is about: `?from=2026-11-01&to=2026-11-20T18:00&tz=Europe/Berlin`, or `?from=-7d`."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

_AGO = re.compile(r"-(\d{1,5})(min|h|d)")
_UNITS = {"min": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_DAY_LETTERS = len("2026-11-01")


@dataclass(frozen=True)
class Period:
    """From `since` up to `until`, which is outside."""

    since: datetime | None
    until: datetime | None
    ignored: list[str]
    """The keys whose values are no instants."""


def read_period(since: str, until: str, zone_name: str, zone: tzinfo) -> Period:
    """Instants without a zone are of `zone_name`, or of `zone` when that is none. A day as the end is within."""
    ignored = []
    try:
        zone = ZoneInfo(zone_name) if zone_name else zone
    except (LookupError, ValueError, OSError):
        ignored.append("tz")
    found: list[datetime | None] = []
    for key, text in (("from", since), ("to", until)):
        try:
            found.append(_instant(text, zone, is_end=key == "to") if text else None)
        except (ValueError, OverflowError):
            ignored.append(key)
            found.append(None)
    return Period(found[0], found[1], ignored)


def for_input(instant: datetime | None, zone: tzinfo) -> str:
    """As a field for date and time wants it."""
    return "" if instant is None else instant.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


def _instant(text: str, zone: tzinfo, *, is_end: bool) -> datetime:
    """Raises ValueError, OverflowError."""
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - int(ago[1]) * _UNITS[ago[2]]
    found = datetime.fromisoformat(text)
    if is_end and len(text) == _DAY_LETTERS:
        found += timedelta(days=1)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
