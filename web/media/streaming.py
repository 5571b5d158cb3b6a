"""Blocks to a client that may leave, from a controller that may stop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus

import anyio
import structlog
from starlette.types import Receive, Send

from web.domain.access import Actor
from web.domain.errors import SignInRequiredError, UnauthorisedError, UnavailableError
from web.services.controller import Controller

_log = structlog.get_logger()

Headers = Iterable[tuple[bytes, bytes]]


async def send_head(send: Send, status: HTTPStatus, headers: Mapping[str, str], added: Headers = ()) -> None:
    """`added` is what others gave the response besides."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*raw, *added]})


async def send_end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b""})


Until = Callable[[], Awaitable[object]]
"""Returns when nothing may be sent any more."""


async def send_blocks(
    controller: Controller,
    blocks: AsyncIterator[bytes],
    receive: Receive,
    send: Send,
    until: Until | None = None,
) -> None:
    """Sends all of them and the end of the body; ends early when the client leaves or the controller stops."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_cancel_after, tasks.cancel_scope, controller.stopping.wait)
        tasks.start_soon(_cancel_after, tasks.cancel_scope, lambda: _disconnected(receive))
        if until is not None:
            tasks.start_soon(_cancel_after, tasks.cancel_scope, until)
        async for block in blocks:
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send_end(send)
        tasks.cancel_scope.cancel()


async def let_in_no_more(
    controller: Controller, who: Callable[[], Awaitable[Actor]], may: Callable[[Actor], bool]
) -> None:
    """Returns soon after `who` lets nobody in any more, or `may` says no of what they hold by then."""
    while True:
        await asyncio.sleep(controller.timeouts.page_session)
        try:
            if not may(await who()):
                return
        except (SignInRequiredError, UnauthorisedError):
            return
        except UnavailableError as fault:
            _log.warning("it is not known whether somebody is still let in", reason=str(fault))


async def _cancel_after(scope: anyio.CancelScope, event: Until) -> None:
    await event()
    scope.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
