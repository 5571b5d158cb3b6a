"""Nodes and their interfaces."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from protocol.ids import new_id
from protocol.messages import (
    ArmedInterface,
    CaptureFormat,
    InterfaceRef,
    InterfaceReport,
    Inventory,
    SpoolReport,
)
from web.domain.access import Scope
from web.domain.errors import NotFoundError
from web.domain.nodes import Description, HourOfHealth, Interface, Node
from web.store import tables
from web.store.database import Row, Session


@dataclass(frozen=True)
class LockedNode:
    """A node whose work nobody else changes until the transaction ends."""

    id: UUID
    name: str
    capacity: int
    node_run: int
    change_no: int
    is_draining: bool

    @property
    def node_id(self) -> UUID:
        return self.id


@dataclass(frozen=True)
class NodeNews:
    """What an agent is told whenever it asks."""

    node_run: int
    change_no: int
    watched: list[InterfaceRef]
    """Interfaces that somebody looks at."""
    armed: list[ArmedInterface]
    """Interfaces that are captured before anybody starts a recording."""
    is_token_due: bool
    """Whether the agent is to ask for another token."""


@dataclass(frozen=True)
class Presence:
    """A node of which it is not said rightly whether it is there."""

    id: UUID
    name: str
    last_seen_at: datetime
    silent_seconds: float
    is_told: bool
    """Whether it is said to be away; it is back then, else it has gone."""
    capturing: int
    """How many recordings it was capturing when it was last heard."""
    is_revoked: bool
    """Whether its tokens were revoked, so that it is refused whatever it says."""


async def get(session: Session, node_id: UUID, *, scope: Scope, seen_within: float) -> Node:
    """`seen_within` in seconds decides `is_seen`. Raises NotFoundError, also for one outside the scope."""
    rows = await _nodes(session, node_id, scope=scope, seen_within=seen_within)
    if not rows:
        raise NotFoundError("node", node_id)
    return rows[0]


async def by_name(session: Session, *, scope: Scope, seen_within: float) -> list[Node]:
    """All nodes of the scope, in the order of their names."""
    return await _nodes(session, None, scope=scope, seen_within=seen_within)


async def interfaces_of(session: Session, node_id: UUID, *, scope: Scope) -> list[Interface]:
    """In the order of their names; empty for a node outside the scope."""
    if not scope.covers(node_id):
        return []
    table = tables.Interface
    return [
        _interface(row)
        for row in await session.run(table.select().where(table.node_id == node_id).order_by(table.backend, table.name))
    ]


async def interfaces_by_node(session: Session, *, scope: Scope) -> dict[UUID, list[Interface]]:
    """Of every node of the scope that has any, in the order of their names."""
    found: dict[UUID, list[Interface]] = {}
    for row in await session.rows("interfaces_of_scope", scope=scope.sql):
        found.setdefault(row["node_id"], []).append(_interface(row))
    return found


async def lock(session: Session, node_id: UUID) -> LockedNode:
    """Raises NotFoundError."""
    row = await session.row("lock_node", node_id=node_id)
    if row is None:
        raise NotFoundError("node", node_id)
    return LockedNode(**row)


async def share_run(session: Session, node_id: UUID) -> int:
    """The node's current run, which stays so until the transaction ends. Raises NotFoundError."""
    row = await session.row("share_node", node_id=node_id)
    if row is None:
        raise NotFoundError("node", node_id)
    return int(row["node_run"])


async def news(session: Session, node_id: UUID) -> NodeNews:
    """Raises NotFoundError."""
    return _news(await session.row("node_news", node_id=node_id), node_id)


async def beat(session: Session, node_id: UUID) -> NodeNews:
    """Note a sign of life, and answer it. A database crash may forget this transaction. Raises NotFoundError."""
    return _news(await session.row("beat", node_id=node_id), node_id)


async def changed_presence(session: Session, kind: str, *, seen_within: float) -> list[Presence]:
    """Nodes that have gone or come back since that was last told as conditions of this kind."""
    rows = await session.rows("changed_presence", kind=kind, node_not_seen=timedelta(seconds=seen_within))
    return [Presence(**row) for row in rows]


async def raise_change_no(session: Session, node_id: UUID) -> None:
    await session.rows("raise_change_no", node_id=node_id)


