"""What changes while a page is looked at, as one stream of events. Nothing is stored or replayed: see `resync`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from protocol.ids import token_id
from web.connections import TRANSPORT_EXTENSION
from web.domain.access import Actor, Permission
from web.domain.errors import ControllerError, InvalidError, SignInRequiredError, UnavailableError
from web.domain.live import RESYNC, TOPICS, LiveEvent
from web.errors import problem_response
from web.refusals import note_refusal
from web.services.controller import Controller
from web.services.entry import accounts
from web.sessions import session_token, signed_in

_METERS_LIMIT = 64
_PAUSE_SECONDS = (0.05, 0.25)
_PAGES_PER_SECOND = 4_000
"""What changes together is sent together: the longer the more pages are open, since each send costs the same."""
_RETRY_MS = 2_000
_PING = b"event: ping\ndata: -\n\n"
_UNSENT_BYTES = 4 * 1024
_UNREAD_BYTES = 16 * 1024
"""What may lie here and in the kernel before a reader counts as stuck."""

_log = structlog.get_logger()


async def show(request: Request) -> Response:
    """`GET /events?topics=job,node&meters=ID,ID`: events of these topics, levels of these interfaces.

    Topics that this version does not know are passed over. A browser without a session gets 401.
    """
    controller: Controller = request.app.state.controller
    try:
        request.scope["user"] = by = await signed_in(request)
        looking = _Looking.of(request)
        if looking.interface_ids:
            await controller.meters.keep_watched(looking.interface_ids, by=by)
    except ControllerError as fault:
        await note_refusal(request, fault, by=request.scope.get("user"), path="/events")
        return await problem_response(request, fault)
    return _Stream(
        _events(controller, looking, by),
        ping=0,
        send_timeout=controller.timeouts.page_stuck,
    )


ROUTE = Route("/events", show, methods=["GET"], name="live.show")


@dataclass(frozen=True)
class _Looking:
    """What a page shows, and whose page it is."""

    topics: frozenset[str]
    interface_ids: list[UUID]
    token: str

    @classmethod
    def of(cls, request: Request) -> _Looking:
        """Raises InvalidError."""
        ids = [text for text in request.query_params.get("meters", "").split(",") if text]
        if len(ids) > _METERS_LIMIT:
            raise InvalidError(f"A page may show the meters of {_METERS_LIMIT} interfaces.", field="meters")
        try:
            interface_ids = sorted({UUID(text) for text in ids})
        except ValueError as fault:
            raise InvalidError("Meters are asked for by the ids of interfaces.", field="meters") from fault
        topics = TOPICS.intersection(request.query_params.get("topics", "").split(","))
        return cls(topics, interface_ids, session_token(request) or "")

    @property
    def session_id(self) -> UUID | None:
        return token_id("session", self.token)

    def wants(self, event: LiveEvent) -> bool:
        if event.name == "meters":
            return event.id in self.interface_ids
        return event.name in self.topics


async def _events(controller: Controller, looking: _Looking, by: Actor) -> AsyncIterator[bytes]:
    """Until the session ends or the controller stops."""
    clock, pause, viewer = asyncio.get_running_loop(), _pause(controller, looking), _Viewer(controller, looking, by)
    with controller.notifications.watching_pages(viewer.may_hear) as box:
        yield f"retry: {_RETRY_MS}\n\n".encode() + RESYNC.wire
        check_at = clock.time() + pause
        while not controller.stopping.is_set():
            await box.filled_within(min(check_at - clock.time(), controller.timeouts.page_ping))
            events = box.take()
            if any(event.name == "session" for event in events):
                return
            is_changed = any(event.name == "access" for event in events)
            if is_changed or clock.time() >= check_at:
                if not await viewer.is_still_looking():
                    return
                check_at = clock.time() + pause
            yield RESYNC.wire if is_changed else b"".join(event.wire for event in events) or _PING
            await asyncio.sleep(_rest(controller.notifications.pages))


def _rest(pages: int) -> float:
    """Seconds between two sends to one page."""
    shortest, longest = _PAUSE_SECONDS
    return min(max(pages / _PAGES_PER_SECOND, shortest), longest)


def _pause(controller: Controller, looking: _Looking) -> float:
    """Between two times of saying that the page is still looked at."""
    timeouts = controller.timeouts
    return min(timeouts.meter_watch / 3, timeouts.page_session) if looking.interface_ids else timeouts.page_session


class _Viewer:
    """Who looks at a page, with what they hold by now."""

    def __init__(self, controller: Controller, looking: _Looking, by: Actor) -> None:
        self._controller = controller
        self._looking = looking
        self._by = by

    def may_hear(self, event: LiveEvent) -> bool:
        if event.name in ("session", "access"):
            return event.name == "access" or event.id == self._looking.session_id
        return self._looking.wants(event) and self._by.scope(event.to_hear).covers(event.node_id, event.folder)

    async def is_still_looking(self) -> bool:
        """Keeps its inputs watched, and its session: an open page is a session that is used. False once that has ended.

        What was given to or taken from its user counts from then on.
        """
        try:
            self._by, _ = await accounts.authenticate_session(self._controller.db, self._looking.token)
            if self._looking.interface_ids and self._by.may(Permission.NODE_READ):
                await self._controller.meters.keep_watched(self._looking.interface_ids, by=self._by)
        except SignInRequiredError:
            return False
        except UnavailableError as fault:
            _log.warning("a page is kept although nothing can be asked", reason=str(fault))
        return True


class _Stream(EventSourceResponse):
    """Cuts off a reader that takes nothing for too long; its browser opens another stream when it reads again."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: Any = scope.get("extensions", {}).get(TRANSPORT_EXTENSION)
        if transport is not None:
            transport.set_write_buffer_limits(high=_UNSENT_BYTES)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_BYTES)
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:
            _log.info("a page that reads nothing was cut off")
            if transport is not None:
                transport.abort()
                await asyncio.sleep(0)  # the server hears of it before this returns
