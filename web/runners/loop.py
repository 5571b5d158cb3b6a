"""What runs a runner: again and again, whatever a single tick does."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from web.domain.errors import UnavailableError

_log = structlog.get_logger()


async def keep_running(
    name: str, tick: Callable[[], Awaitable[object]], *, every_seconds: float, at_once_on: asyncio.Event | None = None
) -> None:
    """Ticks for ever, and at once when the event is set. A tick that fails is logged; the next comes in its time."""
    nudge = at_once_on or asyncio.Event()
    while True:
        nudge.clear()
        try:
            await tick()
        except UnavailableError as fault:
            _log.warning("runner waits", runner=name, reason=str(fault))
        except Exception:
            _log.exception("runner failed", runner=name)
        try:
            async with asyncio.timeout(every_seconds):
                await nudge.wait()
        except TimeoutError:
            continue
