"""People sign in, sign out, and set the password that they sign in with."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.domain.errors import InvalidError, LinkSpentError
from web.domain.people import SignedIn
from web.forms import read_form
from web.pages.page import controller_of, own_path
from web.rendering import render, see_other
from web.services import accounts
from web.sessions import drop_session, keep_session, session_token, signed_in_user


async def welcome(request: Request) -> Response:
    """What a one-time link leads to. Looking at it does not use it."""
    code = request.path_params["code"]
    try:
        await accounts.require_good_code(controller_of(request).db, code)
    except LinkSpentError as spent:
        return _welcome(request, code, str(spent), HTTPStatus.GONE)
    return _welcome(request, code, None, HTTPStatus.OK)


async def accept_welcome(request: Request) -> Response:
    """Uses the link: this browser is signed in."""
    code = request.path_params["code"]
    try:
        begun = await accounts.spend_code(controller_of(request).db, code)
    except LinkSpentError as spent:
        return _welcome(request, code, str(spent), HTTPStatus.GONE)
    return await _signed_in(request, see_other(request, "dashboard.show"), begun)


async def sign_in_form(request: Request) -> Response:
    context = {"name": "", "next": own_path(request.query_params.get("next", "/")), "faults": {}}
    return render(request, "pages/accounts/sign_in.html", context)


async def sign_in(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    name, wanted = form.get("name"), own_path(form.get("next", "/"))
    try:
        begun = await accounts.sign_in(controller.db, controller.passwords, name, form.raw("password"))
    except InvalidError as refused:
        context = {"name": name, "next": wanted, "faults": {refused.field or "": str(refused)}}
        return render(request, "pages/accounts/sign_in.html", context, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    return await _signed_in(request, RedirectResponse(wanted, HTTPStatus.SEE_OTHER), begun)


async def sign_out(request: Request) -> Response:
    await _end_session(request)
    response = see_other(request, "accounts.sign_in_form")
    drop_session(request, response)
    return response


async def show(request: Request) -> Response:
    return await _account(request, {})


async def set_password(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    token = session_token(request) or ""
    try:
        begun = await accounts.set_password(
            controller.db,
            controller.passwords,
            token,
            form.raw("password"),
            old_password=form.raw("old_password"),
        )
    except InvalidError as refused:
        return await _account(request, {refused.field or "": str(refused)}, HTTPStatus.UNPROCESSABLE_ENTITY)
    response = RedirectResponse(f"{request.app.url_path_for('accounts.show')}?changed=1", HTTPStatus.SEE_OTHER)
    keep_session(request, response, begun)
    return response


async def _account(request: Request, faults: dict[str, str], status: HTTPStatus = HTTPStatus.OK) -> Response:
    context = {
        "user": await signed_in_user(request),
        "faults": faults,
        "is_changed": "changed" in request.query_params,
    }
    return render(request, "pages/accounts/show.html", context, status=status)


async def _signed_in(request: Request, response: Response, begun: SignedIn) -> Response:
    """Gives the browser its new session; the one that it had ends."""
    await _end_session(request)
    keep_session(request, response, begun)
    return response


async def _end_session(request: Request) -> None:
    token = session_token(request)
    if token is not None:
        await accounts.sign_out(controller_of(request).db, token)


def _welcome(request: Request, code: str, fault: str | None, status: HTTPStatus) -> Response:
    return render(request, "pages/accounts/welcome.html", {"code": code, "fault": fault}, status=status)
