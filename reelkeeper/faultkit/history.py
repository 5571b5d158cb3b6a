"""What was asked, answered and broken, one line each as it happened, by a clock of its own. Only ever appended to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
"""`at_ns` (CLOCK_BOOTTIME), `utc`, `what`, and what belongs to it."""


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def instant(text: str) -> datetime:
    """A `utc` of the history, or an instant of the database."""
    return datetime.fromisoformat(text)


class History:
    """One file. May be written from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.touch()

    def note(self, what: str, **facts: Any) -> Entry:
        with self._lock:
            entry = {"at_ns": now_ns(), "utc": datetime.now(UTC).isoformat(), "what": what, **facts}
            with self._path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        return entry


def read_history(path: Path) -> list[Entry]:
    """All entries, oldest first; a last line that was not finished does not count."""
    return list(_entries(path))


def _entries(path: Path) -> Iterator[Entry]:
    for line in path.read_text().splitlines():
        with suppress(ValueError):
            yield json.loads(line)
