"""A page is a handler with its method and path. Who asks is known before it runs; faults become pages."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote, urlsplit
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from web.domain.access import Actor, Permission
from web.domain.errors import (
    ControllerError,
    ForbiddenError,
    SecondFactorNeededError,
    SignInRequiredError,
    UnavailableError,
)
from web.domain.permissions import SENTENCES
from web.errors import fault_id_of, logged_path, status_and_code
from web.htmx import go_to, wants_fragment
from web.pages.queries import without_empty_keys
from web.refusals import note_refusal
from web.rendering import render
from web.services.access.givers import who_can_give
from web.services.controller import Controller
from web.services.recorders import standing
from web.sessions import signed_in

Handler = Callable[[Request], Awaitable[Response]]

_log = structlog.get_logger()
_NOT_THIS = "This address is there, but it does not do what was asked of it."


@dataclass(frozen=True)
class Page:
    """One method of one path, named `noun.verb` after its handler."""

    method: str
    path: str
    handler: Handler
    is_open: bool = False
    """Also for people who have not signed in."""
    is_for_second_factor: bool = False
    """Also for people who have to set one up before anything else."""
    is_part: bool = False
    """What a page fetches for itself: it is never shown as a page."""
    is_compressed: bool = True
    """Whether its answer gets shorter by compression."""

    @property
    def name(self) -> str:
        return f"{self.handler.__module__.rpartition('.')[2]}.{self.handler.__name__}"

    def route(self) -> Route:
        shorten = [Middleware(GZipMiddleware, minimum_size=500)] if self.is_compressed else []
        return Route(self.path, self._answer, methods=[self.method], name=self.name, middleware=shorten)

    async def _answer(self, request: Request) -> Response:
        try:
            request.scope["user"] = None if self.is_open else await self._signed_in(request)
            is_whole = not self.is_part and not wants_fragment(request)
            if self.method == "GET" and is_whole and (canonical := without_empty_keys(request)) is not None:
                return RedirectResponse(canonical, HTTPStatus.SEE_OTHER)
            if is_whole and not self.is_open:
                await count_for_bar(request)
            return await self.handler(request)
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except SecondFactorNeededError:
            return _lead_to(request, request.app.url_path_for("second_factors.show"))
        except SignInRequiredError:
            return _ask_to_sign_in(request)
        except Exception as fault:
            await note_refusal(request, fault, by=request.scope.get("user"), path=self.path)
            if isinstance(fault, ForbiddenError) and request.scope.get("user") is not None:
                return await forbidden_page(request, fault)
            return fault_page(request, fault)

    async def _signed_in(self, request: Request) -> Actor:
        return await signed_in(request, for_second_factor=self.is_for_second_factor)


def get(path: str, handler: Handler, *, is_open: bool = False, is_for_second_factor: bool = False) -> Page:
    return Page("GET", path, handler, is_open, is_for_second_factor)


def post(path: str, handler: Handler, *, is_open: bool = False, is_for_second_factor: bool = False) -> Page:
    return Page("POST", path, handler, is_open, is_for_second_factor)


def stream(path: str, handler: Handler) -> Page:
    """Sound, or a file: sent as it comes."""
    return Page("GET", path, handler, is_part=True, is_compressed=False)


def data(path: str, handler: Handler) -> Page:
    """Numbers for a script."""
    return Page("GET", path, handler, is_part=True)


def controller_of(request: Request) -> Controller:
    controller: Controller = request.app.state.controller
    return controller


async def count_for_bar(request: Request) -> None:
    """A bar that cannot be read is left out: the page below it may be readable."""
    try:
        request.state.bar = await standing.bar(controller_of(request).db, by=request.user)
    except UnavailableError as fault:
        _log.warning("the bar cannot be read", reason=str(fault))


def own_path(text: str) -> str:
    """A path of this console, or its start page for anything that leads elsewhere."""
    is_ours = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_ours and text.isprintable() else "/"


def fault_page(request: Request, fault: Exception) -> Response:
    """Any fault in words: a page, or one line for the alert bar when HTMX asked."""
    match fault:
        case ControllerError():
            status, _ = status_and_code(type(fault))
            message, fault_id = str(fault), None
        case HTTPException():
            status, fault_id = HTTPStatus(fault.status_code), None
            message = _NOT_THIS if status is HTTPStatus.METHOD_NOT_ALLOWED else "There is no such page."
        case _:
            fault_id = fault_id_of(request)
            status, message = HTTPStatus.INTERNAL_SERVER_ERROR, "Something went wrong in the controller."
            _log_unforeseen(request, fault, fault_id)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR and fault_id is None:
        fault_id = fault_id_of(request)
        _log_unforeseen(request, fault, fault_id)
    context = {"status": status, "message": message, "fault_id": fault_id}
    return render(request, "pages/fault.html", context, fragment="fault", status=status)


async def missing_page(request: Request, fault: HTTPException) -> Response:
    """An address, or a method, that no page has: in the console for who is signed in, by itself for everybody else."""
    try:
        request.scope["user"] = await signed_in(request)
        if not wants_fragment(request):
            await count_for_bar(request)
    except (SignInRequiredError, SecondFactorNeededError):
        request.scope["user"] = None
    except UnavailableError as away:
        _log.warning("nobody knows who asks", reason=str(away))
    return fault_page(request, fault)


async def forbidden_page(request: Request, fault: ForbiddenError) -> Response:
    """Which permission is missing, what it is for, and who can give it."""
    givers = await who_can_give(controller_of(request).db, by=request.user)
    context = {
        "status": HTTPStatus.FORBIDDEN,
        "message": str(fault),
        "fault_id": None,
        "permission_for": SENTENCES[Permission(fault.permission)],
        "givers": givers,
    }
    return render(request, "pages/fault.html", context, fragment="fault", status=HTTPStatus.FORBIDDEN)


def _log_unforeseen(request: Request, fault: Exception, fault_id: UUID) -> None:
    _log.error("unforeseen fault", id=str(fault_id), method=request.method, path=logged_path(request), exc_info=fault)


def _ask_to_sign_in(request: Request) -> Response:
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    is_page = request.method == "GET" and not wants_fragment(request)
    seen = here if is_page else urlsplit(request.headers.get("Referer", "/")).path
    where = f"{request.app.url_path_for('accounts.sign_in_form')}?next={quote(seen, safe='/')}"
    return _lead_to(request, where)


def _lead_to(request: Request, where: str) -> Response:
    return go_to(where) if wants_fragment(request) else RedirectResponse(where, HTTPStatus.SEE_OTHER)
