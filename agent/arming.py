"""Armed interfaces are captured before anybody starts, so that a start can reach back; also without the controller."""

import asyncio
import time
from collections import defaultdict
from dataclasses import replace

import structlog

from agent.devices import Owners
from agent.errors import AgentError, DoesNotFitError
from agent.health import Health
from agent.owner.handle import OwnerError, OwnerGoneError, OwnerStatus
from agent.owner_news import OwnerNews
from agent.patience import Patience, go_on_for_ever
from agent.spool import Spool
from agent.states import Instant, Stage
from agent.takes import Takes
from protocol.messages import ArmedInterface, InterfaceRef
from protocol.timeouts import Timeouts

log = structlog.get_logger()


class Arming:
    """Keeps an owner with an armed take for each interface that the spool calls armed, and wipes what no longer is."""

    def __init__(self, spool: Spool, owners: Owners, takes: Takes, health: Health, timeouts: Timeouts) -> None:
        self._spool = spool
        self._owners = owners
        self._takes = takes
        self._health = health
        self._timeouts = timeouts
        self._due: defaultdict[InterfaceRef, float] = defaultdict(float)
        self._patience: defaultdict[InterfaceRef, Patience] = defaultdict(lambda: Patience(timeouts))
        self._news: dict[InterfaceRef, OwnerNews] = {}

    async def run(self) -> None:
        """Goes on for ever."""
        with self._spool.listening() as listener:

            async def step() -> None:
                await self.look()
                await listener.wait(self._timeouts.take_linger)

            await go_on_for_ever("arming", step, self._timeouts)

    async def look(self) -> None:
        """Makes every interface what it should be, once."""
        await asyncio.gather(*(self._keep(one) for one in self._spool.armed))
        if await self._disarm_others({one.interface for one in self._spool.armed}):
            await self._takes.sweep()

    async def _keep(self, armed: ArmedInterface) -> None:
        interface = armed.interface
        if time.monotonic() < self._due[interface] or self._is_wanted_otherwise(armed):
            return
        try:
            owner = await self._owners.start(interface, armed.capture)
            status = await owner.status()
            if status.preroll_ms != armed.preroll_ms:
                await owner.arm(armed.preroll_ms)
                log.info("armed", interface=interface.name, preroll_ms=armed.preroll_ms)
            await self._tell_news(interface, status)
        except DoesNotFitError as fault:
            log.info("an armed interface is captured in another format", fault=str(fault))
        except OwnerError as fault:
            await self._failed(interface, fault)
        else:
            self._patience[interface].reset()

    def _is_wanted_otherwise(self, armed: ArmedInterface) -> bool:
        """Whether a recording that is beginning, or running, has it in another format."""
        return any(
            state.interface == armed.interface and state.claimed.settings.capture != armed.capture
            for state in self._spool.jobs.values()
            if state.stage in {Stage.STARTING, Stage.CAPTURING}
        )

    async def _tell_news(self, interface: InterfaceRef, status: OwnerStatus) -> None:
        """Of the device alone: a room in which nobody records may be silent. A recording tells of its own."""
        news = self._news.setdefault(interface, OwnerNews(self._health, self._timeouts, interface))
        events = [event for event in status.events if event.kind.startswith("device_")]
        await news.tell(replace(status, events=events), begins=not status.needs)

    async def _failed(self, interface: InterfaceRef, fault: OwnerError) -> None:
        patience = self._patience[interface]
        if patience.faults == 0 and not isinstance(fault, OwnerGoneError):
            words = f"{interface.name} is armed and cannot be captured: {fault} Until it can, no start reaches back."
            await self._health.tell("not_armed", "warning", words, interface=interface)
        self._due[interface] = time.monotonic() + patience.after(fault)

    async def _disarm_others(self, armed: set[InterfaceRef]) -> bool:
        """Whether there was one that is armed no more."""
        found = False
        for owner in await self._owners.living():
            try:
                status = await owner.status()
                interface = InterfaceRef(backend=status.interface.backend, name=status.interface.name)
                if status.preroll_ms and interface not in armed:
                    await owner.arm(0)
                    found = True
                    log.info("armed no more", interface=interface.name)
            except AgentError as fault:
                log.info("an owner is not asked whether it is armed", fault=str(fault))
        for interface in set(self._news) - armed:
            await self._news.pop(interface).finish(Instant.in_ms(0))
        return found
