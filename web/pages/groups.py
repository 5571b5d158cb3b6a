"""Groups of people."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ChangedMeanwhileError, InvalidError, LastAdministratorError
from web.domain.grants import Group, Holder
from web.forms import read_form
from web.pages import grants as grant_pages
from web.pages.page import controller_of
from web.pages.saved import saved
from web.rendering import render, see_other
from web.services.access import grants, groups, people


async def index(request: Request) -> Response:
    return await _list(request)


async def make(request: Request) -> Response:
    name = (await read_form(request)).get("name")
    try:
        made = await groups.make(controller_of(request).db, name, by=request.user)
    except InvalidError as refused:
        return await _list(request, {refused.field or "": str(refused)}, name)
    return see_other(request, "groups.show", group_id=made.id)


async def show(request: Request) -> Response:
    return await _page(request)


async def rename(request: Request) -> Response:
    sent = await read_form(request)
    try:
        await groups.rename(
            controller_of(request).db, _id(request), sent.get("name"), was=sent.get("was"), by=request.user
        )
    except InvalidError as refused:
        return await _page(request, faults={refused.field or "": str(refused)}, name=sent.get("name"))
    except ChangedMeanwhileError as refused:
        return await _page(request, HTTPStatus.CONFLICT, conflict=str(refused), name=sent.get("name"))
    return _done(request)


async def add_member(request: Request) -> Response:
    text = (await read_form(request)).get("user_id")
    try:
        await groups.add_member(controller_of(request).db, _id(request), _user(text), by=request.user)
    except InvalidError as refused:
        return await _page(request, faults={"user_id": str(refused)})
    return _done(request)


async def remove_form(request: Request) -> Response:
    """Asks before somebody leaves a group."""
    request.user.require_everywhere(Permission.USER_EDIT)
    return await _ask(request, request.path_params["user_id"])


async def remove_member(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    user_id: UUID = request.path_params["user_id"]
    try:
        await groups.remove_member(controller_of(request).db, _id(request), user_id, sure=True, by=request.user)
    except LastAdministratorError as refused:
        return await _ask(request, user_id, str(refused))
    return _done(request)


async def delete_form(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    return await _ask(request, None)


async def delete(request: Request) -> Response:
    try:
        await groups.delete(controller_of(request).db, _id(request), sure=True, by=request.user)
    except LastAdministratorError as refused:
        return await _ask(request, None, str(refused))
    return see_other(request, "groups.index")


async def give(request: Request) -> Response:
    """A role for all who are in it."""
    refused = await grant_pages.given(request, Holder("group", _id(request)))
    return _done(request) if refused is None else await _page(request, **refused)


async def _list(request: Request, faults: dict[str, str] | None = None, name: str = "") -> Response:
    db, by = controller_of(request).db, request.user
    found = await groups.all_groups(db, by=by)
    held = await grants.all_grants(db, by=by)
    context = {
        "here": "settings.index",
        "groups": [(group, [one for one in held if one.holder.id == group.id]) for group in found],
        "faults": faults or {},
        "name": name,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/groups/index.html", context, status=status)


async def _page(request: Request, status: HTTPStatus = HTTPStatus.OK, **more: Any) -> Response:
    told = await saved(request, "groups.show", _id(request), group_id=_id(request))
    db, by, group = controller_of(request).db, request.user, await _group(request)
    members = {user_id for user_id, _ in group.members}
    context = {
        "here": "settings.index",
        "group": group,
        "saved": told,
        "conflict": None,
        "others": [one for one in await people.all_people(db, by=by) if one.id not in members],
        "held": await grants.grants_of(db, Holder("group", group.id), by=by),
        "name": group.name,
        **await grant_pages.choices(request),
        **more,
    }
    if more.get("faults") and status is HTTPStatus.OK:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
    return render(request, "pages/groups/show.html", context, fragment="saved", status=status)


async def _ask(request: Request, user_id: UUID | None, fault: str | None = None) -> Response:
    """Whether somebody shall leave, or with None whether the group shall go."""
    db, by, group = controller_of(request).db, request.user, await _group(request)
    context = {
        "here": "settings.index",
        "group": group,
        "member": next((one for one in group.members if one[0] == user_id), None),
        "held": await grants.grants_of(db, Holder("group", group.id), by=by),
        "is_own": any(one == by.id for one, _ in group.members) and user_id in (None, by.id),
        "fault": fault,
    }
    status = HTTPStatus.CONFLICT if fault else HTTPStatus.OK
    return render(request, "pages/groups/confirm.html", context, status=status)


def _user(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as nobody:
        raise InvalidError("Choose somebody.", field="user_id") from nobody


def _done(request: Request) -> Response:
    return see_other(request, "groups.show", group_id=_id(request))


async def _group(request: Request) -> Group:
    return await groups.group(controller_of(request).db, _id(request), by=request.user)


def _id(request: Request) -> UUID:
    group_id: UUID = request.path_params["group_id"]
    return group_id
