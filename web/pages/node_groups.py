"""Node groups: made, filled, renamed and removed on one page."""

from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ConflictError, InvalidError
from web.forms import read_form
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.recorders import node_groups
from web.store import nodes as stored_nodes


async def index(request: Request) -> Response:
    return await _index(request)


async def create(request: Request) -> Response:
    text = (await read_form(request)).get("name")
    try:
        await node_groups.create(controller_of(request).db, text, by=request.user)
    except (InvalidError, ConflictError) as refused:
        return await _index(request, {"name": str(refused)}, {"name": text})
    return see_other(request, "node_groups.index")


async def change(request: Request) -> Response:
    """Its name and its members: the boxes that are ticked."""
    sent, group_id = await read_form(request), _id(request)
    node_ids = {node_id for text in sent.all("node") if (node_id := _uuid(text)) is not None}
    try:
        await node_groups.change(
            controller_of(request).db, group_id, name=sent.get("name"), node_ids=node_ids, by=request.user
        )
    except (InvalidError, ConflictError) as refused:
        key = f"name-{group_id}"
        return await _index(request, {key: str(refused)}, {key: sent.get("name")})
    return see_other(request, "node_groups.index")


async def remove(request: Request) -> Response:
    try:
        await node_groups.remove(controller_of(request).db, _id(request), by=request.user)
    except ConflictError as refused:
        return await _index(request, {f"name-{_id(request)}": str(refused)})
    return see_other(request, "node_groups.index")


async def _index(
    request: Request, faults: dict[str, str] | None = None, typed: dict[str, str] | None = None
) -> Response:
    by, db = request.user, controller_of(request).db
    context = {
        "here": "nodes.index",
        "groups": await node_groups.all_groups(db, by=by),
        "nodes": await stored_nodes.by_name(db, scope=by.nodes, seen_within=db.timeouts.node_not_seen),
        "may_edit": by.scope(Permission.NODE_EDIT).everything,
        "may_give_rights": by.scope(Permission.USER_EDIT).everything,
        "faults": faults or {},
        "typed": typed or {},
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/node_groups/index.html", context, status=status)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _id(request: Request) -> UUID:
    group_id: UUID = request.path_params["group_id"]
    return group_id
