"""The interfaces of this node, and the owner that captures each."""

import asyncio
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog

from agent.errors import DoesNotFitError
from agent.owner.config import SYNTHETIC_INTERFACES
from agent.owner.handle import (
    Owner,
    OwnerConfig,
    OwnerGoneError,
    OwnerStatus,
    OwnerUnresponsiveError,
    attach,
    list_states,
    start_owner,
)
from agent.owner.state import OwnerState
from agent.settings import AgentSettings
from protocol.messages import CaptureFormat, InterfaceRef, InterfaceReport

log = structlog.get_logger()

Key = tuple[str, str]
_LABELS = {
    "counter": "Counter (every frame has its number)",
    "counter-32": "Counter, 32 channels",
    "tone": "Tone, 1 kHz at −18 dBFS",
    "speech": "Speech, in a loop",
}


def interfaces(settings: AgentSettings) -> list[InterfaceReport]:
    """What this node can capture now, each with a careful default format."""
    return _synthetic_interfaces() if settings.synthetic else []


def agent_version() -> str:
    try:
        return version("reelkeeper")
    except PackageNotFoundError:
        return "0+unknown"


class Owners:
    """At most one owner an interface; each is started, found again and talked to through here."""

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._run_folder = settings.private_run_folder()
        self._held: dict[Key, Owner] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def attach_all(self) -> None:
        """Attaches to every owner not held yet, by its stored state, whatever interfaces exist now."""
        for state in await asyncio.to_thread(list_states, self._run_folder):
            interface = InterfaceRef(backend=state.interface.backend, name=state.interface.name)
            async with self._locks[_key(interface)]:
                if _key(interface) not in self._held:
                    await self._attach(interface, state.folder)

    async def start(self, interface: InterfaceRef, capture: CaptureFormat) -> Owner:
        """The owner of this interface, started if there is none.

        Raises DoesNotFitError when it captures in another format for somebody else.
        """
        async with self._locks[_key(interface)]:
            owner, status = await self._living_or_started(interface, capture)
            found = status.capture
            if (found.channels, found.sample_rate_hz, found.sample_type) == _format(capture):
                return owner
            if status.needs:
                raise DoesNotFitError(
                    "format_in_use",
                    f"{interface.name} is being captured with {found.channels} channels of {found.sample_type} at "
                    f"{found.sample_rate_hz} Hz, and this recording asks for another format. "
                    "Start it again when the running recordings of this interface have ended.",
                )
            await owner.disarm("format changed")
            self._held.pop(_key(interface), None)
            return await self._started(interface, capture)

    async def held(self, interface: InterfaceRef) -> Owner:
        """The living owner of this interface. Raises OwnerGoneError when there is positively none."""
        async with self._locks[_key(interface)]:
            known = self._held.get(_key(interface))
            if known is None:
                known = self._held[_key(interface)] = await attach(
                    self._config(interface, None).state_folder, self._settings.timeouts
                )
            return known

    def forget(self, interface: InterfaceRef) -> None:
        """The owner is gone: the next one who asks attaches or starts anew."""
        self._held.pop(_key(interface), None)

    async def living(self) -> list[Owner]:
        """Every owner that answers, also ones that this agent has not talked to yet."""
        await self.attach_all()
        return list(self._held.values())

    async def disarm_all(self, reason: str) -> None:
        """Ends every owner, also one that does not answer; returns when each is gone, or could not be ended."""
        states = await asyncio.to_thread(list_states, self._run_folder)
        ends = await asyncio.gather(*(self._disarm(state, reason) for state in states), return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                log.error("an owner could not be disarmed", fault=str(end))

    async def _disarm(self, state: OwnerState, reason: str) -> None:
        interface = InterfaceRef(backend=state.interface.backend, name=state.interface.name)
        async with self._locks[_key(interface)]:
            owner = self._held.pop(_key(interface), None) or Owner(state.folder, self._settings.timeouts)
            await owner.disarm(reason)
            log.info("owner ended", interface=interface.name, reason=reason)

    async def _attach(self, interface: InterfaceRef, state_folder: Path) -> None:
        try:
            self._held[_key(interface)] = await attach(state_folder, self._settings.timeouts)
            log.info("attached to an owner", interface=interface.name)
        except OwnerGoneError:
            log.warning("an owner has died", interface=interface.name)
        except OwnerUnresponsiveError as fault:
            log.warning("an owner does not answer, it is asked again later", fault=str(fault))

    async def _living_or_started(self, interface: InterfaceRef, capture: CaptureFormat) -> tuple[Owner, OwnerStatus]:
        """An owner has one controlling connection, so the one that is held is asked before another is made."""
        known = self._held.get(_key(interface))
        if known is not None:
            try:
                return known, await known.status()
            except OwnerGoneError:
                self.forget(interface)
        owner = await self._started(interface, capture)
        return owner, await owner.status()

    async def _started(self, interface: InterfaceRef, capture: CaptureFormat) -> Owner:
        owner = await start_owner(self._config(interface, capture))
        self._held[_key(interface)] = owner
        return owner

    def _config(self, interface: InterfaceRef, capture: CaptureFormat | None) -> OwnerConfig:
        return OwnerConfig(
            interface=interface,
            capture=capture or CaptureFormat(channels=1, sample_rate_hz=48_000, sample_type="s16"),
            run_folder=self._run_folder,
            takes_folder=self._settings.takes_folder,
            synthetic_folder=self._settings.synthetic_folder,
            timeouts=self._settings.timeouts,
        )


def _key(interface: InterfaceRef) -> Key:
    return (interface.backend, interface.name)


def _format(capture: CaptureFormat) -> tuple[int, int, str]:
    return (capture.channels, capture.sample_rate_hz, capture.sample_type)


def _synthetic_interfaces() -> list[InterfaceReport]:
    reports = []
    for name, only in SYNTHETIC_INTERFACES.items():
        capture = CaptureFormat.model_validate(
            {"channels": only.channels, "sample_rate_hz": only.sample_rate_hz, "sample_type": only.sample_type}
        )
        reports.append(
            InterfaceReport(
                backend="synthetic",
                name=name,
                label=_LABELS[name],
                max_channels=capture.channels,
                sample_rates_hz=[capture.sample_rate_hz],
                sample_types=[capture.sample_type],
                default_capture=capture,
            )
        )
    return reports
