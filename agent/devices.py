"""The owner that captures each interface."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import structlog

from agent.errors import DoesNotFitError
from agent.owner.handle import (
    Owner,
    OwnerConfig,
    OwnerError,
    OwnerGoneError,
    OwnerStartError,
    OwnerStatus,
    OwnerUnresponsiveError,
    attach,
    list_states,
    start_owner,
)
from agent.owner.state import OwnerState
from agent.settings import AgentSettings, sound_environment
from protocol.messages import CaptureFormat, InterfaceRef
from protocol.timeouts import Timeouts

log = structlog.get_logger()

Key = tuple[str, str]
_YOUNG = 1.0
"""An owner that dies within so many limits of a start has lived for a short time."""
_DEATHS_AT_ONCE = 4
"""After so many short lives the next owner has to wait."""


def agent_version() -> str:
    try:
        return version("reelkeeper")
    except PackageNotFoundError:
        return "0+unknown"


class Owners:
    """At most one owner an interface; each is started, found again and talked to through here."""

    def __init__(self, settings: AgentSettings, on_death: Callable[[], None] = lambda: None) -> None:
        """`on_death` is called whenever an owner is gone, for whoever wants another one."""
        self._settings = settings
        self._on_death = on_death
        self._run_folder = settings.private_run_folder()
        self._held: dict[Key, Owner] = {}
        self._asked_at: dict[Key, float] = {}
        self._formats: dict[Key, CaptureFormat] = {}
        """That somebody wanted an interface in last."""
        self._launches: dict[Key, Launches] = {}
        self._locks: defaultdict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def attach_all(self) -> None:
        """Attaches to every owner not held yet, by its stored state, whatever interfaces exist now."""
        for state in await asyncio.to_thread(list_states, self._run_folder):
            interface = InterfaceRef(backend=state.interface.backend, name=state.interface.name)
            async with self._locks[_key(interface)]:
                if _key(interface) not in self._held:
                    self._asked_at.setdefault(_key(interface), time.monotonic())
                    await self._attach(interface, state.folder)

    async def start(self, interface: InterfaceRef, capture: CaptureFormat) -> Owner:
        """The owner of this interface, started if there is none.

        Raises DoesNotFitError when it captures in another format for somebody else.
        """
        async with self._turn(interface):
            self._formats[_key(interface)] = capture
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

    async def start_in_any_format(self, interface: InterfaceRef, capture: CaptureFormat) -> Owner:
        """The owner of this interface as it is: nobody is disturbed. Without one it is started in the format that was
        wanted last, in this one the first time."""
        async with self._turn(interface):
            wanted = self._formats.get(_key(interface), capture)
            return (await self._living_or_started(interface, wanted))[0]

    async def held(self, interface: InterfaceRef) -> Owner:
        """The living owner of this interface. Raises OwnerGoneError when there is positively none."""
        async with self._turn(interface):
            known = self._held.get(_key(interface))
            if known is None:
                state_folder = self._config(interface, None).state_folder
                known = self._hold(interface, await attach(state_folder, self._settings.timeouts))
            return known

    def forget(self, interface: InterfaceRef) -> None:
        """The owner is gone: the next one who asks attaches or starts anew."""
        self._held.pop(_key(interface), None)

    def disconnect(self) -> None:
        """Frees every owner for another agent; what they capture they go on capturing."""
        for owner in self._held.values():
            owner.disconnect()
        self._held.clear()

    async def living(self) -> list[Owner]:
        """Every owner that answers, also ones that this agent has not talked to yet."""
        await self.attach_all()
        return list(self._held.values())

    async def capturing(self) -> list[OwnerStatus]:
        """What every owner says whose device delivers."""
        found = []
        for owner in await self.living():
            try:
                status = await owner.status()
            except OwnerError as fault:
                log.info("an owner is not asked", fault=str(fault))
            else:
                found += [status] if status.device == "capturing" else []
        return found

    async def retire_unused(self) -> None:
        """Ends every owner that has written no take, and was asked for by nobody, for a while."""
        for key, owner in list(self._held.items()):
            async with self._locks[key]:
                if time.monotonic() - self._asked_at.get(key, 0.0) < self._settings.timeouts.meter_watch:
                    continue
                try:
                    if not await owner.retire("no longer needed"):
                        continue
                except OwnerGoneError:
                    log.info("an owner is gone", interface=key[1])
                except OwnerError as fault:
                    log.warning("an owner could not be ended, it is tried again", interface=key[1], fault=str(fault))
                    continue
                self._held.pop(key, None)
                log.info("owner ended", interface=key[1], reason="no longer needed")

    async def disarm_all(self, reason: str) -> None:
        """Ends every owner, also one that does not answer; returns when each is gone, or could not be ended."""
        states = await asyncio.to_thread(list_states, self._run_folder)
        ends = await asyncio.gather(*(self._disarm(state, reason) for state in states), return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                log.error("an owner could not be disarmed", fault=str(end))

    @asynccontextmanager
    async def _turn(self, interface: InterfaceRef) -> AsyncIterator[None]:
        """Alone with an interface that somebody needs."""
        async with self._locks[_key(interface)]:
            self._asked_at[_key(interface)] = time.monotonic()
            yield

    async def _disarm(self, state: OwnerState, reason: str) -> None:
        interface = InterfaceRef(backend=state.interface.backend, name=state.interface.name)
        async with self._locks[_key(interface)]:
            owner = self._held.pop(_key(interface), None) or Owner(state.folder, self._settings.timeouts)
            await owner.disarm(reason)
            log.info("owner ended", interface=interface.name, reason=reason)

    async def _attach(self, interface: InterfaceRef, state_folder: Path) -> None:
        try:
            self._hold(interface, await attach(state_folder, self._settings.timeouts))
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
        launches = self._launches.setdefault(_key(interface), Launches(self._settings.timeouts))
        launches.check(time.monotonic())
        owner = await start_owner(self._config(interface, capture), sound_environment())
        launches.note(time.monotonic())
        return self._hold(interface, owner)

    def _hold(self, interface: InterfaceRef, owner: Owner) -> Owner:
        self._held[_key(interface)] = owner
        owner.on_end(self._on_death)
        return owner

    def _config(self, interface: InterfaceRef, capture: CaptureFormat | None) -> OwnerConfig:
        return OwnerConfig(
            interface=interface,
            capture=capture or CaptureFormat(channels=1, sample_rate_hz=48_000, sample_type="s16"),
            run_folder=self._run_folder,
            takes_folder=self._settings.takes_folder,
            synthetic_folder=self._settings.synthetic_folder,
            timeouts=self._settings.timeouts,
            spill_folders=self._settings.spill_folders,
            reserve_bytes=self._settings.reserve_bytes,
        )


class Launches:
    """Of one interface: capture processes that die as soon as they live are started at longer and longer intervals."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._last: float | None = None
        self._short_lives = 0

    def check(self, now: float) -> None:
        """Raises OwnerStartError when it is too early for another one."""
        if self._last is None or now - self._last >= _YOUNG * self._timeouts.owner_start + self._pause:
            self._short_lives = 0
        elif now - self._last < self._pause:
            raise OwnerStartError(
                "died",
                f"The capture process has died {self._short_lives} times in a row soon after its start. It is started "
                "again after a pause. Look into its log.",
            )

    def note(self, now: float) -> None:
        """One was started."""
        self._short_lives += 1
        self._last = now

    @property
    def _pause(self) -> float:
        """The first few follow at once."""
        doublings = self._short_lives - _DEATHS_AT_ONCE
        longest = self._timeouts.retry_longest
        return 0.0 if doublings < 0 else float(min(self._timeouts.retry_first * 2 ** min(doublings, 16), longest))


def _key(interface: InterfaceRef) -> Key:
    return (interface.backend, interface.name)


def _format(capture: CaptureFormat) -> tuple[int, int, str]:
    return (capture.channels, capture.sample_rate_hz, capture.sample_type)
