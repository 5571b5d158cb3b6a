"""Webhooks: what is told to which program, and how that went."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ChangedMeanwhileError, ConflictError, ForbiddenError, InvalidError
from web.domain.webhooks import KINDS, NOUNS, DeliveryState, WebhookRequest
from web.forms import Form, faults_of, read_form
from web.pages.page import controller_of
from web.pages.queries import choices
from web.pages.saved import saved, seen_in
from web.rendering import render, see_other
from web.services import webhooks
from web.services.webhooks import NewWebhook

_PER_PAGE = 50
_FAULTS = {
    "name": "Give the webhook a name of up to 200 characters.",
    "url": "Give an https address of up to 2000 characters.",
    "kinds": "Choose at least one event.",
}


async def index(request: Request) -> Response:
    return await _list(request, Form())


async def make(request: Request) -> Response:
    """Shows the secret, this once."""
    controller, form = controller_of(request), await read_form(request)
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    try:
        made = await webhooks.make(controller.db, controller.keys, _wanted(form), by=request.user)
    except (ValidationError, InvalidError, ConflictError, ForbiddenError) as fault:
        return await _list(request, form, _faults(fault))
    return await _page(request, made.webhook.id, made=made)


async def show(request: Request) -> Response:
    return await _page(request, _id(request))


async def change(request: Request) -> Response:
    form = await read_form(request)
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    try:
        await webhooks.change(
            controller_of(request).db, _id(request), _wanted(form), seen=seen_in(form), by=request.user
        )
    except ChangedMeanwhileError as fault:
        return await _page(request, _id(request), form, conflict=str(fault))
    except (ValidationError, InvalidError, ConflictError, ForbiddenError) as fault:
        return await _page(request, _id(request), form, _faults(fault))
    return _done(request)


async def renew_secret(request: Request) -> Response:
    controller = controller_of(request)
    made = await webhooks.renew_secret(controller.db, controller.keys, _id(request), by=request.user)
    return await _page(request, _id(request), made=made)


async def try_out(request: Request) -> Response:
    await webhooks.try_out(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def enable(request: Request) -> Response:
    await webhooks.enable(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def disable(request: Request) -> Response:
    await webhooks.disable(controller_of(request).db, _id(request), by=request.user)
    return _done(request)


async def remove_form(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_EDIT)
    webhook = await webhooks.get(controller_of(request).db, _id(request), by=request.user)
    return render(request, "pages/webhooks/remove.html", {"here": "settings.index", "webhook": webhook})


async def remove(request: Request) -> Response:
    await webhooks.remove(controller_of(request).db, _id(request), by=request.user)
    return see_other(request, "webhooks.index")


async def deliver_again(request: Request) -> Response:
    delivery_id: int = request.path_params["delivery_id"]
    await webhooks.deliver_again(controller_of(request).db, _id(request), delivery_id, by=request.user)
    return _done(request)


async def _list(request: Request, form: Form, faults: dict[str, str] | None = None) -> Response:
    context = {
        "here": "settings.index",
        "webhooks": await webhooks.all_webhooks(controller_of(request).db, by=request.user),
        "typed": _typed(form),
        "faults": faults or {},
        "kinds": KINDS,
        "kind_nouns": NOUNS,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/webhooks/index.html", context, status=status)


async def _page(
    request: Request,
    webhook_id: UUID,
    form: Form | None = None,
    faults: dict[str, str] | None = None,
    made: NewWebhook | None = None,
    conflict: str | None = None,
) -> Response:
    told = await saved(request, "webhooks.show", webhook_id, webhook_id=webhook_id)
    db, by = controller_of(request).db, request.user
    webhook = await webhooks.get(db, webhook_id, by=by)
    states = choices(request, "state", DeliveryState)
    before = request.query_params.get("before", "")
    found = await webhooks.deliveries(
        db,
        webhook_id,
        by=by,
        state=states[0] if states else None,
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
        limit=_PER_PAGE + 1,
    )
    context = {
        "here": "settings.index",
        "webhook": webhook,
        "saved": told,
        "conflict": conflict,
        "made": made,
        "typed": _typed(form) if form else {"name": webhook.name, "url": webhook.url, "kinds": webhook.kinds},
        "faults": faults or {},
        "kinds": KINDS,
        "kind_nouns": NOUNS,
        "deliveries": found[:_PER_PAGE],
        "older": found[_PER_PAGE - 1].id if len(found) > _PER_PAGE else None,
        "states": list(DeliveryState),
        "state": states[0] if states else None,
    }
    usual = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    status = HTTPStatus.CONFLICT if conflict else usual
    return render(request, "pages/webhooks/show.html", context, fragment="saved", status=status)


def _id(request: Request) -> UUID:
    webhook_id: UUID = request.path_params["webhook_id"]
    return webhook_id


def _done(request: Request) -> Response:
    return see_other(request, "webhooks.show", webhook_id=_id(request))


def _wanted(form: Form) -> WebhookRequest:
    return WebhookRequest(name=form.get("name"), url=form.get("url"), kinds=form.all("kinds"))


def _typed(form: Form) -> dict[str, Any]:
    return {"name": form.get("name"), "url": form.get("url"), "kinds": form.all("kinds")}


def _faults(fault: ValidationError | InvalidError | ConflictError | ForbiddenError) -> dict[str, str]:
    match fault:
        case ValidationError():
            return faults_of(fault, sentences=_FAULTS)
        case InvalidError():
            return {fault.field or "": str(fault)}
        case ForbiddenError():
            return {"kinds": str(fault)}
    return {"name": str(fault)}
