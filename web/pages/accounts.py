"""People sign in, sign out, and look after what they sign in with."""

from http import HTTPStatus
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.domain.errors import (
    ControllerError,
    InvalidError,
    LinkSpentError,
    LocalSignInOffError,
    SignInRequiredError,
    SlowDownError,
)
from web.domain.people import HalfSignedIn, SignedIn
from web.errors import status_and_code
from web.forms import read_form
from web.pages.page import controller_of, own_path
from web.rendering import render, see_other
from web.services.access import people
from web.services.entry import accounts, second_factor, tokens
from web.services.entry import sign_in as signing_in
from web.sessions import drop_brief, drop_session, half_token, keep_half, keep_session, session_token, visit_of
from web.sources import source_of


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
        begun = await accounts.spend_code(controller_of(request).db, code, visit_of(request))
    except LinkSpentError as spent:
        return _welcome(request, code, str(spent), HTTPStatus.GONE)
    return await signed_in_here(request, see_other(request, "dashboard.show"), begun)


async def sign_in_form(request: Request) -> Response:
    return sign_in_page(request, "", own_path(request.query_params.get("next", "/")))


async def sign_in(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    name, wanted = form.get("name"), own_path(form.get("next", "/"))
    try:
        controller.require_local_sign_in()
        begun = await signing_in.sign_in(
            controller.db, controller.passwords, name, form.raw("password"), visit_of(request)
        )
    except (InvalidError, SlowDownError, LocalSignInOffError) as refused:
        return sign_in_page(request, name, wanted, refused)
    if isinstance(begun, HalfSignedIn):
        response = _see(request, "accounts.code_form", next=wanted)
        keep_half(request, response, begun.token)
        return response
    return await signed_in_here(request, RedirectResponse(wanted, HTTPStatus.SEE_OTHER), begun)


async def code_form(request: Request) -> Response:
    return await _code_form(request, own_path(request.query_params.get("next", "/")))


async def finish_sign_in(request: Request) -> Response:
    """The second step: a code."""
    controller, form = controller_of(request), await read_form(request)
    wanted = own_path(form.get("next", "/"))
    try:
        controller.require_local_sign_in()
        begun = await signing_in.finish(
            controller.db, controller.keys, half_token(request), form.get("code"), visit_of(request)
        )
    except (InvalidError, SlowDownError) as refused:
        return await _code_form(request, wanted, refused)
    except LocalSignInOffError as refused:
        return sign_in_page(request, "", wanted, refused)
    except SignInRequiredError:
        return _see(request, "accounts.sign_in_form", next=wanted)
    return await signed_in_here(request, RedirectResponse(wanted, HTTPStatus.SEE_OTHER), begun)


async def sign_out(request: Request) -> Response:
    await _end_session(request)
    response = see_other(request, "accounts.sign_in_form")
    drop_session(request, response)
    return response


async def show(request: Request) -> Response:
    return await _account(request)


async def set_password(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    revokes = form.has("revoke_tokens", "yes")
    try:
        begun = await accounts.set_password(
            controller.db,
            controller.passwords,
            session_token(request) or "",
            form.raw("password"),
            old_password=form.raw("old_password"),
            revoke_tokens=revokes,
            visit=visit_of(request),
        )
    except (InvalidError, SlowDownError) as refused:
        return await _account(request, refused, revokes=revokes)
    response = _see(request, "accounts.show", changed="password_and_tokens" if revokes else "password")
    keep_session(request, response, begun)
    return response


async def end_session(request: Request) -> Response:
    """One of one's own."""
    await people.end_sessions(
        controller_of(request).db, request.user.id, by=request.user, only=request.path_params["session_id"]
    )
    return _see(request, "accounts.show", changed="session")


async def end_other_sessions(request: Request) -> Response:
    """All of one's own but this one."""
    db = controller_of(request).db
    current = await accounts.session_of(db, session_token(request) or "")
    await people.end_sessions(db, request.user.id, by=request.user, but=current.id)
    return _see(request, "accounts.show", changed="sessions")


def faults_and_status(refused: ControllerError | None) -> tuple[dict[str, str], HTTPStatus]:
    """What a form says when it comes back, and its status."""
    if refused is None:
        return {}, HTTPStatus.OK
    field = refused.field if isinstance(refused, InvalidError) else None
    return {field or "": str(refused)}, status_and_code(type(refused))[0]


async def signed_in_here(request: Request, response: Response, begun: SignedIn) -> Response:
    """Gives the browser its new session; the one that it had ends."""
    await _end_session(request)
    drop_brief(request, response, "half")
    keep_session(request, response, begun)
    return response


def sign_in_page(request: Request, name: str, wanted: str, refused: ControllerError | None = None) -> Response:
    """The form, as it was filled."""
    controller = controller_of(request)
    faults, status = faults_and_status(refused)
    context = {
        "name": name,
        "next": wanted,
        "faults": faults,
        "is_local": controller.is_local_sign_in,
        "issuer": None if controller.open_id is None else controller.open_id.issuer.label,
    }
    return render(request, "pages/accounts/sign_in.html", context, status=status)


async def _code_form(request: Request, wanted: str, refused: ControllerError | None = None) -> Response:
    try:
        name = await signing_in.who_waits(controller_of(request).db, half_token(request))
    except SignInRequiredError:
        return _see(request, "accounts.sign_in_form", next=wanted)
    faults, status = faults_and_status(refused)
    context = {"name": name, "next": wanted, "faults": faults}
    return render(request, "pages/accounts/code.html", context, status=status)


async def _account(
    request: Request, refused: ControllerError | None = None, *, revokes: bool | None = None
) -> Response:
    """`revokes` is the choice that was made in a form that comes back."""
    db = controller_of(request).db
    current = await accounts.session_of(db, session_token(request) or "")
    faults, status = faults_and_status(refused)
    context = {
        "user": current.user,
        "current": current,
        "sessions": await people.sessions_of(db, current.user.id, by=request.user),
        "recovery_codes_left": await second_factor.recovery_codes_left(db, current.user),
        "tokens": await tokens.good_ones_of(db, current.user.id),
        "revokes": current.is_by_link if revokes is None else revokes,
        "faults": faults,
        "changed": request.query_params.get("changed", ""),
    }
    return render(request, "pages/accounts/show.html", context, status=status)


async def _end_session(request: Request) -> None:
    token = session_token(request)
    if token is not None:
        await accounts.sign_out(controller_of(request).db, token, source_of(request))


def _see(request: Request, name: str, **query: str) -> RedirectResponse:
    return RedirectResponse(f"{request.app.url_path_for(name)}?{urlencode(query)}", HTTPStatus.SEE_OTHER)


def _welcome(request: Request, code: str, fault: str | None, status: HTTPStatus) -> Response:
    return render(request, "pages/accounts/welcome.html", {"code": code, "fault": fault}, status=status)
