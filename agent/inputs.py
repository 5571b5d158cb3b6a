"""The inputs that this node has now, of every backend."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

import structlog
from pydantic import ValidationError

from agent.devices import Owners
from agent.owner.config import SYNTHETIC_INTERFACES, CaptureLike
from agent.owner.list_inputs import MOST_NAME
from agent.settings import AgentSettings, child_environment, sound_environment
from protocol.messages import CaptureFormat, InterfaceRef, InterfaceReport

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 30.0
"""Unless a card comes or goes, which is seen at once."""
LOOK_SECONDS = 15.0
"""What a listing may take: on a small machine with many cards several seconds."""
_PACKAGES = Path(__file__).parents[1]
_LABELS = {
    "counter": "Counter (every frame has its number)",
    "counter-32": "Counter, 32 channels",
    "tone": "Tone, 1 kHz at −18 dBFS",
    "speech": "Speech, in a loop",
}


class Inputs:
    """Asks a short-lived process, which may hang or crash over a broken device, and keeps what it said last."""

    def __init__(self, settings: AgentSettings, owners: Owners) -> None:
        self._settings = settings
        self._owners = owners
        self._turn = asyncio.Lock()
        self._looked_at: float | None = None
        self._cards = ""
        self._listed: dict[str, list[InterfaceReport]] = {}
        self._told: dict[str, str] = {}
        self.present: list[InterfaceReport] = synthetic_inputs() if settings.synthetic else []
        """As of the last look."""

    async def look(self, *, now: bool = False) -> None:
        """Brings `present` up to date, at most once in a while unless it must be `now`. Faults are logged."""
        asked_at = time.monotonic()
        async with self._turn:
            cards = await asyncio.to_thread(_cards)
            if self._is_fresh(asked_at if now else asked_at - LOOK_EVERY_SECONDS) and cards == self._cards:
                return
            self._cards = cards
            await asyncio.gather(self._list("portaudio", self._settings.portaudio), self._list_files())
            listed = [report for reports in self._listed.values() for report in reports]
            self.present = [*listed, *await self._held_devices(listed)]
            if self._settings.synthetic:
                self.present += synthetic_inputs()
            self._looked_at = time.monotonic()

    async def find(self, interface: InterfaceRef) -> InterfaceReport | None:
        """What is known of an input, looked for anew when it seems to be missing."""
        if (known := self._known(interface)) is None:
            await self.look(now=True)
            known = self._known(interface)
        return known

    def _is_fresh(self, since: float) -> bool:
        return self._looked_at is not None and self._looked_at >= since

    def _known(self, interface: InterfaceRef) -> InterfaceReport | None:
        return next((one for one in self.present if _ref(one) == interface), None)

    async def _held_devices(self, listed: list[InterfaceReport]) -> list[InterfaceReport]:
        """A card that an owner of ours has open is listed by nobody else."""
        found = []
        for status in await self._owners.capturing():
            interface = InterfaceRef(backend=status.interface.backend, name=status.interface.name)
            if interface.backend == "portaudio" and interface not in [_ref(one) for one in listed]:
                capture = _format(status.capture)
                before = self._known(interface)
                found.append(before or _report(interface.backend, interface.name, interface.name, capture))
        return found

    async def _list_files(self) -> None:
        files = await asyncio.to_thread(self._sound_files)
        await self._list("file", bool(files), *map(str, files))

    async def _list(self, backend: str, is_wanted: bool, *arguments: str) -> None:
        if not is_wanted:
            self._listed.pop(backend, None)
            return
        try:
            lines = await _ask(backend, *arguments)
            self._listed[backend] = [report for line in lines if (report := self._fitting(line))]
            self._told.pop(backend, None)
        except (OSError, TimeoutError, _ListingError) as fault:
            self._tell_once(backend, str(fault) or f"the listing took more than {LOOK_SECONDS:.0f} s")

    def _fitting(self, line: bytes) -> InterfaceReport | None:
        """None for an input that does not fit into an inventory, which is no reason to lose the others."""
        try:
            return InterfaceReport.model_validate_json(line)
        except ValidationError as fault:
            self._tell_once(line.decode(errors="replace"), str(fault))
            return None

    def _sound_files(self) -> list[Path]:
        """The files named, and those in the folders named; a path is the lasting name of an input."""
        found: list[Path] = []
        for path in self._settings.file_inputs:
            try:
                inside = sorted(path.iterdir()) if path.is_dir() else [path]
                found += [file.absolute() for file in inside if file.is_file()]
                self._told.pop(str(path), None)
            except OSError as fault:
                self._tell_once(str(path), str(fault))
        return [file for file in dict.fromkeys(found) if len(str(file)) <= MOST_NAME]

    def _tell_once(self, what: str, words: str) -> None:
        """Again only in other words."""
        if self._told.get(what) != words:
            log.warning("inputs could not be listed", of=what[:1000], fault=words)
        self._told[what] = words


def _cards() -> str:
    """Whatever it says: it is another text when a card came or went."""
    with suppress(OSError):
        return Path("/proc/asound/cards").read_text()
    return ""


class _ListingError(Exception):
    """In words, what the listing process said of its end."""


async def _ask(backend: str, *arguments: str) -> list[bytes]:
    """One line an input."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agent.owner.list_inputs", backend, *arguments),
        cwd=_PACKAGES,
        env={**child_environment(), **sound_environment()},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            output, errors = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it had started itself
        await process.wait()
        raise
    if process.returncode != 0:
        last_words = errors.decode(errors="replace").strip().splitlines()[-1:]
        raise _ListingError(" ".join(last_words) or f"the listing ended with {process.returncode}")
    return output.splitlines()


def synthetic_inputs() -> list[InterfaceReport]:
    """Known samples, for tests and demonstrations."""
    return [_report("synthetic", name, _LABELS[name], _format(only)) for name, only in SYNTHETIC_INTERFACES.items()]


def _report(backend: str, name: str, label: str, capture: CaptureFormat) -> InterfaceReport:
    """Of an input that has one format."""
    return InterfaceReport(
        backend=backend,
        name=name,
        label=label,
        max_channels=capture.channels,
        sample_rates_hz=[capture.sample_rate_hz],
        sample_types=[capture.sample_type],
        default_capture=capture,
    )


def _ref(report: InterfaceReport) -> InterfaceRef:
    return InterfaceRef(backend=report.backend, name=report.name)


def _format(capture: CaptureLike) -> CaptureFormat:
    return CaptureFormat(
        channels=capture.channels, sample_rate_hz=capture.sample_rate_hz, sample_type=capture.sample_type
    )
