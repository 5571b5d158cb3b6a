"""The cookie by which a browser is known, and who that is."""

from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Actor
from web.domain.errors import SignInRequiredError
from web.domain.people import HALF_SECONDS, LONGEST_SECONDS, SignedIn, User, Visit
from web.hosts import is_this_machine
from web.media.streaming import let_in_no_more
from web.services.controller import Controller
from web.services.entry import accounts
from web.sources import source_of

_NAME = "reelkeeper"


async def signed_in(request: Request, *, for_second_factor: bool = False) -> Actor:
    """Who asks. The session is looked up once a request.

    Raises SignInRequiredError, and unless this is `for_second_factor` SecondFactorNeededError for who has to set one
    up first.
    """
    return (await _person(request, for_second_factor=for_second_factor))[0]


async def signed_in_user(request: Request) -> User:
    """The account of who asks. Raises SignInRequiredError."""
    return (await _person(request))[1]


async def signed_out(request: Request, may: Callable[[Actor], bool] = lambda _: True) -> None:
    """Returns soon after the session of who asks has ended, or `may` says no of what they hold by then.

    Whatever runs until then counts as use of the session.
    """
    controller: Controller = request.app.state.controller

    async def who() -> Actor:
        return (await accounts.authenticate_session(controller.db, session_token(request) or ""))[0]

    await let_in_no_more(controller, who, may)


def session_token(request: Request) -> str | None:
    """What the browser holds; it need not be good any more."""
    return request.cookies.get(cookie_name(request))


def keep_session(request: Request, response: Response, begun: SignedIn) -> None:
    """Give the browser a session that has just begun."""
    response.set_cookie(
        cookie_name(request),
        begun.token,
        max_age=round(LONGEST_SECONDS),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop_session(request: Request, response: Response) -> None:
    """Let the browser forget its session, and what it kept of pages."""
    response.delete_cookie(cookie_name(request), path="/", secure=is_secure(request), httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'


def visit_of(request: Request) -> Visit:
    """From where and with what somebody signs in."""
    return Visit(source_of(request), request.headers.get("user-agent", ""))


def half_token(request: Request) -> str:
    """Of the sign-in whose second factor is awaited; it need not be good any more."""
    return brief(request, "half")


def brief(request: Request, what: str) -> str:
    """What the browser keeps for one sign-in; empty when it keeps nothing."""
    return request.cookies.get(cookie_name(request, what), "")


def keep_half(request: Request, response: Response, token: str) -> None:
    """Let the browser wait for the second factor."""
    keep_briefly(request, response, "half", token, HALF_SECONDS)


def keep_briefly(request: Request, response: Response, what: str, value: str, seconds: float) -> None:
    """A cookie of one sign-in."""
    response.set_cookie(
        cookie_name(request, what),
        value,
        max_age=round(seconds),
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite="lax",
    )


def drop_brief(request: Request, response: Response, what: str) -> None:
    response.delete_cookie(
        cookie_name(request, what), path="/", secure=is_secure(request), httponly=True, samesite="lax"
    )


def cookie_name(request: Request, what: str = "") -> str:
    """`__Host-` where there is TLS, by a proxy too.

    On this machine the port is part of the name: browsers give a cookie of 127.0.0.1 to all its ports.
    """
    name = f"{_NAME}-{what}" if what else _NAME
    return f"__Host-{name}" if is_secure(request) else f"{name}-{_host_and_port(request)[1]}"


def is_secure(request: Request) -> bool:
    """Plain HTTP is for this machine only; a request for any other name came through a proxy with TLS."""
    return request.scope["scheme"] == "https" or not is_this_machine(_host_and_port(request)[0])


def _host_and_port(request: Request) -> tuple[str, int]:
    """As the browser named them; nothing when what it sent is no name."""
    try:
        return request.url.hostname or "", request.url.port or 80
    except ValueError:
        return "", 80


async def _person(request: Request, *, for_second_factor: bool = False) -> tuple[Actor, User]:
    token = session_token(request)
    if token is None:
        raise SignInRequiredError
    if not hasattr(request.state, "person"):
        controller: Controller = request.app.state.controller
        look_up = accounts.authenticate_for_second_factor if for_second_factor else accounts.authenticate_session
        by, user = await look_up(controller.db, token)
        request.state.person = replace(by, source=source_of(request)), user
    person: tuple[Actor, User] = request.state.person
    return person
