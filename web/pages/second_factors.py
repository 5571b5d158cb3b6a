"""One's own second factor: set up, renewed, removed."""

from http import HTTPStatus

import segno
from starlette.requests import Request
from starlette.responses import Response

from web.domain.errors import ControllerError, InvalidError, SlowDownError
from web.forms import read_form
from web.pages.accounts import faults_and_status
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.entry import accounts, second_factor
from web.sessions import keep_session, session_token, signed_in_user, visit_of


async def show(request: Request) -> Response:
    """What is to be done next: the password, the code that was begun, or what can be done with one that counts."""
    return await _page(request)


async def begin(request: Request) -> Response:
    """A new secret, for whoever knows the password."""
    controller, form = controller_of(request), await read_form(request)
    current = await accounts.session_of(controller.db, session_token(request) or "")
    try:
        await accounts.require_own_password(
            controller.db,
            controller.passwords,
            current,
            form.raw("own_password"),
            visit_of(request),
            field="own_password",
        )
    except (InvalidError, SlowDownError) as refused:
        return await _page(request, refused)
    await second_factor.begin(controller.db, controller.keys, current)
    return see_other(request, "second_factors.show")


async def confirm(request: Request) -> Response:
    """A first code: from now on they are asked for."""
    controller, form = controller_of(request), await read_form(request)
    try:
        begun, codes = await accounts.add_second_factor(
            controller.db, controller.keys, session_token(request) or "", form.get("code"), visit_of(request)
        )
    except (InvalidError, SlowDownError) as refused:
        return await _page(request, refused)
    response = _codes(request, codes)
    keep_session(request, response, begun)
    return response


async def renew_codes(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    try:
        codes = await accounts.renew_recovery_codes(
            controller.db, controller.keys, session_token(request) or "", form.get("code"), visit_of(request)
        )
    except (InvalidError, SlowDownError) as refused:
        return await _page(request, refused)
    return _codes(request, codes)


async def remove(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    try:
        await accounts.remove_second_factor(
            controller.db, controller.keys, session_token(request) or "", form.get("code"), visit_of(request)
        )
    except (InvalidError, SlowDownError) as refused:
        return await _page(request, refused)
    return see_other(request, "second_factors.show")


async def _page(request: Request, refused: ControllerError | None = None) -> Response:
    controller, user = controller_of(request), await signed_in_user(request)
    current = await accounts.session_of(controller.db, session_token(request) or "")
    begun = await second_factor.begun(controller.db, controller.keys, current)
    faults, status = faults_and_status(refused)
    context = {
        "user": user,
        "is_owed": current.owes_second_factor,
        "is_asked": current.rule.asks(current.access),
        "asks_password": user.has_password and not current.is_by_link,
        "recovery_codes_left": await second_factor.recovery_codes_left(controller.db, user),
        "begun": begun,
        "qr": None if begun is None else _qr(begun.address),
        "faults": faults,
    }
    return render(request, "pages/accounts/second_factor.html", context, status=status)


def _codes(request: Request, codes: list[str]) -> Response:
    """Shown once: the page cannot be asked for again."""
    return render(request, "pages/accounts/recovery_codes.html", {"codes": codes}, status=HTTPStatus.OK)


def _qr(address: str) -> str:
    """Dark on light in both themes, as cameras like it."""
    return segno.make(address, error="m").svg_data_uri(scale=4, dark="#000", light="#fff")
