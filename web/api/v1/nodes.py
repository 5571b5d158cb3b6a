"""Nodes: joined by a code, listed, set."""

from uuid import UUID

from protocol.messages import InterfaceRef
from web.api.endpoints import Call
from web.api.v1.models import (
    CodeAnswer,
    CodeList,
    EnrolmentCodeAnswer,
    EnrolmentCodeRequest,
    InterfaceAnswer,
    InterfaceSettings,
    NodeAnswer,
    NodeDetailAnswer,
    NodeList,
    NodeSettings,
    NodeTokenAnswer,
    NodeTokenList,
    RejoinCodeRequest,
)
from web.domain.access import Actor, Permission
from web.domain.errors import NotFoundError
from web.domain.nodes import Node
from web.services.recorders import joining, node_life, nodes
from web.store import nodes as stored_nodes
from web.store.database import Database


async def index(call: Call, by: Actor) -> NodeList:
    """List the nodes."""
    by.require(Permission.NODE_READ)
    found = await stored_nodes.by_name(
        call.controller.db, scope=by.nodes, seen_within=call.controller.timeouts.node_not_seen
    )
    return NodeList(items=[NodeAnswer.model_validate(node) for node in found])


async def show(call: Call, by: Actor, node_id: UUID) -> NodeDetailAnswer:
    """Show a node and its interfaces."""
    db, node = call.controller.db, await _node(call, by, node_id)
    by.require(Permission.NODE_READ, of=node)
    interfaces = [
        InterfaceAnswer(
            id=one.id,
            backend=one.ref.backend,
            name=one.ref.name,
            label=one.label,
            channel_labels=one.channel_labels,
            max_channels=one.max_channels,
            sample_rates_hz=one.sample_rates_hz,
            sample_types=one.sample_types,
            default_capture=one.default_capture,
            chosen_capture=one.chosen_capture,
            is_preferred=one.is_preferred,
            is_present=one.is_present,
            is_enabled=one.is_enabled,
            preroll_seconds=one.preroll_seconds,
        )
        for one in await stored_nodes.interfaces_of(db, node_id, scope=by.nodes)
    ]
    return NodeDetailAnswer(**dict(NodeAnswer.model_validate(node)), interfaces=interfaces)


async def change(call: Call, by: Actor, node_id: UUID, body: NodeSettings) -> NodeDetailAnswer:
    """Change what people say of a node, how many recordings may capture at once there, and what is too little for one.

    All of it or nothing.
    """
    given = body.model_dump(include={"name", "location", "tags", "site_zone"}, exclude_unset=True)
    async with call.controller.db.as_one() as db:
        if "capacity" in body.model_fields_set:
            await nodes.set_capacity(db, node_id, body.capacity, by=by)
        if "minimum_bytes" in body.model_fields_set:
            await nodes.set_minimum_bytes(db, node_id, body.minimum_bytes, by=by)
        if given or not body.model_fields_set:
            await nodes.describe(db, node_id, **given, by=by)
    return await show(call, by, node_id)


async def change_interface(call: Call, by: Actor, node_id: UUID, body: InterfaceSettings) -> NodeDetailAnswer:
    """Set the capture format of an interface, prefer it, arm it, name it, or keep it from being recorded.

    All of it or nothing.
    """
    interface, given = InterfaceRef(backend=body.backend, name=body.name), body.model_fields_set
    by.require(Permission.NODE_EDIT, of=await _node(call, by, node_id))
    async with call.controller.db.as_one() as db:
        if "capture" in given:
            await nodes.set_capture_format(db, node_id, interface, body.capture, by=by)
        if body.is_preferred:
            await nodes.prefer_interface(db, node_id, interface, by=by)
        if "is_enabled" in given:
            await nodes.enable_interface(db, node_id, interface, body.is_enabled, by=by)
        if "preroll_seconds" in given:
            await nodes.arm_interface(db, node_id, interface, body.preroll_seconds, by=by)
        if {"label", "channel_labels"} & given:
            await _name_interface(db, node_id, interface, body, by)
    return await show(call, by, node_id)


