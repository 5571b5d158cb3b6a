"""What one fault left behind, in a folder: the history, the rows of the database, the downloads, the node's files."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from protocol.timeouts import Timeouts
from reelkeeper.faultkit.database import Rows
from reelkeeper.faultkit.history import Entry, read_history
from reelkeeper.faultkit.sound import Numbers, counter_of, frames_of, keyed_of

Row = dict[str, Any]

RATE_HZ = 48_000
_SEARCH_SECONDS = 300


@dataclass(frozen=True)
class NodeFacts:
    """What was found on the node when all was delivered."""

    broken_files: list[str] = field(default_factory=list)
    """Files of the spool that do not parse."""
    leftovers: list[str] = field(default_factory=list)
    """Processes and files that nobody needs any more."""
    secrets: list[str] = field(default_factory=list)
    """Secrets that a helper process could read."""
    clocks: dict[str, int] = field(default_factory=dict)
    """When frame 1 of each synthetic input was captured: CLOCK_BOOTTIME nanoseconds."""


@dataclass(frozen=True)
class Content:
    """A download, decoded."""

    path: Path
    frames: int
    numbers: Numbers | None
    """None for MP3, which does not keep them."""


FLUSH_ALLOWANCE_SECONDS = 0.5
"""For the flush that runs at the moment of death."""


class Evidence:
    """The folder of one fault, read as it is needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history: list[Entry] = read_history(folder / "history.jsonl")
        self.rows: Rows = json.loads((folder / "rows.json").read_text())
        self.node = NodeFacts(**json.loads((folder / "node.json").read_text()))

    @cached_property
    def plan(self) -> Entry:
        """What was to happen, and what it excuses."""
        return self.entries("plan")[0]

    @cached_property
    def timeouts(self) -> Timeouts:
        return Timeouts().scaled(self.plan["scale"])

    def entries(self, what: str, **facts: Any) -> list[Entry]:
        """Entries of one kind of which these facts hold, oldest first."""
        return [
            entry
            for entry in self.history
            if entry["what"] == what and all(entry.get(name) == value for name, value in facts.items())
        ]

    def of(self, table: str, **facts: Any) -> list[Row]:
        """Rows of which these facts hold."""
        return [row for row in self.rows[table] if all(row[name] == value for name, value in facts.items())]

    @cached_property
    def recordings(self) -> list[str]:
        """Those that were asked for by somebody who may."""
        return sorted({entry["recording"] for entry in self.entries("start asked")})

    def body(self, recording: str) -> Row:
        """What the start asked for."""
        body: Row = self.entries("start asked", recording=recording)[0]["body"]
        return body

    def last_attempt(self, recording: str) -> Row | None:
        return max(self.of("job", recording_id=recording), key=lambda job: int(job["attempt"]), default=None)

    def current_file(self, recording: str) -> Row | None:
        """The cache file that stands for a recording, once it is whole."""
        return next(iter(self.of("cache_file", recording_id=recording, state="cached", is_current=True)), None)

    def content(self, recording: str) -> Content | None:
        """The last download of a recording."""
        return self._contents.get(recording)

    def frame_at(self, interface: str, at_ns: int) -> int:
        """The number of the frame that a synthetic input had at that instant, which is none of the node's clock."""
        ahead_ns = [entry["ahead_ns"] for entry in self.entries("node clock") if entry["at_ns"] <= at_ns]
        node_ns = at_ns + (ahead_ns[-1] if ahead_ns else 0)
        return 1 + (node_ns - self.node.clocks[interface]) * RATE_HZ // 1_000_000_000

    def is_past_when_mended(self, recording: str) -> bool:
        """Whether all of a planned recording passed while nothing captured, but what a flush may cost at its start."""
        planned_ms = self.body(recording).get("duration_ms")
        if planned_ms is None:
            return False
        began_ns = self.entries("start asked", recording=recording)[0]["at_ns"]
        kept_ns = began_ns + round((self.timeouts.flush + FLUSH_ALLOWANCE_SECONDS) * 1_000_000_000)
        died = any(entry["at_ns"] <= kept_ns for entry in self.entries("capture ended"))
        back = [entry["at_ns"] for entry in self.entries("mended")]
        return died and bool(back) and min(back) > began_ns + planned_ms * 1_000_000

    @cached_property
    def _contents(self) -> dict[str, Content]:
        found = {}
        for entry in self.entries("download", status=200):
            path = self.folder / str(entry["file"])
            found[entry["recording"]] = Content(path, frames_of(path), self._numbers(entry["recording"], path))
        return found

    def _numbers(self, recording: str, path: Path) -> Numbers | None:
        interface = self.body(recording)["interface"]["name"]
        if path.suffix == ".mp3":
            return None
        if interface == "counter":
            return counter_of(path)
        asked = self.frame_at(interface, self.entries("start asked", recording=recording)[0]["at_ns"])
        return keyed_of(path, max(asked - RATE_HZ, 1), asked + _SEARCH_SECONDS * RATE_HZ)
