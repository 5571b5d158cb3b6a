"""How things stand, in counts and in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from web.domain.access import Actor, Permission
from web.domain.standing import STARTS_WITHIN_SECONDS, BarCounts, Concerns, LiveRecording, NodeCard
from web.store import nodes as stored_nodes
from web.store import standing
from web.store.database import Database

CONCERN_SECONDS = 3 * 86_400.0
"""A concern is shown so long: over a weekend."""
_CONCERNS_SHOWN = 8


@dataclass(frozen=True)
class Verdict:
    """Whether everything that should be recording is, and is well."""

    kind: Literal["quiet", "good", "warn", "bad"]
    headline: str
    details: list[str]


async def bar(db: Database, *, by: Actor) -> BarCounts:
    """What the bar over every page says."""
    return await standing.bar_counts(
        db, scope=by.recordings, health=by.scope(Permission.HEALTH_READ), since_seconds=CONCERN_SECONDS
    )


async def concerns(db: Database, *, by: Actor) -> Concerns:
    """The newest few, and how many there are."""
    return await standing.newest_concerns(
        db,
        scope=by.scope(Permission.HEALTH_READ),
        recordings=by.recordings,
        nodes=by.nodes,
        since_seconds=CONCERN_SECONDS,
        limit=_CONCERNS_SHOWN,
    )


async def live_recordings(db: Database, *, by: Actor) -> list[LiveRecording]:
    """All of the scope that have not ended, also on nodes that the actor may not know of."""
    return await standing.live_recordings(db, scope=by.recordings, nodes=by.nodes)


async def node_cards(db: Database, *, by: Actor) -> list[NodeCard]:
    """All nodes of the scope, in the order of their names."""
    interfaces = await stored_nodes.interfaces_by_node(db, scope=by.nodes)
    live = await live_recordings(db, by=by)
    occupied = await standing.busy_counts(db, scope=by.nodes)
    return [
        NodeCard(
            node,
            interfaces.get(node.id, []),
            [one for one in live if one.node_id == node.id],
            occupied.get(node.id, 0),
        )
        for node in await stored_nodes.by_name(db, scope=by.nodes, seen_within=db.timeouts.node_not_seen)
    ]


async def node_card(db: Database, node_id: UUID, *, by: Actor) -> NodeCard:
    """Raises NotFoundError, also for a node outside the scope."""
    return NodeCard(
        await stored_nodes.get(db, node_id, scope=by.nodes, seen_within=db.timeouts.node_not_seen),
        await stored_nodes.interfaces_of(db, node_id, scope=by.nodes),
        await standing.live_recordings(db, scope=by.recordings, nodes=by.nodes, node_id=node_id),
        (await standing.busy_counts(db, scope=by.nodes)).get(node_id, 0),
    )


def verdict(cards: Sequence[NodeCard], live: Sequence[LiveRecording], attention: int | None) -> Verdict:
    """`attention` counts what needs somebody; None when that is not for the reader."""
    expected = [recording for recording in live if recording.is_due and not recording.is_finishing]
    running = [recording for recording in expected if recording.is_running]
    lost = sum(recording.is_out_of_contact for recording in expected)
    late = sum(
        recording.lease_seconds is None and recording.waited_seconds > STARTS_WITHIN_SECONDS for recording in expected
    )
    unseen = sum(not card.node.is_seen and not card.node.is_absence_known for card in cards)
    return Verdict(
        kind=_kind(bool(running), bool(lost or late), bool(attention or unseen)),
        headline=_headline(len(running), len(expected), is_known=not lost),
        details=[
            *([f"{_of(lost)} lost contact with {_its(lost)} node."] if lost else []),
            *([f"{_of(late)} not been taken by {_its(late)} node yet."] if late else []),
            *([] if attention is None else [_attention(attention)]),
            *([_nodes(len(cards), unseen)] if cards else []),
        ],
    )


def _kind(is_running: bool, is_missing: bool, has_concern: bool) -> Literal["quiet", "good", "warn", "bad"]:
    if is_missing:
        return "bad"
    if has_concern:
        return "warn"
    return "good" if is_running else "quiet"


def _headline(running: int, expected: int, *, is_known: bool) -> str:
    if not expected:
        return "Nothing is recording."
    if running < expected:
        is_running = "running" if is_known else "known to be running"
        return f"{running} of {expected} recordings {'is' if running == 1 else 'are'} {is_running}."
    if running == 1:
        return "1 recording is running."
    return "Both recordings are running." if running == 2 else f"All {running} recordings are running."


def _of(number: int) -> str:
    return "1 has" if number == 1 else f"{number} have"


def _its(number: int) -> str:
    return "its" if number == 1 else "their"


def _attention(number: int) -> str:
    if not number:
        return "Nothing needs attention."
    return "1 thing needs attention." if number == 1 else f"{number} things need attention."


def _nodes(number: int, unseen: int) -> str:
    if not unseen:
        return "The node is online." if number == 1 else f"All {number} nodes are online."
    if number == 1:
        return "The node is not seen."
    return f"{unseen} of {number} nodes {'is' if unseen == 1 else 'are'} not seen."
