"""What an owner says of its device and its signal, told once each to the operator, and its end with it."""

import asyncio
import time
from pathlib import Path
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic import Field

from agent.files import read_kept, remove, write_model
from agent.health import Health, Severity
from agent.owner import clock
from agent.owner.handle import OwnerEvent, OwnerStatus
from agent.states import Instant, Stored
from protocol.messages import InterfaceRef
from protocol.timeouts import Timeouts


class ToldEvent(Stored):
    """What has to be known to tell the end of a condition when its owner cannot."""

    kind: str
    severity: Severity
    message: str
    began: Instant
    ended_ns: int | None
    """None while it lasts."""


class ToldEvents(Stored):
    """`told.json` of a job, by the owner's ids."""

    events: dict[str, ToldEvent] = Field(default_factory=dict)


class OwnerNews:
    """For one recording, or for an interface without any. Ids follow from those of the owner: a restart of the agent
    tells nothing twice."""

    def __init__(
        self,
        health: Health,
        timeouts: Timeouts,
        interface: InterfaceRef,
        job_id: UUID | None = None,
        *,
        channels: frozenset[int] | None = None,
        memory: Path | None = None,
    ) -> None:
        """With `channels` others do not matter. With `memory` the next agent goes on where this one was killed."""
        self._health = health
        self._timeouts = timeouts
        self._interface = interface
        self._job_id = job_id
        self._channels = channels
        self._memory = memory
        self._told: dict[str, ToldEvent] | None = None if memory else {}
        self._owner: tuple[int, Instant, float] | None = None
        """Its pid, and when it was first heard."""

    async def tell(self, status: OwnerStatus, *, since_ns: int = 0, begins: bool = True) -> None:
        """What touched the time since then; a condition is told again when it is over. Without `begins` only the ends
        of what was told are."""
        before = await self._recalled()
        told = before.copy()
        for event in status.events:
            known = told.get(event.id)
            has_touched = event.ended_ns is None or event.ended_ns >= since_ns
            is_new = known is None or known.ended_ns != event.ended_ns
            if has_touched and is_new and (begins or known) and self._concerns(event):
                told[event.id] = await self._tell(event)
        for event_id in told.keys() - {event.id for event in status.events}:
            if told[event_id].ended_ns is None:
                await self._end_of_dead_owner(event_id, told, status)
            else:
                del told[event_id]
        if told != before:
            await self._remember(told)

    async def finish(self, at: Instant) -> None:
        """The recording is over, and with it everything that lasted. May be repeated."""
        told = await self._recalled()
        for event_id, known in told.items():
            if known.ended_ns is None:
                await self._tell_end(event_id, known, at)
        if self._memory is not None and told:
            await asyncio.to_thread(remove, self._memory)
        self._told = {}

    def _concerns(self, event: OwnerEvent) -> bool:
        return event.channel is None or self._channels is None or event.channel in self._channels

    def _severity(self, event: OwnerEvent) -> Severity:
        """A dead channel is all that there is, where no other is recorded."""
        is_all = event.kind == "dead_channel" and self._channels == frozenset({event.channel})
        return "critical" if is_all else event.severity

    async def _tell(self, event: OwnerEvent) -> ToldEvent:
        is_over = event.ended_ns is not None and event.ended_ns > event.began_ns
        told = ToldEvent(
            kind=event.kind,
            severity=self._severity(event),
            message=event.message,
            began=_instant(event.began_ns),
            ended_ns=event.ended_ns,
        )
        ended_at = _instant(event.ended_ns) if is_over and event.ended_ns is not None else None
        await self._report(event.id, told, lasts=event.lasts, ended_at=ended_at)
        return told

    async def _end_of_dead_owner(self, event_id: str, told: dict[str, ToldEvent], status: OwnerStatus) -> None:
        """Only the owner that saw it begin sees its end. The next one had its time to find the same again."""
        now = Instant.in_ms(0)
        if self._owner is None or self._owner[0] != status.pid or status.device != "capturing":
            self._owner = (status.pid, now, time.monotonic())
        _, first_heard, heard_since = self._owner
        if time.monotonic() - heard_since >= self._timeouts.take_linger:
            await self._tell_end(event_id, told.pop(event_id), first_heard)

    async def _tell_end(self, event_id: str, known: ToldEvent, at: Instant) -> None:
        await self._report(event_id, known, lasts=False, ended_at=at)

    async def _report(self, event_id: str, told: ToldEvent, *, lasts: bool, ended_at: Instant | None) -> None:
        await self._health.tell(
            told.kind,
            told.severity,
            told.message,
            job_id=self._job_id,
            interface=self._interface,
            event_id=uuid5(self._job_id or NAMESPACE_OID, event_id),
            at=told.began,
            lasts=lasts,
            ended_at=ended_at,
        )

    async def _recalled(self) -> dict[str, ToldEvent]:
        if self._told is None:
            assert self._memory is not None
            self._told = await asyncio.to_thread(_read, self._memory)
        return self._told

    async def _remember(self, told: dict[str, ToldEvent]) -> None:
        """After it was told: a crash in between tells it again under its id, and so once."""
        self._told = told
        if self._memory is not None:
            await asyncio.to_thread(write_model, self._memory, ToldEvents(events=told))


def _read(path: Path) -> dict[str, ToldEvent]:
    known = read_kept(path, ToldEvents, lost="what was told of an interface is unknown and is told again")
    return known.events if known else {}


def _instant(boottime_ns: int) -> Instant:
    return Instant(boot_id=clock.boot_id(), boottime_ns=boottime_ns)
