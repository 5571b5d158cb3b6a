"""Events that an operator should know of: kept in the spool until the controller has heard them."""

import time
from typing import Literal
from uuid import UUID

import structlog

from agent.controller_client import ControllerClient
from agent.errors import ControllerFault
from agent.owner import clock
from agent.patience import go_on_for_ever
from agent.spool import Spool
from agent.states import Instant, StoredEvent
from protocol.ids import new_id
from protocol.messages import EventReport, EventsRequest, InterfaceRef
from protocol.timeouts import Timeouts

log = structlog.get_logger()

Severity = Literal["info", "warning", "critical"]
BATCH_EVENTS = 50


class Health:
    """Tells events, in the log and to the controller."""

    def __init__(self, spool: Spool, timeouts: Timeouts) -> None:
        self._spool = spool
        self._timeouts = timeouts
        self._told: set[tuple[str, UUID | None]] = set()

    async def tell(
        self,
        kind: str,
        severity: Severity,
        message: str,
        *,
        job_id: UUID | None = None,
        interface: InterfaceRef | None = None,
        event_id: UUID | None = None,
        at: Instant | None = None,
        lasts: bool = False,
        ended_at: Instant | None = None,
    ) -> None:
        """Told once for each `event_id`, by default a new one; `at` is when it happened or began, by default now.

        A condition `lasts` when it is told first, and is told again under its id with `ended_at`.
        """
        log.log(_LEVELS[severity], message, kind=kind, job_id=str(job_id) if job_id else None)
        event = EventReport(
            id=event_id or new_id(),
            kind=kind,
            severity=severity,
            message=message[:1000],
            age_ms=0,
            lasts=lasts and ended_at is None,
            ended_age_ms=None if ended_at is None else 0,
            job_id=job_id,
            interface=interface,
        )
        stored = StoredEvent(event=event, at=at or Instant.in_ms(0), ended_at=ended_at, utc_ns=time.time_ns())
        await self._spool.add_event(stored)

    async def tell_once(self, kind: str, severity: Severity, message: str, *, job_id: UUID | None = None) -> None:
        """Like `tell`, but only the first time in the life of this agent: for what is tried again and again."""
        if (kind, job_id) not in self._told:
            await self.tell(kind, severity, message, job_id=job_id)
            self._told.add((kind, job_id))

    async def run(self, client: ControllerClient) -> None:
        """Delivers events, also those of earlier outages and runs."""
        await self._spool.registered.wait()
        for words in self._spool.broken:
            await self.tell("spool_file_broken", "critical", words)
        self._spool.broken.clear()
        with self._spool.listening() as listener:

            async def step() -> None:
                await self._deliver(client)
                await listener.wait(self._timeouts.retry_longest)

            await go_on_for_ever("health", step, self._timeouts)

    async def _deliver(self, client: ControllerClient) -> None:
        while events := await self._spool.events(BATCH_EVENTS):
            try:
                await self._tell_all(client, events)
            except ControllerFault as refusal:
                if refusal.code not in _REFUSED:
                    raise
                await self._tell_one_by_one(client, events)
            await self._spool.drop_events(events)

    async def _tell_all(self, client: ControllerClient, events: list[StoredEvent]) -> None:
        reports = [_report(stored) for stored in events]
        await client.events(EventsRequest(node_run=self._spool.node.node_run, events=reports))

    async def _tell_one_by_one(self, client: ControllerClient, events: list[StoredEvent]) -> None:
        """One that the controller cannot take keeps no other from being told; then only the log has it."""
        for stored in events:
            try:
                await self._tell_all(client, [stored])
            except ControllerFault as refusal:
                if refusal.code not in _REFUSED:
                    raise
                log.error("the controller does not take this event", fault=str(refusal), words=stored.event.message)


_REFUSED = {"invalid", "too_large"}
_LEVELS = {"info": 20, "warning": 30, "critical": 50}


def _report(stored: StoredEvent) -> EventReport:
    ages = {"age_ms": _age_ms(stored.at, stored.utc_ns)}
    if stored.ended_at is not None:
        ages["ended_age_ms"] = _age_ms(stored.ended_at, stored.utc_ns)
    return stored.event.model_copy(update=ages)


def _age_ms(at: Instant, utc_ns: int) -> int:
    """By the clock that runs through suspends; an event of an earlier boot only has the wall clock."""
    if at.of_this_boot:
        return max(0, clock.boottime_ns() - at.boottime_ns) // 1_000_000
    return max(0, time.time_ns() - utc_ns) // 1_000_000