async def change_nos(session: Session, node_ids: list[UUID]) -> dict[UUID, int]:
    return {row["id"]: row["change_no"] for row in await session.rows("change_nos", node_ids=node_ids)}


async def see(session: Session, node_id: UUID) -> None:
    await session.rows("see_node", node_id=node_id)


async def add(session: Session, node_id: UUID, name: str, *, capacity: int, version: str) -> bool:
    """False when the name is taken."""
    row = await session.row("add_node", node_id=node_id, name=name, capacity=capacity, version=version)
    return row is not None


async def is_name_taken(session: Session, name: str, *, but_by: UUID | None = None) -> bool:
    return await session.row("other_of_name", name=name, node_id=but_by) is not None


async def fence(session: Session, node_id: UUID, *, version: str) -> int:
    """Begin a run that no agent has: those of earlier ones are refused."""
    row = await session.row("fence_node", node_id=node_id, version=version)
    if row is None:
        raise NotFoundError("node", node_id)
    return int(row["node_run"])


async def description(session: Session, node_id: UUID) -> Description:
    """Raises NotFoundError."""
    table = tables.Node
    for row in await session.run(
        table.select(table.name, table.location, table.tags, table.site_zone).where(table.id == node_id)
    ):
        return Description(row["name"], row["location"], tuple(row["tags"]), row["site_zone"])
    raise NotFoundError("node", node_id)


async def describe(session: Session, node_id: UUID, to: Description) -> None:
    await session.rows(
        "describe_node",
        node_id=node_id,
        name=to.name,
        location=to.location,
        tags=list(to.tags),
        site_zone=to.site_zone,
    )


async def drain(session: Session, node_id: UUID, *, is_draining: bool) -> None:
    await session.rows("drain_node", node_id=node_id, is_draining=is_draining)


async def owed(session: Session, node_id: UUID) -> int:
    """How many of its recordings have not ended."""
    row = await session.row("owed_of_node", node_id=node_id)
    return 0 if row is None else int(row["jobs"])


async def remove(session: Session, node_id: UUID) -> None:
    """From all lists; its recordings stay, and pages hear that nothing is to be looked after here any more."""
    for row in await session.rows("remove_node", node_id=node_id):
        await session.rows("tell_health_event", id=row["id"])


async def acknowledge(session: Session, node_id: UUID) -> int:
    """What is said of the node itself is known; how much that was."""
    rows = await session.rows("acknowledge_node", node_id=node_id)
    for row in rows:
        await session.rows("tell_health_event", id=row["id"])
    return len(rows)


async def trend(session: Session, node_id: UUID) -> list[HourOfHealth]:
    """The last 24 hours, oldest first."""
    return [HourOfHealth(**row) for row in await session.rows("node_trend", node_id=node_id)]


async def begin_run(session: Session, node_id: UUID, *, previous_run: int, version: str) -> int:
    row = await session.row("begin_run", node_id=node_id, previous_run=previous_run, version=version)
    if row is None:
        raise NotFoundError("node", node_id)
    return int(row["node_run"])


async def run_of_request(session: Session, node_id: UUID, request_id: UUID) -> int | None:
    """The run that this request began; None when it was never heard."""
    row = await session.row("run_of_request", node_id=node_id, request_id=request_id)
    return None if row is None else int(row["node_run"])


async def keep_run_request(session: Session, node_id: UUID, request_id: UUID, *, node_run: int) -> None:
    await session.rows("keep_run_request", node_id=node_id, request_id=request_id, node_run=node_run)


async def move_leases(session: Session, node_id: UUID, *, node_run: int, lease: float) -> None:
    await session.rows("move_leases", node_id=node_id, node_run=node_run, lease=timedelta(seconds=lease))


async def keep_inventory(session: Session, node_id: UUID, inventory: Inventory) -> None:
    await session.rows(
        "keep_inventory",
        node_id=node_id,
        version=inventory.version,
        spool_free_bytes=inventory.spool_free_bytes,
        spool_total_bytes=inventory.spool_total_bytes,
        spools=[spool.model_dump(mode="json") for spool in inventory.spools],
        disk_seconds_left=inventory.disk_seconds_left,
        utc_ns=inventory.utc_ns,
    )
    await session.rows("mark_interfaces_absent", node_id=node_id)
    for interface in inventory.interfaces:
        await _keep_interface(session, node_id, interface)


