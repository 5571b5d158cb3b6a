"""What lasts on this node: told when it begins and when it is over, also over restarts of the agent."""

import asyncio
from pathlib import Path
from uuid import UUID

from agent.files import read_kept, write_model
from agent.health import Health, Severity
from agent.states import Instant, Stored
from protocol.ids import new_id


class Condition(Stored):
    """One that is not over."""

    id: UUID
    kind: str
    severity: Severity
    message: str
    since: Instant


class Lasting(Stored):
    """`<name>.json`: conditions by what the caller knows them by."""

    conditions: dict[str, Condition]


class Conditions:
    """Remembered in one file before they are told: a crash in between tells one again under its id, and so once."""

    def __init__(self, path: Path, health: Health) -> None:
        self._path = path
        self._health = health
        self._lasting = _read(path)
        self._told: set[UUID] = set()
        """By this agent."""

    @property
    def lasting(self) -> set[str]:
        return set(self._lasting)

    async def begin(self, name: str, kind: str, severity: Severity, message: str) -> None:
        """Tells it, unless it lasts already. In another severity it is over, and begins anew."""
        known = self._lasting.get(name)
        if known is not None and known.severity != severity:
            await self.end(name)
            known = None
        if known is None:
            known = Condition(id=new_id(), kind=kind, severity=severity, message=message, since=Instant.in_ms(0))
        if known.id not in self._told:
            await self._keep({**self._lasting, name: known})
            await self._tell(known, ended_at=None)
            self._told.add(known.id)

    async def end(self, name: str) -> None:
        """Tells that it is over, if it lasted."""
        if known := self._lasting.get(name):
            await self._tell(known, ended_at=Instant.in_ms(0))
            await self._keep({other: one for other, one in self._lasting.items() if other != name})
            self._told.discard(known.id)

    async def _tell(self, condition: Condition, ended_at: Instant | None) -> None:
        await self._health.tell(
            condition.kind,
            condition.severity,
            condition.message,
            event_id=condition.id,
            at=condition.since,
            lasts=True,
            ended_at=ended_at,
        )

    async def _keep(self, conditions: dict[str, Condition]) -> None:
        self._lasting = conditions
        await asyncio.to_thread(write_model, self._path, Lasting(conditions=conditions))


def _read(path: Path) -> dict[str, Condition]:
    known = read_kept(path, Lasting, lost="what lasted before is unknown and is told anew")
    return known.conditions if known else {}
