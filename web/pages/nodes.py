"""Nodes: what they have, hear and do, and the few things that people set."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from protocol.messages import CaptureFormat
from web.domain.access import Permission
from web.domain.errors import ChangedMeanwhileError, ConflictError, InvalidError, NotFoundError
from web.domain.nodes import MINIMUM_BYTES, Interface
from web.domain.standing import NodeCard
from web.forms import Form, faults_of, read_form
from web.pages.page import controller_of
from web.pages.saved import saved, seen_in
from web.rendering import render, see_other
from web.services.recorders import joining, node_life, nodes, standing
from web.store import health_events, job_cards
from web.store import nodes as stored_nodes

_ROWS = 10
_DIGITS = 12
_STATES: dict[str, tuple[str, Callable[[NodeCard], bool]]] = {
    "online": ("Online", lambda card: card.node.is_seen),
    "away": ("Not seen", lambda card: not card.node.is_seen),
    "recording": ("Recording", lambda card: bool(card.busy)),
    "draining": ("Draining", lambda card: card.node.is_draining),
}
"""What the list can be narrowed to."""


async def index(request: Request) -> Response:
    request.user.require(Permission.NODE_READ)
    cards = await standing.node_cards(controller_of(request).db, by=request.user)
    text, state, group = (request.query_params.get(key, "").strip() for key in ("q", "state", "group"))
    state = state if state in _STATES else ""
    context = {
        "here": "nodes.index",
        "total": len(cards),
        "seen": sum(card.node.is_seen for card in cards),
        "cards": [card for card in cards if _matches(card, text, state, group)],
        "groups": sorted({name for card in cards for name in card.node.groups}),
        "states": {state: label for state, (label, _) in _STATES.items()},
        "text": text,
        "state": state,
        "group": group,
    }
    return render(request, "pages/nodes/index.html", context)


async def card(request: Request) -> Response:
    """One card of the list, as a fragment."""
    return render(request, "partials/_node_card.html", {"card": await _card(request)})


async def show(request: Request) -> Response:
    return await _node(request)


async def head(request: Request) -> Response:
    """How the node is just now, as a fragment."""
    return render(request, "partials/_node_head.html", {"card": await _card(request)})


async def work(request: Request) -> Response:
    """Its newest jobs and events, as a fragment. Of a node that is not to be seen there is none."""
    await _card(request)
    return render(request, "partials/_node_work.html", await _work(request))


async def tokens(request: Request) -> Response:
    """What its agent signs in with, as a fragment."""
    card = await _card(request)
    return render(request, "partials/_node_tokens.html", {"card": card, **(await _tokens(request))})


async def describe(request: Request) -> Response:
    sent = await read_form(request)
    typed = {name: sent.get(name) for name in ("name", "location", "tags", "site_zone")}
    try:
        await nodes.describe(
            controller_of(request).db,
            _id(request),
            name=typed["name"],
            location=typed["location"],
            tags=typed["tags"].split(","),
            site_zone=typed["site_zone"],
            seen=seen_in(sent),
            by=request.user,
        )
    except ChangedMeanwhileError as refused:
        return await _node(request, typed=typed, conflict=str(refused))
    except (InvalidError, ConflictError) as refused:
        return await _node(request, {getattr(refused, "field", None) or "name": str(refused)}, typed)
    return _done(request)


async def name_interface(request: Request) -> Response:
    """An empty label goes back to what the device calls itself."""
    sent, interface = await read_form(request), await _interface(request)
    channels = [sent.get(f"channel-{index}") for index in range(interface.max_channels)]
    try:
        await nodes.name_interface(
            controller_of(request).db, _id(request), interface.ref, sent.get("label"), channels, by=request.user
        )
    except InvalidError as refused:
        faults = {refused.field or "label": str(refused)}
        return await _node(request, _named(interface, faults), _named(interface, dict(sent.fields)))
    return _done(request)


async def enable_interface(request: Request) -> Response:
    sent, interface = await read_form(request), await _interface(request)
    await nodes.enable_interface(
        controller_of(request).db, _id(request), interface.ref, sent.has("enabled", "yes"), by=request.user
    )
    return _done(request)


async def drain(request: Request) -> Response:
    act = node_life.drain if (await read_form(request)).has("draining", "yes") else node_life.end_drain
    await act(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def acknowledge(request: Request) -> Response:
    await node_life.acknowledge(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def rotate_token(request: Request) -> Response:
    await joining.ask_for_rotation(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def revoke_form(request: Request) -> Response:
    """Asks once more; also fits a dialog."""
    return await _ask(request, "revoke", Permission.NODE_CONTROL)


async def revoke_tokens(request: Request) -> Response:
    await joining.revoke_tokens(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def remove_form(request: Request) -> Response:
    """Asks once more, or says what stands in the way; also fits a dialog."""
    return await _ask(request, "remove", Permission.NODE_DELETE)


async def remove(request: Request) -> Response:
    await node_life.remove(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "nodes.index")


async def set_capacity(request: Request) -> Response:
    text = (await read_form(request)).get("capacity")
    try:
        await nodes.set_capacity(controller_of(request).db, _id(request), _number(text), by=request.user)
    except InvalidError as refused:
        return await _node(request, {"capacity": str(refused)}, {"capacity": text})
    return _done(request)


async def set_capture_format(request: Request) -> Response:
    """An empty form goes back to the default."""
    sent, interface = await read_form(request), await _interface(request)
    try:
        capture = None if sent.has("follow", "default") else _capture(sent)
        await nodes.set_capture_format(controller_of(request).db, _id(request), interface.ref, capture, by=request.user)
    except ValidationError as refused:
        return await _node(request, _named(interface, faults_of(refused)), _named(interface, dict(sent.fields)))
    except InvalidError as refused:
        faults = {refused.field or "": str(refused)}
        return await _node(request, _named(interface, faults), _named(interface, dict(sent.fields)))
    return _done(request)


async def set_minimum(request: Request) -> Response:
    """An empty field goes back to the default."""
    text = (await read_form(request)).get("minimum_bytes")
    try:
        minimum_bytes = _number(text) if text else None
        await nodes.set_minimum_bytes(controller_of(request).db, _id(request), minimum_bytes, by=request.user)
    except InvalidError as refused:
        return await _node(request, {"minimum_bytes": str(refused)}, {"minimum_bytes": text})
    return _done(request)


async def arm(request: Request) -> Response:
    sent, interface = await read_form(request), await _interface(request)
    text = "0" if sent.has("disarm", "yes") else sent.get("preroll_seconds")
    try:
        await nodes.arm_interface(
            controller_of(request).db, _id(request), interface.ref, _number(text), by=request.user
        )
    except InvalidError as refused:
        named = _named(interface, {"preroll_seconds": str(refused)})
        return await _node(request, named, _named(interface, {"preroll_seconds": text}))
    return _done(request)


async def prefer(request: Request) -> Response:
    interface = await _interface(request)
    await nodes.prefer_interface(controller_of(request).db, _id(request), interface.ref, by=request.user)
    return _done(request)


async def _node(
    request: Request,
    faults: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    conflict: str | None = None,
) -> Response:
    request.user.require(Permission.NODE_READ)
    told = await saved(request, "nodes.show", _id(request), node_id=_id(request))
    card = await _card(request)
    context = {
        "here": "nodes.index",
        "card": card,
        "usual_minimum_bytes": MINIMUM_BYTES,
        "may_edit": request.user.may(Permission.NODE_EDIT, card.node),
        "zones": sorted(available_timezones()),
        "faults": faults or {},
        "typed": typed or {},
        "saved": told,
        "conflict": conflict,
        **(await _work(request)),
        **(await _tokens(request)),
    }
    usual = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    status = HTTPStatus.CONFLICT if conflict else usual
    return render(request, "pages/nodes/show.html", context, fragment="saved", status=status)


async def _card(request: Request) -> NodeCard:
    request.user.require(Permission.NODE_READ)
    return await standing.node_card(controller_of(request).db, _id(request), by=request.user)


async def _work(request: Request) -> dict[str, Any]:
    request.user.require(Permission.NODE_READ)
    db, by, node_id = controller_of(request).db, request.user, _id(request)
    return {
        "node_id": node_id,
        "trend": await stored_nodes.trend(db, node_id) if by.scope(Permission.HEALTH_READ).covers(node_id) else [],
        "jobs": await job_cards.latest(db, scope=by.recordings, nodes=by.nodes, node_id=node_id, limit=_ROWS),
        "events": await health_events.latest(db, scope=by.scope(Permission.HEALTH_READ), node_id=node_id, limit=_ROWS),
    }


async def _tokens(request: Request) -> dict[str, Any]:
    """Nothing for who may not act on them."""
    by, node_id = request.user, _id(request)
    if not by.scope(Permission.NODE_CONTROL).covers(node_id):
        return {"tokens": None, "certificates": None}
    db = controller_of(request).db
    return {
        "tokens": await joining.tokens_of(db, node_id, by=by),
        "certificates": await joining.certificates_of(db, node_id, by=by),
    }


async def _ask(request: Request, act: str, permission: Permission) -> Response:
    card = await _card(request)
    request.user.require(permission, card.node)
    owed = await stored_nodes.owed(controller_of(request).db, card.node.id)
    context = {"here": "nodes.index", "card": card, "act": act, "owed": owed}
    return render(request, "pages/nodes/confirm.html", context, fragment="form")


def _matches(card: NodeCard, text: str, state: str, group: str) -> bool:
    node = card.node
    words = " ".join([node.name, node.location, *node.tags, *(one.label for one in card.interfaces)]).casefold()
    return text.casefold() in words and (not state or _STATES[state][1](card)) and (not group or group in node.groups)


async def _interface(request: Request) -> Interface:
    interface_id: UUID = request.path_params["interface_id"]
    all_of_node = await stored_nodes.interfaces_of(controller_of(request).db, _id(request), scope=request.user.nodes)
    for interface in all_of_node:
        if interface.id == interface_id:
            return interface
    raise NotFoundError("interface", interface_id)


def _number(text: str) -> int:
    """Below every limit for what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else -1


def _capture(sent: Form) -> CaptureFormat:
    """Raises ValidationError."""
    return CaptureFormat.model_validate(
        {name: sent.get(name) for name in ("channels", "sample_rate_hz", "sample_type")}
    )


def _named(interface: Interface, texts: dict[str, str]) -> dict[str, str]:
    """By the ids of the fields of this interface, of which the page has several."""
    return {f"{name}-{interface.id}" if name else "": text for name, text in texts.items()}


def _done(request: Request) -> Response:
    return see_other(request, "nodes.show", node_id=_id(request))


def _id(request: Request) -> UUID:
    node_id: UUID = request.path_params["node_id"]
    return node_id