async def set_capacity(session: Session, node_id: UUID, capacity: int) -> None:
    table = tables.Node
    await session.run(table.update({table.capacity: capacity}).where(table.id == node_id))


async def set_minimum_bytes(session: Session, node_id: UUID, minimum_bytes: int | None) -> None:
    table = tables.Node
    await session.run(table.update({table.minimum_bytes: minimum_bytes}).where(table.id == node_id))


async def arm(session: Session, node_id: UUID, ref: InterfaceRef, preroll_seconds: int) -> bool:
    """0 disarms. False when the node has no such interface."""
    row = await session.row(
        "arm_interface", node_id=node_id, backend=ref.backend, name=ref.name, preroll_seconds=preroll_seconds
    )
    return row is not None


async def set_capture(session: Session, node_id: UUID, ref: InterfaceRef, capture: CaptureFormat | None) -> None:
    await session.rows(
        "set_capture",
        node_id=node_id,
        backend=ref.backend,
        name=ref.name,
        capture=None if capture is None else capture.model_dump(mode="json"),
    )


async def name_interface(
    session: Session, node_id: UUID, ref: InterfaceRef, *, given_label: str | None, channel_labels: list[str]
) -> bool:
    """False when the node has no such interface."""
    row = await session.row(
        "name_interface",
        node_id=node_id,
        backend=ref.backend,
        name=ref.name,
        given_label=given_label,
        channel_labels=channel_labels,
    )
    return row is not None


async def enable(session: Session, node_id: UUID, ref: InterfaceRef, *, is_enabled: bool) -> bool:
    """False when the node has no such interface."""
    row = await session.row(
        "enable_interface", node_id=node_id, backend=ref.backend, name=ref.name, is_enabled=is_enabled
    )
    return row is not None


async def prefer(session: Session, node_id: UUID, ref: InterfaceRef) -> bool:
    """False when the node has no such interface."""
    await session.rows("prefer_no_interface", node_id=node_id)
    return await session.row("prefer_interface", node_id=node_id, backend=ref.backend, name=ref.name) is not None


async def tell(session: Session, node_id: UUID) -> None:
    """Pages that show it hear of it once the transaction commits."""
    await session.rows("tell_node", id=node_id)


async def _nodes(session: Session, node_id: UUID | None, *, scope: Scope, seen_within: float) -> list[Node]:
    rows = await session.rows("nodes", node_id=node_id, scope=scope.sql, seen_within=timedelta(seconds=seen_within))
    return [_node(row) for row in rows]


async def _keep_interface(session: Session, node_id: UUID, report: InterfaceReport) -> None:
    await session.rows(
        "keep_interface",
        id=new_id(),
        node_id=node_id,
        backend=report.backend,
        name=report.name,
        label=report.label,
        max_channels=report.max_channels,
        sample_rates_hz=report.sample_rates_hz,
        sample_types=report.sample_types,
        default_capture=report.default_capture.model_dump(mode="json"),
    )


def _news(row: Row | None, node_id: UUID) -> NodeNews:
    if row is None:
        raise NotFoundError("node", node_id)
    return NodeNews(
        row["node_run"],
        row["change_no"],
        [InterfaceRef(**ref) for ref in row["watched"]],
        [ArmedInterface(**armed) for armed in row["armed"]],
        row["is_token_due"],
    )


def _node(row: Row) -> Node:
    values = {name: value for name, value in row.items() if name != "removed_at"}
    return Node(**{**values, "spools": [SpoolReport.model_validate(spool) for spool in row["spools"]]})


def _interface(row: Row) -> Interface:
    chosen = row["chosen_capture"]
    return Interface(
        id=row["id"],
        node_id=row["node_id"],
        ref=InterfaceRef(backend=row["backend"], name=row["name"]),
        device_label=row["label"],
        given_label=row["given_label"],
        channel_labels=row["channel_labels"],
        max_channels=row["max_channels"],
        sample_rates_hz=row["sample_rates_hz"],
        sample_types=row["sample_types"],
        default_capture=CaptureFormat(**row["default_capture"]),
        chosen_capture=None if chosen is None else CaptureFormat(**chosen),
        is_preferred=row["is_preferred"],
        is_present=row["is_present"],
        is_enabled=row["is_enabled"],
        preroll_seconds=row["preroll_seconds"],
    )
