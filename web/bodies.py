"""Bodies of requests that are read whole: never more, and never longer, than they may be."""

import asyncio
from contextlib import aclosing

from starlette.requests import Request

from web.domain.errors import TooLargeError, UnavailableError

SLOWEST_BYTES_PER_SECOND = 8 * 1024
"""A body may take longer than a short one by its length at this rate: the facts of months pass a slow line too."""


async def read_body(request: Request, limit_bytes: int, limit_seconds: float) -> bytes:
    """All of it. `limit_seconds` is for a short one.

    Raises TooLargeError, also before anything is read when its length is told, and UnavailableError when it is slow.
    """
    if _told_bytes(request) > limit_bytes:
        raise _too_large(limit_bytes)
    body, began = bytearray(), asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limit_seconds) as limit, aclosing(request.stream()) as blocks:
            async for block in blocks:
                body += block
                if len(body) > limit_bytes:
                    raise _too_large(limit_bytes)
                limit.reschedule(began + limit_seconds + len(body) / SLOWEST_BYTES_PER_SECOND)
    except TimeoutError as stalled:
        raise UnavailableError(f"The body arrived too slowly; send it within {limit_seconds:g} s.") from stalled
    return bytes(body)


def _told_bytes(request: Request) -> int:
    """0 when no length is told."""
    text = request.headers.get("content-length", "")
    return int(text[:19]) if text.isascii() and text.isdigit() else 0


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"The body may have at most {limit_bytes} bytes.")
