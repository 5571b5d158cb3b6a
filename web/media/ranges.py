"""Single byte ranges of a file (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

from web.domain.errors import RangeNotSatisfiableError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.IGNORECASE)


@dataclass(frozen=True)
class ByteRange:
    """Half open, and never empty but for an empty file."""

    start: int
    stop: int


def requested_range(header: str | None, file_bytes: int) -> ByteRange | None:
    """The one range that was asked for; None for the whole file, also where several or none that we know are asked for.

    Raises RangeNotSatisfiableError when it begins behind the end of the file.
    """
    found = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if found is None or found.group(0).endswith("=-"):
        return None
    first, last = found[1], found[2]
    if not first:
        start, stop = max(file_bytes - int(last), 0), file_bytes
    else:
        start, stop = int(first), min(int(last) + 1, file_bytes) if last else file_bytes
        if last and int(last) < start:
            return None
    if start >= stop:
        raise RangeNotSatisfiableError(file_bytes)
    return ByteRange(start, stop)


def range_holds(if_range: str | None, etag: str) -> bool:
    """Whether a range may be given: the condition is absent, or names exactly this strong tag."""
    return if_range is None or if_range.strip() == etag


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client says that it has this very content."""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag in tags
