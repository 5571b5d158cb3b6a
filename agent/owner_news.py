"""What an owner says of its device, told once each to the operator."""

from uuid import NAMESPACE_OID, UUID, uuid5

from agent.health import Health
from agent.owner import clock
from agent.owner.handle import OwnerEvent, OwnerStatus
from agent.states import Instant
from protocol.messages import InterfaceRef


class OwnerNews:
    """For one recording, or for an interface without any. Ids follow from those of the owner: a restart of the agent
    tells nothing twice."""

    def __init__(self, health: Health, interface: InterfaceRef, job_id: UUID | None = None) -> None:
        self._health = health
        self._interface = interface
        self._job_id = job_id
        self._told: dict[str, int | None] = {}
        """When each was over, None of what lasts."""

    async def tell(self, status: OwnerStatus, *, since_ns: int = 0, begins: bool = True) -> None:
        """What touched the time since then; a condition is told again when it is over. Without `begins` only the ends
        of what was told are."""
        for event in status.events:
            has_touched = event.ended_ns is None or event.ended_ns >= since_ns
            if has_touched and (begins or event.id in self._told) and self._is_new(event):
                await self._tell(event)
                self._told[event.id] = event.ended_ns
        known = {event.id for event in status.events}
        self._told = {event_id: ended_ns for event_id, ended_ns in self._told.items() if event_id in known}

    def _is_new(self, event: OwnerEvent) -> bool:
        return event.id not in self._told or self._told[event.id] != event.ended_ns

    async def _tell(self, event: OwnerEvent) -> None:
        is_over = event.ended_ns is not None and event.ended_ns > event.began_ns
        await self._health.tell(
            event.kind,
            event.severity,
            event.message,
            job_id=self._job_id,
            interface=self._interface,
            event_id=uuid5(self._job_id or NAMESPACE_OID, event.id),
            at=_instant(event.began_ns),
            lasts=event.lasts,
            ended_at=_instant(event.ended_ns) if is_over and event.ended_ns is not None else None,
        )


def _instant(boottime_ns: int) -> Instant:
    return Instant(boot_id=clock.boot_id(), boottime_ns=boottime_ns)
