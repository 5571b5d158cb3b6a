"""Roles: what each lets people do, beside each other; one's own are made here and changed with the change in view."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import EVERYTHING, Permission
from web.domain.errors import ChangedMeanwhileError, ConflictError, InvalidError
from web.domain.grants import RoleDraft, StoredRole, is_within
from web.domain.permissions import SENTENCES
from web.forms import Form, faults_of, read_form
from web.pages.page import controller_of
from web.pages.queries import identifier
from web.pages.saved import Saved, saved
from web.rendering import render, see_other
from web.services.access import roles

_FAULTS = {
    "name": "Give the role a name of up to 100 characters.",
    "permissions": "Choose at least one thing that the role lets people do.",
}


async def index(request: Request) -> Response:
    found = await roles.all_roles(controller_of(request).db, by=request.user)
    context = {"here": "settings.index", "roles": found, "nouns": _nouns(), "sentences": SENTENCES}
    return render(request, "pages/roles/index.html", context)


async def new(request: Request) -> Response:
    """An empty form, or a copy of the role `like`."""
    request.user.require_everywhere(Permission.USER_EDIT)
    like = identifier(request, "like")
    if like is None:
        return _form(request, None, {"name": "", "description": "", "permissions": frozenset()})
    copied = (await roles.role(controller_of(request).db, like, by=request.user)).role
    values = {
        "name": f"{copied.name} (copy)",
        "description": copied.description,
        "permissions": copied.permissions & _giveable(request),
    }
    return _form(request, None, values)


async def make(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    sent = await read_form(request)
    try:
        made = await roles.make(controller_of(request).db, _draft(sent), by=request.user)
    except ValidationError as refused:
        return _form(request, None, _values(sent), faults_of(refused, sentences=_FAULTS))
    except InvalidError as refused:
        return _form(request, None, _values(sent), {refused.field or "": str(refused)})
    return see_other(request, "roles.show", role_id=made.role.id)


async def show(request: Request) -> Response:
    """Its form; of a role that comes with Reelkeeper what it holds, and who has it."""
    told = await saved(request, "roles.show", _id(request), role_id=_id(request))
    stored = await _role(request)
    return await _role_page(request, stored, vars(stored.role), saved=told)


async def change(request: Request) -> Response:
    """Shows what would change, and does it once that was seen."""
    request.user.require_everywhere(Permission.USER_EDIT)
    db, sent, stored = controller_of(request).db, await read_form(request), await _role(request)
    try:
        draft = _draft(sent)
        if not sent.has("seen", "yes"):
            return await _role_page(request, stored, _values(sent), wanted=draft)
        await roles.change(db, stored.role.id, draft, version=_version(sent), by=request.user)
    except ValidationError as refused:
        return await _role_page(request, stored, _values(sent), faults_of(refused, sentences=_FAULTS))
    except InvalidError as refused:
        return await _role_page(request, stored, _values(sent), {refused.field or "": str(refused)})
    except ChangedMeanwhileError as refused:
        return await _role_page(request, await _role(request), _values(sent), wanted=draft, conflict=str(refused))
    return see_other(request, "roles.show", role_id=stored.role.id)


async def delete_form(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    return await _delete_page(request)


async def delete(request: Request) -> Response:
    try:
        await roles.delete(controller_of(request).db, _id(request), by=request.user)
    except ConflictError as refused:
        return await _delete_page(request, str(refused))
    return see_other(request, "roles.index")


async def _delete_page(request: Request, fault: str | None = None) -> Response:
    db, by = controller_of(request).db, request.user
    context = {
        "here": "settings.index",
        "stored": await _role(request),
        "uses": await roles.uses(db, _id(request), by=by),
        "fault": fault,
    }
    status = HTTPStatus.CONFLICT if fault else HTTPStatus.OK
    return render(request, "pages/roles/delete.html", context, status=status)


async def _role_page(
    request: Request,
    stored: StoredRole,
    values: dict[str, Any],
    faults: dict[str, str] | None = None,
    *,
    wanted: RoleDraft | None = None,
    conflict: str | None = None,
    saved: Saved | None = None,
) -> Response:
    """`wanted` is what would be saved, to be looked at first."""
    more = {
        "uses": await roles.uses(controller_of(request).db, stored.role.id, by=request.user),
        "wanted": wanted,
        "conflict": conflict,
        "saved": saved,
        "gained": _in_order(wanted.permissions - stored.role.permissions) if wanted else [],
        "lost": _in_order(stored.role.permissions - wanted.permissions) if wanted else [],
    }
    return _form(request, stored, values, faults, HTTPStatus.CONFLICT if conflict else None, **more)


def _form(
    request: Request,
    stored: StoredRole | None,
    values: dict[str, Any],
    faults: dict[str, str] | None = None,
    status: HTTPStatus | None = None,
    **more: Any,
) -> Response:
    context = {
        "here": "settings.index",
        "stored": stored,
        "values": values,
        "faults": faults or {},
        "nouns": _nouns(),
        "sentences": SENTENCES,
        "giveable": _giveable(request),
        "may_edit": request.user.scope(Permission.USER_EDIT).everything,
        "wanted": None,
        "conflict": None,
        "saved": None,
        **more,
    }
    usual = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/roles/show.html", context, fragment="saved", status=status or usual)


def _draft(sent: Form) -> RoleDraft:
    """Raises ValidationError."""
    return RoleDraft.model_validate(_values(sent))


def _values(sent: Form) -> dict[str, Any]:
    return {
        "name": sent.get("name"),
        "description": sent.get("description"),
        "permissions": frozenset(one for one in Permission if sent.has("permissions", one)),
    }


def _version(sent: Form) -> int:
    text = sent.get("version")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _nouns() -> dict[str, list[Permission]]:
    nouns: dict[str, list[Permission]] = {}
    for permission in Permission:
        nouns.setdefault(permission.noun, []).append(permission)
    return nouns


def _giveable(request: Request) -> frozenset[Permission]:
    """What who asks holds on everything, and so may put into a role or take out of it."""
    return frozenset(one for one in Permission if is_within(EVERYTHING, request.user.scope(one)))


def _in_order(permissions: frozenset[Permission]) -> list[Permission]:
    return [one for one in Permission if one in permissions]


async def _role(request: Request) -> StoredRole:
    return await roles.role(controller_of(request).db, _id(request), by=request.user)


def _id(request: Request) -> UUID:
    role_id: UUID = request.path_params["role_id"]
    return role_id
