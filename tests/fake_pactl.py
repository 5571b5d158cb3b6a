"""A `pactl` whose server says what a test wants."""

import json
import os
from pathlib import Path

_SCRIPT = """#!/bin/sh
here=$(dirname "$0")
case "$*" in
subscribe) exec tail -n 0 -s 0.01 -f "$here/events" ;;
*) cat "$here/$3"; echo "Event 'new' on client #7" >> "$here/events" ;;
esac
"""


class FakePactl:
    """Lies in a folder that a process has to find before the real one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / "events").touch()
        (folder / "pactl").write_text(_SCRIPT)
        (folder / "pactl").chmod(0o755)
        self.has_sources()
        self.has_streams()

    @property
    def path(self) -> str:
        """As the variable PATH."""
        return f"{self._folder}:/usr/bin:/bin"

    def has_sources(self, *names: str) -> None:
        """Their indexes are their places, from 1."""
        sources = [
            {"index": index, "name": name, "description": name, "sample_specification": "s16le 2ch 48000Hz"}
            for index, name in enumerate(names, 1)
        ]
        self.says("sources", json.dumps(sources))

    def has_streams(self, *sources: int) -> None:
        """Streams of this process, one on each of these sources, from index 5."""
        properties = {"application.process.id": str(os.getpid())}
        streams = [
            {"index": index, "source": source, "properties": properties} for index, source in enumerate(sources, 5)
        ]
        self.says("source-outputs", json.dumps(streams))

    def says(self, what: str, words: str) -> None:
        (self._folder / what).write_text(words)

    def tells(self, event: str) -> None:
        """To whoever has subscribed."""
        with (self._folder / "events").open("a") as events:
            events.write(event + "\n")
