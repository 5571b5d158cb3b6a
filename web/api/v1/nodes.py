"""Nodes: joined by a code, listed, set."""

from uuid import UUID

from protocol.messages import InterfaceRef
from web.api.endpoints import Call
from web.api.v1.models import (
    EnrolmentCodeAnswer,
    EnrolmentCodeRequest,
    InterfaceAnswer,
    InterfaceSettings,
    NodeAnswer,
    NodeDetailAnswer,
    NodeList,
    NodeSettings,
)
from web.domain.access import Actor, Permission
from web.services import joining, nodes
from web.store import nodes as stored_nodes


async def index(call: Call, by: Actor) -> NodeList:
    """List the nodes."""
    by.require(Permission.NODE_READ)
    found = await stored_nodes.by_name(
        call.controller.db, scope=by.nodes, seen_within=call.controller.timeouts.node_not_seen
    )
    return NodeList(items=[NodeAnswer.model_validate(node) for node in found])


async def show(call: Call, by: Actor, node_id: UUID) -> NodeDetailAnswer:
    """Show a node and its interfaces."""
    db = call.controller.db
    node = await stored_nodes.get(db, node_id, scope=by.nodes, seen_within=call.controller.timeouts.node_not_seen)
    by.require(Permission.NODE_READ, of=node)
    interfaces = [
        InterfaceAnswer(
            id=one.id,
            backend=one.ref.backend,
            name=one.ref.name,
            label=one.label,
            max_channels=one.max_channels,
            sample_rates_hz=one.sample_rates_hz,
            sample_types=one.sample_types,
            default_capture=one.default_capture,
            chosen_capture=one.chosen_capture,
            is_preferred=one.is_preferred,
            is_present=one.is_present,
            preroll_seconds=one.preroll_seconds,
        )
        for one in await stored_nodes.interfaces_of(db, node_id, scope=by.nodes)
    ]
    return NodeDetailAnswer(**dict(NodeAnswer.model_validate(node)), interfaces=interfaces)


async def change(call: Call, by: Actor, node_id: UUID, body: NodeSettings) -> NodeDetailAnswer:
    """Set how many recordings may capture at once on a node, and what is too little for one."""
    if "capacity" in body.model_fields_set:
        await nodes.set_capacity(call.controller.db, node_id, body.capacity, by=by)
    if "minimum_bytes" in body.model_fields_set:
        await nodes.set_minimum_bytes(call.controller.db, node_id, body.minimum_bytes, by=by)
    return await show(call, by, node_id)


async def change_interface(call: Call, by: Actor, node_id: UUID, body: InterfaceSettings) -> NodeDetailAnswer:
    """Set the capture format of an interface, prefer it, or arm it."""
    db, interface = call.controller.db, InterfaceRef(backend=body.backend, name=body.name)
    if "capture" in body.model_fields_set:
        await nodes.set_capture_format(db, node_id, interface, body.capture, by=by)
    if body.is_preferred:
        await nodes.prefer_interface(db, node_id, interface, by=by)
    if "preroll_seconds" in body.model_fields_set:
        await nodes.arm_interface(db, node_id, interface, body.preroll_seconds, by=by)
    return await show(call, by, node_id)


async def create_enrolment_code(call: Call, by: Actor, body: EnrolmentCodeRequest) -> EnrolmentCodeAnswer:
    """Make a one-time code with which an agent joins as a node."""
    code = await joining.create_enrolment_code(call.controller.db, body.name, by=by)
    return EnrolmentCodeAnswer.model_validate(code)
