"""Roles given to people and groups: the form for it on their pages, and the question before one is taken."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ConflictError, InvalidError, LastAdministratorError
from web.domain.grants import GrantDraft, HeldGrant, Holder
from web.domain.roles import Effect, ScopeKind
from web.forms import Form, faults_of, read_form
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.access import grants, roles
from web.store import grants as stored_grants
from web.store import nodes

_FIELDS = {ScopeKind.NODE: "node_id", ScopeKind.NODE_GROUP: "node_group_id", ScopeKind.FOLDER: "folder"}


async def take_form(request: Request) -> Response:
    """Asks once more, and says whose rights these are."""
    request.user.require_everywhere(Permission.USER_EDIT)
    return await _take_page(request)


async def take(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    db, held = controller_of(request).db, await _grant(request)
    try:
        await grants.take(db, held.id, sure=True, by=request.user)
    except LastAdministratorError as refused:
        return await _take_page(request, str(refused))
    return to_holder(request, held.holder)


async def given(request: Request, holder: Holder) -> dict[str, Any] | None:
    """Gives what the form of a page says. Answers what that page shows when it was refused, else None."""
    request.user.require_everywhere(Permission.USER_EDIT)
    sent = await read_form(request)
    faults: dict[str, str]
    try:
        await grants.give(
            controller_of(request).db, holder, _draft(sent), sure=sent.has("sure", "yes"), by=request.user
        )
    except ValidationError as refused:
        faults = faults_of(refused) if all(one["loc"] for one in refused.errors()) else _nothing_named(sent)
    except InvalidError as refused:
        faults = {refused.field or "": str(refused)}
    except ConflictError as refused:
        if refused.facts.get("own"):
            return {
                "faults": {"sure": "This denies you rights of your own. Tick the box if that is meant."},
                "typed": sent,
            }
        faults = {"": str(refused)}
    else:
        return None
    return {"faults": faults, "typed": sent}


async def choices(request: Request) -> dict[str, Any]:
    """What the form offers."""
    db = controller_of(request).db
    return {
        "roles": await roles.all_roles(db, by=request.user),
        "nodes": await nodes.by_name(db, scope=request.user.nodes, seen_within=0.0),
        "node_groups": await stored_grants.node_groups(db),
        "typed": Form(),
        "faults": {},
    }


def to_holder(request: Request, holder: Holder) -> Response:
    if holder.kind == "user":
        return see_other(request, "users.show", user_id=holder.id)
    return see_other(request, "groups.show", group_id=holder.id)


async def _take_page(request: Request, fault: str | None = None) -> Response:
    held = await _grant(request)
    context = {
        "here": "settings.index",
        "held": held,
        "is_own": await grants.is_own(controller_of(request).db, held.holder, by=request.user),
        "fault": fault,
    }
    status = HTTPStatus.CONFLICT if fault else HTTPStatus.OK
    return render(request, "pages/settings/take.html", context, status=status)


def _draft(sent: Form) -> GrantDraft:
    """Fields of another scope than the chosen one are passed over. Raises ValidationError."""
    scope = sent.get("scope")
    field = next((name for kind, name in _FIELDS.items() if kind == scope), None)
    values: dict[str, Any] = {
        "role_id": sent.get("role_id"),
        "effect": sent.get("effect", Effect.ALLOW),
        "scope": scope,
    }
    if field is not None:
        values[field] = sent.get(field) or None
    return GrantDraft.model_validate(values)


def _nothing_named(sent: Form) -> dict[str, str]:
    field = next((name for kind, name in _FIELDS.items() if kind == sent.get("scope")), "scope")
    return {field: "Say which one." if field != "scope" else "Choose where it holds."}


async def _grant(request: Request) -> HeldGrant:
    grant_id: UUID = request.path_params["grant_id"]
    return await grants.grant(controller_of(request).db, grant_id, by=request.user)
