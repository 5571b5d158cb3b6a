"""Requests that are refused, put on the record where every answer passes by."""

from uuid import UUID

import structlog
from starlette.requests import Request

from protocol.ids import TokenKind, token_id
from web.domain.access import Actor, NodeActor
from web.domain.audit import LIMITS, Object, stranger
from web.domain.errors import ForbiddenError, NotFoundError, NotYoursError, UnauthorisedError, UnavailableError
from web.services.controller import Controller
from web.sources import source_of
from web.store import audit

_log = structlog.get_logger()
_FORGED = "It did not come from a page of this console."
_OUTSIDE = "It lies outside what this actor may know of; the answer was that there is none."


async def note_refusal(request: Request, fault: Exception, *, by: Actor | NodeActor | None, path: str) -> None:
    """Notes a fault that is a refusal; `path` is that of the route, since what people send may hold secrets.

    What does not exist at all is no refusal, neither is a browser without a session: it is asked to sign in.
    """
    try:
        await _note(request, fault, by, {"request": f"{request.method} {path}"})
    except UnavailableError as away:
        _log.warning("a refusal cannot be noted", fault=str(fault), reason=str(away))


async def note_forgery(request: Request) -> None:
    """A page of somebody else made a browser send this. Of the path only its beginning is kept."""
    controller: Controller = request.app.state.controller
    about: dict[str, object] = {"request": f"{request.method} /{request.url.path.split('/')[1]}/…"}
    try:
        await controller.denials.note(stranger(source_of(request)), "request.forge", reason=_FORGED, after=about)
    except UnavailableError as away:
        _log.warning("a refusal cannot be noted", fault=_FORGED, reason=str(away))


async def _note(request: Request, fault: Exception, by: Actor | NodeActor | None, about: dict[str, object]) -> None:
    controller: Controller = request.app.state.controller
    match fault:
        case ForbiddenError() if by is not None:
            action, of = fault.permission.replace(":", "."), await _object(request)
            await controller.denials.note(by, action, of, reason=str(fault), after=about)
        case NotYoursError() if by is not None:
            await controller.denials.note(by, "job.report", _named(request), reason=str(fault), after=about)
        case NotFoundError() if isinstance(by, Actor) and not _knows_all(by):
            of = await _object(request)
            if of is not None and of.name is not None:
                await controller.denials.note(by, f"{of.kind}.read", of, reason=_OUTSIDE, after=about)
        case UnauthorisedError():
            kind, shown = _shown_token(request)
            who = stranger(source_of(request), "somebody" if shown is None else f"token {shown}")
            await controller.denials.note(
                who, f"{kind}.authenticate", reason=str(fault), after=about, budget=LIMITS.failed_tokens
            )


async def _object(request: Request) -> Object | None:
    """What the path names, with its name when there is such a thing."""
    of = _named(request)
    if of is None or of.id is None:
        return None
    controller: Controller = request.app.state.controller
    return Object(of.kind, of.id, await audit.name_of(controller.db, of.kind, of.id))


def _named(request: Request) -> Object | None:
    for key, value in request.path_params.items():
        if key.endswith("_id") and isinstance(value, UUID):
            return Object(key.removesuffix("_id"), value)
    return None


def _knows_all(by: Actor) -> bool:
    return by.recordings.sql is None and by.nodes.sql is None


def _shown_token(request: Request) -> tuple[str, UUID | None]:
    """Of which kind a token should have been here, and the id that it claims; never its secret."""
    kind: TokenKind = "node" if request.scope["path"].startswith("/api/agent/") else "user"
    token = request.headers.get("Authorization", "").partition(" ")[2].strip()
    return "node" if kind == "node" else "token", token_id(kind, token)
