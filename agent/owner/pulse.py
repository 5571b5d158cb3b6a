"""What a PulseAudio server (or PipeWire in its place) says of its sources, asked by its own command `pactl`.

PortAudio reaches such a server through one ALSA device, and the server moves a stream to another source when its own
disappears. Neither will do: every source is an input of its own, and a stream that was moved must end at once.
"""

import json
import logging
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass
from typing import Any

from agent.owner.config import Capture, SampleType
from agent.owner.holding import Holding

log = logging.getLogger(__name__)

HELD_SECONDS = 0.25
"""What a server delivered is held back so long: it may move us to another microphone before it says so."""
_SECONDS = 2.0
_SAMPLE_TYPES: dict[str, SampleType] = {"s24le": "s24", "s24-32le": "s24", "s32le": "s32", "float32le": "f32"}
_MOST_CHANNELS = 64


@dataclass(frozen=True)
class PulseSource:
    """One input of the server; its name is stable, its index is not."""

    index: int
    name: str
    label: str
    capture: Capture


def pulse_sources() -> list[PulseSource]:
    """Empty without a server, and without `pactl`."""
    return [_source(fields) for fields in _listed("sources")]


@dataclass(frozen=True)
class Place:
    """Where a stream of this process is connected to."""

    stream_index: int
    source: PulseSource


def own_place() -> Place | None:
    """Of the only stream of this process; None when it does not capture from such a server."""
    pid = str(os.getpid())
    for stream in _listed("source-outputs"):
        if stream.get("properties", {}).get("application.process.id") == pid:
            for source in pulse_sources():
                if source.index == stream["source"]:
                    return Place(int(stream["index"]), source)
    return None


class PlaceWatch:
    """Trusts a stream as long as it is where it was, and distrusts it once it was moved or its server is gone."""

    def __init__(self, place: Place, holding: Holding) -> None:
        self._place = place
        self._holding = holding
        self._closing = threading.Event()
        command = ["setpriv", "--pdeathsig", "KILL", "pactl", "subscribe"]  # also ends when this process is killed
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()
        holding.trust(HELD_SECONDS)

    def close(self) -> None:
        self._closing.set()
        self._process.kill()
        self._thread.join()

    def _run(self) -> None:
        assert self._process.stdout
        gone = f"'remove' on source #{self._place.source.index}"
        changed = f"on source-output #{self._place.stream_index}"
        with self._process.stdout as events:
            for event in events:
                words = event.strip()
                if words.endswith(gone) or (words.endswith(changed) and self._has_moved()):
                    break
        self._process.kill()
        self._process.wait()
        if not self._closing.is_set():
            self._holding.distrust()

    def _has_moved(self) -> bool:
        """Nothing is handed on while the server is asked, which may take a while on a busy machine."""
        self._holding.doubt()
        if own_place() != self._place:
            return True
        self._holding.trust(HELD_SECONDS)
        return False


def _source(fields: dict[str, Any]) -> PulseSource:
    sample_type, channels, rate = fields["sample_specification"].split()
    capture = Capture(
        channels=min(int(channels.removesuffix("ch")), _MOST_CHANNELS),
        sample_rate_hz=int(rate.removesuffix("Hz")),
        sample_type=_SAMPLE_TYPES.get(sample_type, "s16"),
    )
    return PulseSource(int(fields["index"]), fields["name"], fields["description"] or fields["name"], capture)


def _listed(what: str) -> list[dict[str, Any]]:
    if shutil.which("pactl") is None:
        return []
    try:
        answer = subprocess.run(
            ["pactl", "--format=json", "list", what],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        found: list[dict[str, Any]] = json.loads(answer.stdout) if answer.returncode == 0 else []
    except (subprocess.TimeoutExpired, ValueError) as fault:
        log.warning("the sound server does not answer: %s", fault)
        return []
    return found
