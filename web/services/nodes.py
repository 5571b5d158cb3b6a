"""Nodes start and say what they have; people set what they may do."""

from uuid import UUID

from protocol.messages import (
    CaptureFormat,
    InterfaceRef,
    Inventory,
    RunAnswer,
    RunRequest,
)
from web.domain.access import Actor, NodeActor, Permission
from web.domain.errors import InvalidError, NotFoundError
from web.domain.health import Finding
from web.domain.leases import require_run
from web.domain.nodes import MINIMUM_BYTES_LIMIT, PREROLL_LIMIT_SECONDS, Interface
from web.domain.states import Severity
from web.store import health_events, jobs, nodes
from web.store.database import Database, Session


async def begin_run(db: Database, request: RunRequest, *, node: NodeActor) -> RunAnswer:
    """A new run of the node's agent: older runs are refused from now on, live leases move to this one.

    The same request id is the same run. Raises NodeRunSupersededError when a newer one has begun since.
    """
    async with db.transaction() as session:
        current_run = (await nodes.lock(session, node.node_id)).node_run
        node_run = await _run_that_began(session, node.node_id, request)
        if node_run is None:
            node_run = await _next_run(session, node.node_id, request, current_run)
        else:
            require_run(node_run, current_run)
        await nodes.see(session, node.node_id)
        await nodes.move_leases(session, node.node_id, node_run=node_run, lease=db.timeouts.lease)
        await nodes.tell(session, node.node_id)
        armed = (await nodes.news(session, node.node_id)).armed
        return RunAnswer(node_run=node_run, jobs=await jobs.leased_of(session, node.node_id), armed=armed)


async def update_inventory(db: Database, inventory: Inventory, *, node: NodeActor) -> None:
    """Keep what the node has; an interface that is no longer listed is marked absent. Raises NodeRunSupersededError."""
    async with db.transaction() as session:
        require_run(inventory.node_run, (await nodes.lock(session, node.node_id)).node_run)
        await nodes.keep_inventory(session, node.node_id, inventory)
        await nodes.see(session, node.node_id)
        await nodes.tell(session, node.node_id)


async def set_capacity(db: Database, node_id: UUID, capacity: int, *, by: Actor) -> None:
    """How many recordings may capture at once on this node, 1 to 64."""
    if not 1 <= capacity <= 64:
        raise InvalidError("A node may capture 1 to 64 recordings at once.", field="capacity")
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        await nodes.set_capacity(session, node_id, capacity)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_capture_format(
    db: Database, node_id: UUID, interface: InterfaceRef, capture: CaptureFormat | None, *, by: Actor
) -> None:
    """The format from the next take on; None follows the default. Raises InvalidError for what it cannot do."""
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        found = [one for one in await nodes.interfaces_of(session, node_id, scope=by.nodes) if one.ref == interface]
        if not found:
            raise NotFoundError("interface", interface.name)
        if capture is not None:
            _require_able(found[0], capture)
        await nodes.set_capture(session, node_id, interface, capture)
        if found[0].is_armed:
            await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_minimum_bytes(db: Database, node_id: UUID, minimum_bytes: int | None, *, by: Actor) -> None:
    """The least audio of a recording of this node whose profile does not say; None takes the default."""
    if minimum_bytes is not None and not 0 <= minimum_bytes <= MINIMUM_BYTES_LIMIT:
        raise InvalidError(f"Give 0 to {MINIMUM_BYTES_LIMIT} bytes, or nothing for the default.", field="minimum_bytes")
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        await nodes.set_minimum_bytes(session, node_id, minimum_bytes)
        await nodes.tell(session, node_id)


async def arm_interface(
    db: Database, node_id: UUID, interface: InterfaceRef, preroll_seconds: int, *, by: Actor
) -> None:
    """Keep the last seconds of an interface although nobody records it, so that a start can reach back; 0 ends it."""
    if not 0 <= preroll_seconds <= PREROLL_LIMIT_SECONDS:
        raise InvalidError(
            f"An interface can keep up to {PREROLL_LIMIT_SECONDS} seconds; 0 keeps nothing.", field="preroll_seconds"
        )
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        if not await nodes.arm(session, node_id, interface, preroll_seconds):
            raise NotFoundError("interface", interface.name)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def prefer_interface(db: Database, node_id: UUID, interface: InterfaceRef, *, by: Actor) -> None:
    """The interface that is taken when a start names none."""
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        if not await nodes.prefer(session, node_id, interface):
            raise NotFoundError("interface", interface.name)
        await nodes.tell(session, node_id)


async def _run_that_began(session: Session, node_id: UUID, request: RunRequest) -> int | None:
    if request.request_id is None:
        return None
    return await nodes.run_of_request(session, node_id, request.request_id)


async def _next_run(session: Session, node_id: UUID, request: RunRequest, current_run: int) -> int:
    node_run = await nodes.begin_run(session, node_id, previous_run=request.previous_run, version=request.version)
    if request.request_id is not None:
        await nodes.keep_run_request(session, node_id, request.request_id, node_run=node_run)
    if current_run > request.previous_run:
        await health_events.add(session, _unknown_run(current_run), node_id=node_id, job_id=None)
    return node_run


async def _require_manage(session: Session, node_id: UUID, by: Actor) -> None:
    by.require(Permission.NODE_EDIT)
    if not by.scope(Permission.NODE_EDIT).covers(node_id):
        raise NotFoundError("node", node_id)
    await nodes.lock(session, node_id)


def _require_able(interface: Interface, capture: CaptureFormat) -> None:
    if capture.channels > interface.max_channels:
        raise InvalidError(f"“{interface.label}” has {interface.max_channels} channels.", field="channels")
    if capture.sample_rate_hz not in interface.sample_rates_hz:
        rates = ", ".join(str(rate) for rate in interface.sample_rates_hz)
        raise InvalidError(f"“{interface.label}” does {rates} Hz.", field="sample_rate_hz")
    if capture.sample_type not in interface.sample_types:
        raise InvalidError(f"“{interface.label}” does {', '.join(interface.sample_types)}.", field="sample_type")


def _unknown_run(node_run: int) -> Finding:
    return Finding(
        "unknown_run",
        Severity.WARNING,
        f"Run {node_run} of this node is unknown to the agent that has just started: an answer was lost, or a copy of "
        "the node's folder runs elsewhere. If it does, end it there.",
    )
