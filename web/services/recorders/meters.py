"""Levels on their way from agents to the pages that show them. They are never stored."""

import json
import time
from dataclasses import dataclass
from uuid import UUID

from protocol.messages import ChannelLevel, InterfaceLevels, InterfaceRef, LevelsAnswer, LevelsRequest
from web.domain.access import Actor, NodeActor, Permission
from web.domain.leases import require_run
from web.domain.live import LiveEvent
from web.store import nodes, watches
from web.store.database import Database
from web.store.notifications import Notifications, tell_meters
from web.store.watches import Watched

_KNOWN_SECONDS = 1.0
_ELSEWHERE_EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class _Known:
    """What was read of a node a moment ago."""

    node_run: int
    interfaces: dict[tuple[str, str], Watched]
    read_at: float


class Meters:
    """One a controller. It remembers for a second what is watched, so that levels cost the database next to nothing."""

    def __init__(self, db: Database, notifications: Notifications) -> None:
        self._db = db
        self._notifications = notifications
        self._known: dict[UUID, _Known] = {}
        self._told_elsewhere_at: dict[UUID, float] = {}

    async def keep_watched(self, interface_ids: list[UUID], *, by: Actor) -> None:
        """These inputs stay watched for `timeouts.meter_watch`; the node of one that was not hears of it at once.

        Those that the actor may not know of are passed over.
        """
        by.require(Permission.NODE_READ)
        async with self._db.transaction() as session:
            changed = await watches.keep(
                session,
                interface_ids,
                controller_id=self._notifications.id,
                seconds=self._db.timeouts.meter_watch,
                scope=by.nodes,
            )
            for node_id in changed:
                await nodes.raise_change_no(session, node_id)
        for node_id in changed:
            self._known.pop(node_id, None)

    async def report(self, request: LevelsRequest, *, node: NodeActor) -> LevelsAnswer:
        """Pass levels on to the pages that show them, and say which are wanted further.

        Raises NodeRunSupersededError, at the latest a second after a newer run began.
        """
        known = await self._known_of(node.node_id, [one.interface for one in request.interfaces])
        require_run(request.node_run, known.node_run)
        elsewhere = []
        for levels in request.interfaces:
            watched = known.interfaces.get(_key(levels.interface))
            if watched is not None:
                event = _event(levels, watched, node.node_id)
                self._notifications.deliver(event)
                elsewhere += [event] if watched.is_elsewhere else []
        await self._tell_elsewhere(elsewhere)
        return LevelsAnswer(watched=[watched.ref for watched in known.interfaces.values()])

    async def _known_of(self, node_id: UUID, reported: list[InterfaceRef]) -> _Known:
        """Read again when it is old, and when levels come that nobody wanted a moment ago."""
        known, now = self._known.get(node_id), time.monotonic()
        if (
            known is None
            or now - known.read_at > _KNOWN_SECONDS
            or any(_key(ref) not in known.interfaces for ref in reported)
        ):
            found = await watches.of_node(self._db, node_id, controller_id=self._notifications.id)
            known = _Known(found.node_run, {_key(one.ref): one for one in found.interfaces}, now)
            self._known[node_id] = known
        return known

    async def _tell_elsewhere(self, events: list[LiveEvent]) -> None:
        """A few times a second: every notification makes commits wait for each other."""
        now = time.monotonic()
        due = [
            event
            for event in events
            if event.id and now - self._told_elsewhere_at.get(event.id, -1.0) >= _ELSEWHERE_EVERY_SECONDS
        ]
        if due:
            self._told_elsewhere_at |= {event.id: now for event in due if event.id}
            await tell_meters(self._db, due, by=self._notifications.id)


def _key(ref: InterfaceRef) -> tuple[str, str]:
    return ref.backend, ref.name


def _event(levels: InterfaceLevels, watched: Watched, node_id: UUID) -> LiveEvent:
    said = {"interface": str(watched.id), "channels": [_decibels(channel) for channel in levels.channels]}
    return LiveEvent("meters", watched.id, node_id, json.dumps(said, separators=(",", ":")))


def _decibels(channel: ChannelLevel) -> dict[str, float | None]:
    """To a tenth, which is more than a meter shows; None is silence. `clip` is there when frames were overloaded."""
    said = {"rms": _tenths(channel.rms_dbfs), "peak": _tenths(channel.peak_dbfs)}
    return said | {"clip": channel.clipped_frames} if channel.clipped_frames else said


def _tenths(level_dbfs: float | None) -> float | None:
    return None if level_dbfs is None else round(level_dbfs, 1)
