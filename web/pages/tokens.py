"""Tokens of programs: one's own, and those of everybody."""

from http import HTTPStatus
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import InvalidError
from web.domain.permissions import SENTENCES
from web.domain.tokens import USUAL_DAYS, NewToken, TokenRequest
from web.forms import Form, faults_of, read_form
from web.pages.page import controller_of
from web.pages.queries import identifier
from web.rendering import render, see_other
from web.services.entry import tokens
from web.store import nodes

_PER_PAGE = 100
_NEVER = "never"
_DAYS = (7, 30, USUAL_DAYS, 366)
_FAULTS = {
    "name": "Give the token a name of up to 200 characters.",
    "permissions": "Choose at least one thing that the token may do.",
}


async def own(request: Request) -> Response:
    return await _own(request, Form())


async def make(request: Request) -> Response:
    """Shows the new token, this once: there is no page to go to that could show it again."""
    form = await read_form(request)
    try:
        made = await tokens.make(controller_of(request).db, _wanted(form), by=request.user)
    except ValidationError as fault:
        return await _own(request, form, faults_of(fault, sentences=_FAULTS))
    except InvalidError as refused:
        return await _own(request, form, {refused.field or "": str(refused)})
    return await _own(request, Form(), made=made)


async def revoke_own(request: Request) -> Response:
    await tokens.revoke(controller_of(request).db, request.path_params["token_id"], by=request.user)
    return see_other(request, "tokens.own")


async def index(request: Request) -> Response:
    found = await tokens.all_tokens(
        controller_of(request).db, by=request.user, before=identifier(request, "before"), limit=_PER_PAGE + 1
    )
    context = {
        "here": "settings.index",
        "tokens": found[:_PER_PAGE],
        "older": found[_PER_PAGE - 1].id if len(found) > _PER_PAGE else None,
        "sentences": SENTENCES,
    }
    return render(request, "pages/tokens/index.html", context)


async def revoke(request: Request) -> Response:
    request.user.require_everywhere(Permission.USER_EDIT)
    await tokens.revoke(controller_of(request).db, request.path_params["token_id"], by=request.user)
    return see_other(request, "tokens.index")


async def _own(
    request: Request, form: Form, faults: dict[str, str] | None = None, made: NewToken | None = None
) -> Response:
    controller, by = controller_of(request), request.user
    held = [permission for permission in Permission if by.may(permission)]
    context: dict[str, Any] = {
        "tokens": await tokens.own(controller.db, by=by),
        "made": made,
        "form": form,
        "faults": faults or {},
        "nouns": {noun: list(some) for noun, some in groupby(held, key=lambda permission: permission.noun)},
        "sentences": SENTENCES,
        "days": _DAYS,
        "usual_days": USUAL_DAYS,
        "may_be_endless": by.scope(Permission.USER_EDIT).everything,
        "nodes": await nodes.by_name(controller.db, scope=by.nodes, seen_within=controller.timeouts.node_not_seen),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/tokens/own.html", context, status=status)


def _wanted(form: Form) -> TokenRequest:
    days = form.get("days", str(USUAL_DAYS))
    return TokenRequest.model_validate(
        {
            "name": form.get("name"),
            "permissions": form.all("permissions"),
            "node_ids": form.all("node_ids"),
            "folders": [line.strip() for line in form.raw("folders").splitlines() if line.strip()],
            "days": None if days == _NEVER else days,
        }
    )
