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
import time
from dataclasses import dataclass
from typing import Any

from agent.owner.config import Capture, SampleType
from agent.owner.holding import Holding
from agent.owner.sources import DeviceError

log = logging.getLogger(__name__)

HELD_SECONDS = 0.25
"""What a server delivered is held back so long: it may move us to another microphone before it says so."""
_SECONDS = 2.0
_POKE_SECONDS = 0.05
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
    """Empty without a server, and without `pactl`. Raises ServerSilentError."""
    return [_source(fields) for fields in _listed("sources")]


class ServerSilentError(DeviceError):
    """There is a sound server, but it does not say what must be known of it. Restart it."""


@dataclass(frozen=True)
class Place:
    """Where a stream of this process is connected to."""

    stream_index: int
    source: PulseSource


def own_place() -> Place | None:
    """Of the only stream of this process; None when it does not capture from such a server.

    Raises ServerSilentError also when the stream is there, but on no source.
    """
    pid = str(os.getpid())
    for stream in _listed("source-outputs"):
        if stream.get("properties", {}).get("application.process.id") == pid:
            for source in pulse_sources():
                if source.index == stream["source"]:
                    return Place(int(stream["index"]), source)
            raise ServerSilentError("The sound server does not say where it captures. Plug the input in again.")
    return None


class PlaceWatch:
    """Trusts a stream as long as it is where it was, and distrusts it once it was moved or its server is gone."""

    def __init__(self, place: Place, holding: Holding) -> None:
        """Raises ServerSilentError when the server does not tell of moves, and OSError."""
        self._place = place
        self._holding = holding
        self._asking = threading.Lock()
        self._hears = threading.Event()
        self._closing = threading.Event()
        command = ["setpriv", "--pdeathsig", "KILL", "pactl", "subscribe"]  # also ends when this process is killed
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._run, name="pulse", daemon=True).start()
        try:
            self._wait_until_it_hears()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._closing.set()
        self._process.kill()

    def _wait_until_it_hears(self) -> None:
        """Who asks the server is an event of its own: with the first one that comes the subscription stands."""
        gives_up_at = time.monotonic() + _SECONDS
        while not self._hears.is_set():
            if time.monotonic() > gives_up_at:
                raise ServerSilentError("The sound server does not tell of its changes. Restart it.")
            pulse_sources()
            self._hears.wait(_POKE_SECONDS)
        if self._has_moved():
            raise ServerSilentError("The sound server moved us to another input. Plug the right one in.")

    def _run(self) -> None:
        assert self._process.stdout
        gone = f"'remove' on source #{self._place.source.index}"
        changed = f"on source-output #{self._place.stream_index}"
        with self._process.stdout as events:
            for event in events:
                self._hears.set()
                words = event.strip()
                if words.endswith(gone) or (words.endswith(changed) and self._has_moved()):
                    break
        self._process.kill()
        self._process.wait()
        if not self._closing.is_set():
            self._holding.distrust()

    def _has_moved(self) -> bool:
        """Nothing is handed on while the server is asked, which may take a while on a busy machine."""
        with self._asking:
            self._holding.doubt()
            try:
                has_moved = own_place() != self._place
            except ServerSilentError as fault:
                log.warning("the place of the stream is unknown: %s", fault)
                has_moved = True
            if not has_moved:
                self._holding.trust(HELD_SECONDS)
            return has_moved


def _source(fields: dict[str, Any]) -> PulseSource:
    try:
        sample_type, channels, rate = fields["sample_specification"].split()
        capture = Capture(
            channels=min(int(channels.removesuffix("ch")), _MOST_CHANNELS),
            sample_rate_hz=int(rate.removesuffix("Hz")),
            sample_type=_SAMPLE_TYPES.get(sample_type, "s16"),
        )
        return PulseSource(int(fields["index"]), fields["name"], fields["description"] or fields["name"], capture)
    except (KeyError, ValueError, AttributeError) as cause:
        raise ServerSilentError(f"The sound server describes a source in other words: {fields}.") from cause


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
    except (subprocess.TimeoutExpired, ValueError) as cause:
        raise ServerSilentError(f"The sound server does not answer ({cause}). Restart it.") from cause
    return found
