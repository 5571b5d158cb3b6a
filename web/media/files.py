"""Stored parts as responses: streamed, in ranges, and harmless in a browser."""

import re
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import quote
from uuid import UUID

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from protocol.messages import PartName
from web.domain.errors import NotCachedError
from web.media.ranges import ByteRange, is_known, range_holds, requested_range
from web.media.streaming import send_blocks, send_end, send_head
from web.services.controller import Controller

FILE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "private, no-store",
    "Accept-Ranges": "bytes",
}
_NAME_BYTES = 150

Disposition = Literal["inline", "attachment"]


@dataclass(frozen=True)
class StoredFile:
    """What a client gets to know of a stored part."""

    cache_file_id: UUID
    part: PartName
    bytes: int
    """As it was sealed."""
    media_type: str
    etag: str
    """Strong: names these very bytes."""
    changed_at: datetime
    name: str
    disposition: Disposition


class FileResponse(Response):
    """One stored part, or a range of it. Ends early when the client leaves or the controller stops."""

    def __init__(self, controller: Controller, file: StoredFile) -> None:
        self._controller = controller
        self._file = file
        self.background = None
        self.raw_headers = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        file, asked = self._file, {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if is_known(asked.get("if-none-match"), file.etag):
            await send_head(send, HTTPStatus.NOT_MODIFIED, _headers(file), self.raw_headers)
            return await send_end(send)
        try:
            async with self._controller.stored.opened(file.cache_file_id, file.part) as part:
                if part.length_bytes != file.bytes:
                    raise NotCachedError("damaged", "The stored file has another length than what was sealed.")
                span = None
                if range_holds(asked.get("if-range"), file.etag):
                    span = requested_range(asked.get("range"), part.length_bytes)
                await send_head(send, *_described(file, span, part.length_bytes), self.raw_headers)
                if scope["method"] == "HEAD":
                    return await send_end(send)
                span = span or ByteRange(0, part.length_bytes)
                await send_blocks(self._controller, part.blocks(span.start, span.stop), receive, send)
        except FileNotFoundError as gone:
            raise NotCachedError("damaged", "The stored file is missing from the controller's cache.") from gone


def download_name(name: str, started_at: datetime | None, suffix: str) -> str:
    """A name for the file that every system takes: what was recorded, and when (UTC)."""
    plain = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "_", name).strip(" .") or "recording"
    plain = plain.encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{plain} {started_at:%Y-%m-%d %H-%M-%S}Z{suffix}" if started_at else plain + suffix


def content_disposition(kind: Disposition, name: str) -> str:
    """RFC 6266: a plain name for old clients, the true one for all others."""
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_").replace("\\", "_")
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _described(file: StoredFile, span: ByteRange | None, file_bytes: int) -> tuple[HTTPStatus, dict[str, str]]:
    headers = _headers(file)
    if span is None:
        return HTTPStatus.OK, headers | {"Content-Length": str(file_bytes)}
    return HTTPStatus.PARTIAL_CONTENT, headers | {
        "Content-Length": str(span.stop - span.start),
        "Content-Range": f"bytes {span.start}-{span.stop - 1}/{file_bytes}",
    }


def _headers(file: StoredFile) -> dict[str, str]:
    return FILE_HEADERS | {
        "Content-Type": file.media_type,
        "Content-Disposition": content_disposition(file.disposition, file.name),
        "ETag": file.etag,
        "Last-Modified": format_datetime(file.changed_at, usegmt=True),
    }
