"""Nodes start and say what they have; people set what they may do."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from uuid import UUID

from protocol.messages import (
    CaptureFormat,
    InterfaceRef,
    Inventory,
    RunAnswer,
    RunRequest,
)
from web.domain.access import Actor, NodeActor, Permission
from web.domain.audit import Object
from web.domain.errors import ConflictError, InvalidError, NotFoundError
from web.domain.health import Finding
from web.domain.leases import require_run
from web.domain.nodes import (
    MINIMUM_BYTES_LIMIT,
    PREROLL_LIMIT_SECONDS,
    Interface,
    checked_channel_labels,
    checked_description,
    checked_label,
)
from web.domain.states import Severity
from web.services.auditing import audit
from web.store import health_events, jobs, nodes
from web.store.database import Database, Session
from web.store.nodes import LockedNode


async def begin_run(db: Database, request: RunRequest, *, node: NodeActor) -> RunAnswer:
    """A new run of the node's agent: older runs are refused from now on, live leases move to this one.

    The same request id is the same run. Raises NodeRunSupersededError when a newer one has begun since.
    """
    async with db.transaction() as session:
        current_run = (await nodes.lock(session, node.node_id)).node_run
        node_run = await _run_that_began(session, node.node_id, request)
        if node_run is None:
            node_run = await _next_run(session, node, request, current_run)
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
        locked = await _require_manage(session, node_id, by)
        await nodes.set_capacity(session, node_id, capacity)
        await _note_edit(session, by, locked, {"capacity": locked.capacity}, {"capacity": capacity})
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_capture_format(
    db: Database, node_id: UUID, interface: InterfaceRef, capture: CaptureFormat | None, *, by: Actor
) -> None:
    """The format from the next take on; None follows the default. Raises InvalidError for what it cannot do."""
    async with db.transaction() as session:
        locked = await _require_manage(session, node_id, by)
        found = await _interface(session, node_id, interface, by)
        if capture is not None:
            _require_able(found, capture)
        await nodes.set_capture(session, node_id, interface, capture)
        key = f"{interface.name}: capture format"
        await _note_edit(session, by, locked, {key: found.chosen_capture}, {key: capture})
        if found.is_armed:
            await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_minimum_bytes(db: Database, node_id: UUID, minimum_bytes: int | None, *, by: Actor) -> None:
    """The least audio of a recording of this node whose profile does not say; None takes the default."""
    if minimum_bytes is not None and not 0 <= minimum_bytes <= MINIMUM_BYTES_LIMIT:
        raise InvalidError(f"Give 0 to {MINIMUM_BYTES_LIMIT} bytes, or nothing for the default.", field="minimum_bytes")
    async with db.transaction() as session:
        locked = await _require_manage(session, node_id, by)
        node = await nodes.get(session, node_id, scope=by.nodes, seen_within=db.timeouts.node_not_seen)
        await nodes.set_minimum_bytes(session, node_id, minimum_bytes)
        before, after = {"minimum_bytes": node.minimum_bytes}, {"minimum_bytes": minimum_bytes}
        await _note_edit(session, by, locked, before, after)
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
        locked = await _require_manage(session, node_id, by)
        found = await _interface(session, node_id, interface, by)
        await nodes.arm(session, node_id, interface, preroll_seconds)
        key = f"{interface.name}: seconds kept before a start"
        await _note_edit(session, by, locked, {key: found.preroll_seconds}, {key: preroll_seconds})
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def prefer_interface(db: Database, node_id: UUID, interface: InterfaceRef, *, by: Actor) -> None:
    """The interface that is taken when a start names none."""
    async with db.transaction() as session:
        locked = await _require_manage(session, node_id, by)
        all_of_node = await nodes.interfaces_of(session, node_id, scope=by.nodes)
        if not (await _interface(session, node_id, interface, by)).is_enabled:
            raise InvalidError("This input is switched off; switch it on first.", field="interface")
        await nodes.prefer(session, node_id, interface)
        preferred = next((one.ref.name for one in all_of_node if one.is_preferred), None)
        await _note_edit(session, by, locked, {"preferred input": preferred}, {"preferred input": interface.name})
        await nodes.tell(session, node_id)


async def describe(
    db: Database,
    node_id: UUID,
    *,
    name: str | None = None,
    location: str | None = None,
    tags: Sequence[str] | None = None,
    site_zone: str | None = None,
    seen: int | None = None,
    by: Actor,
) -> None:
    """What people call a node, where it is, what it is for, and the IANA zone of its site; None leaves a field.

    `seen` is the newest entry of the audit that `by` knows of it. Raises ChangedMeanwhileError when it was described
    anew behind that, InvalidError, ConflictError when the name is taken.
    """
    changes = checked_description(name=name, location=location, tags=tags, site_zone=site_zone)
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        before = await nodes.description(session, node_id)
        await audit.require_unchanged(session, "node.describe", Object("node", node_id, before.name), seen=seen)
        after = replace(before, **changes)
        if await nodes.is_name_taken(session, after.name, but_by=node_id):
            raise ConflictError(f"There is a node “{after.name}” already; choose another name.")
        if after != before:
            await nodes.describe(session, node_id, after)
            of = Object("node", node_id, after.name)
            await audit.note(session, by, "node.describe", of, before=asdict(before), after=asdict(after))
            await nodes.tell(session, node_id)


async def name_interface(
    db: Database, node_id: UUID, interface: InterfaceRef, label: str, channel_labels: Sequence[str], *, by: Actor
) -> None:
    """What people call an input and its channels, from the first on; empty goes back to the device's own.

    It stays when the device is gone. Raises InvalidError, NotFoundError.
    """
    given, channels = checked_label(label, "label"), checked_channel_labels(channel_labels)
    async with db.transaction() as session:
        locked = await _require_manage(session, node_id, by)
        found = await _interface(session, node_id, interface, by)
        await nodes.name_interface(session, node_id, interface, given_label=given or None, channel_labels=channels)
        before = {"label": found.given_label or "", "channels": found.channel_labels}
        after = {"interface": interface.name, "label": given, "channels": channels}
        of = Object("node", node_id, locked.name)
        await audit.note(session, by, "node.name_interface", of, before=before, after=after)
        await nodes.tell(session, node_id)


async def enable_interface(
    db: Database, node_id: UUID, interface: InterfaceRef, is_enabled: bool, *, by: Actor
) -> None:
    """Whether recordings may be started on an input, and it may be armed. What runs there goes on."""
    async with db.transaction() as session:
        locked = await _require_manage(session, node_id, by)
        if not await nodes.enable(session, node_id, interface, is_enabled=is_enabled):
            raise NotFoundError("interface", interface.name)
        act = "node.enable_interface" if is_enabled else "node.disable_interface"
        after = {"interface": interface.name}
        await audit.note(session, by, act, Object("node", node_id, locked.name), after=after)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def _interface(session: Session, node_id: UUID, interface: InterfaceRef, by: Actor) -> Interface:
    for one in await nodes.interfaces_of(session, node_id, scope=by.nodes):
        if one.ref == interface:
            return one
    raise NotFoundError("interface", interface.name)


async def _run_that_began(session: Session, node_id: UUID, request: RunRequest) -> int | None:
    if request.request_id is None:
        return None
    return await nodes.run_of_request(session, node_id, request.request_id)


async def _next_run(session: Session, node: NodeActor, request: RunRequest, current_run: int) -> int:
    node_id = node.node_id
    node_run = await nodes.begin_run(session, node_id, previous_run=request.previous_run, version=request.version)
    if request.request_id is not None:
        await nodes.keep_run_request(session, node_id, request.request_id, node_run=node_run)
    of = Object("node", node.node_id, node.name)
    after = {"run": node_run, "version": request.version}
    await audit.note(session, node, "node.begin_run", of, before={"run": current_run}, after=after)
    if current_run > request.previous_run:
        await health_events.add(session, _unknown_run(current_run), node_id=node_id, job_id=None)
    return node_run


async def _require_manage(session: Session, node_id: UUID, by: Actor) -> LockedNode:
    """Raises NotFoundError, ForbiddenError."""
    by.require(Permission.NODE_EDIT)
    locked = await nodes.lock(session, node_id)
    by.require(Permission.NODE_EDIT, locked)
    return locked


async def _note_edit(
    session: Session, by: Actor, node: LockedNode, before: Mapping[str, object], after: Mapping[str, object]
) -> None:
    await audit.note(session, by, "node.edit", Object("node", node.id, node.name), before=before, after=after)


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
