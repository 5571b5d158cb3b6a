"""Listening to a recording from any moment on, also while it grows, as a response."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from web.domain.cache_files import CacheFile
from web.domain.errors import NotCachedError
from web.media.files import FILE_HEADERS
from web.media.streaming import Until, send_blocks, send_end, send_head
from web.services.controller import Controller

START_HEADER = "Reelkeeper-Start-Seconds"
"""Which moment of the recording is heard first, to the sample; up to one encoded frame before what was asked for."""


class LiveResponse(Response):
    """Sound that goes on as long as its recording does: one body without a length, never in ranges, kept by nobody."""

    def __init__(
        self,
        controller: Controller,
        cache_file: CacheFile,
        from_seconds: float | None,
        goes_on: Callable[[], Awaitable[bool]],
        until: Until | None,
    ) -> None:
        self._controller = controller
        self._cache_file = cache_file
        self._from_seconds = from_seconds
        self._goes_on = goes_on
        self._until = until
        self.background = None
        self.raw_headers = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        listening, cache_file = self._controller.listening, self._cache_file
        try:
            async with listening.opened(cache_file, self._from_seconds) as listener:
                headers = FILE_HEADERS | {
                    "Content-Type": cache_file.media_type,
                    "Accept-Ranges": "none",
                    START_HEADER: f"{listener.start_seconds:.6f}",
                }
                await send_head(send, HTTPStatus.OK, headers, self.raw_headers)
                if scope["method"] == "HEAD":
                    return await send_end(send)
                await send_blocks(self._controller, listener.blocks(self._goes_on), receive, send, self._until)
        except FileNotFoundError as gone:
            raise NotCachedError("none", "Nothing of this recording is here any more.") from gone