async def drain(call: Call, by: Actor, node_id: UUID) -> NodeDetailAnswer:
    """Let a node take on nothing new."""
    await node_life.drain(call.controller.db, node_id, by=by)
    return await show(call, by, node_id)


async def end_drain(call: Call, by: Actor, node_id: UUID) -> NodeDetailAnswer:
    """Let a node take on recordings again."""
    await node_life.end_drain(call.controller.db, node_id, by=by)
    return await show(call, by, node_id)


async def acknowledge(call: Call, by: Actor, node_id: UUID) -> NodeDetailAnswer:
    """Say that it is known what is wrong with a node."""
    await node_life.acknowledge(call.controller.db, node_id, by=by)
    return await show(call, by, node_id)


async def remove(call: Call, by: Actor, node_id: UUID) -> None:
    """Remove a node that is drained; its recordings stay."""
    await node_life.remove(call.controller.db, node_id, by=by)


async def tokens(call: Call, by: Actor, node_id: UUID) -> NodeTokenList:
    """List the tokens of a node."""
    found = await joining.tokens_of(call.controller.db, node_id, by=by)
    return NodeTokenList(items=[NodeTokenAnswer.model_validate(one) for one in found])


async def rotate_token(call: Call, by: Actor, node_id: UUID) -> None:
    """Let the agent of a node take another token as soon as it is heard."""
    await joining.ask_for_rotation(call.controller.db, node_id, by=by)


async def revoke_tokens(call: Call, by: Actor, node_id: UUID) -> None:
    """Refuse the agent of a node until it joins again; what it captures it goes on capturing."""
    await joining.revoke_tokens(call.controller.db, node_id, by=by)


async def create_enrolment_code(call: Call, by: Actor, body: EnrolmentCodeRequest) -> EnrolmentCodeAnswer:
    """Make a one-time code with which an agent joins as a node."""
    code = await joining.create_enrolment_code(call.controller.db, body.name, address_range=body.address_range, by=by)
    return EnrolmentCodeAnswer.model_validate(code)


async def create_rejoin_code(call: Call, by: Actor, node_id: UUID, body: RejoinCodeRequest) -> EnrolmentCodeAnswer:
    """Make a one-time code with which an agent joins as this node again."""
    code = await joining.create_rejoin_code(call.controller.db, node_id, address_range=body.address_range, by=by)
    return EnrolmentCodeAnswer.model_validate(code)


async def enrolment_codes(call: Call, by: Actor) -> CodeList:
    """List the codes that can still be used."""
    found = await joining.open_codes(call.controller.db, by=by)
    return CodeList(items=[CodeAnswer.model_validate(one) for one in found])


async def enrolment_code(call: Call, by: Actor, code_id: UUID) -> CodeAnswer:
    """Show how far a code is."""
    return CodeAnswer.model_validate(await joining.code_standing(call.controller.db, code_id, by=by))


async def revoke_enrolment_code(call: Call, by: Actor, code_id: UUID) -> None:
    """Let nobody join by a code any more."""
    await joining.revoke_code(call.controller.db, code_id, by=by)


async def _node(call: Call, by: Actor, node_id: UUID) -> Node:
    seen_within = call.controller.timeouts.node_not_seen
    return await stored_nodes.get(call.controller.db, node_id, scope=by.nodes, seen_within=seen_within)


async def _name_interface(
    db: Database, node_id: UUID, interface: InterfaceRef, body: InterfaceSettings, by: Actor
) -> None:
    """What is left out stays as it is."""
    found = await stored_nodes.interfaces_of(db, node_id, scope=by.nodes)
    known = next((one for one in found if one.ref == interface), None)
    if known is None:
        raise NotFoundError("interface", interface.name)
    label = body.label if "label" in body.model_fields_set else known.given_label or ""
    channels = body.channel_labels if "channel_labels" in body.model_fields_set else known.channel_labels
    await nodes.name_interface(db, node_id, interface, label, channels, by=by)
