"""An agent sends what it recorded, part by part, and seals it."""

import re
from contextlib import aclosing
from http import HTTPStatus
from typing import Literal
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from protocol.messages import (
    EPOCH_HEADER,
    NODE_RUN_HEADER,
    OFFSET_HEADER,
    CacheFileAnswer,
    CacheFileRequest,
    PartName,
    SealAnswer,
    SealRequest,
)
from web.api.endpoints import NO_STORE, Call
from web.domain.access import NodeActor, Scope
from web.domain.cache_files import CacheFile
from web.domain.errors import InvalidError
from web.domain.states import CacheState
from web.services.content import cache_files
from web.store import cache_files as stored_cache_files

SEAL_LIMIT_BYTES = 64 * 1024 * 1024
"""The facts of months have many clock pairs and segments."""

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/\*")


async def begin(call: Call, node: NodeActor, body: CacheFileRequest) -> CacheFileAnswer:
    """Begin a cache file, or hear how far it got."""
    cache_file = await cache_files.open_cache_file(call.controller.db, body, node=node)
    offsets = await call.controller.content.offsets(cache_file.id)
    return CacheFileAnswer(id=cache_file.id, offsets=offsets, state=_told(cache_file))


async def progress(call: Call, node: NodeActor, cache_file_id: UUID, part: PartName) -> Response:
    """Hear where the upload of a part goes on."""
    cache_file = await stored_cache_files.get(call.controller.db, cache_file_id, scope=_only(node))
    return _at(await call.controller.content.offset(cache_file.id, part))


async def append(call: Call, node: NodeActor, cache_file_id: UUID, part: PartName) -> Response:
    """Append the range of `Content-Range` to a part; it is durable when this is answered."""
    headers = call.request.headers
    start, stop = _range_in(headers.get("Content-Range", ""))
    epoch, node_run = _number_in(call.request, EPOCH_HEADER), _number_in(call.request, NODE_RUN_HEADER)
    await cache_files.require_append(call.controller.db, cache_file_id, epoch=epoch, node_run=node_run, node=node)
    async with aclosing(call.request.stream()) as blocks:
        offset = await call.controller.content.append(
            cache_file_id, part, start, stop, blocks, received_at=call.received_at
        )
    return _at(offset)


async def seal(call: Call, node: NodeActor, cache_file_id: UUID, body: SealRequest) -> SealAnswer:
    """End a recording with content: what is stored is proved, then everything happens at once. Repeatable."""
    db, content = call.controller.db, call.controller.content
    await stored_cache_files.get(db, cache_file_id, scope=_only(node))
    async with content.alone_with(cache_file_id):
        cache_file = await stored_cache_files.get(db, cache_file_id, scope=_only(node))
        if cache_file.state is CacheState.CACHED and cache_file.parts is not None:
            return await cache_files.seal(db, cache_file_id, body, cache_file.parts, node=node)
        await cache_files.require_append(db, cache_file_id, epoch=body.epoch, node_run=body.node_run, node=node)
        verified = await content.prove(cache_file_id, body)
        answer = await cache_files.seal(db, cache_file_id, body, verified, node=node)
    content.forget(cache_file_id)
    call.controller.sealed.set()
    return answer


def _only(node: NodeActor) -> Scope:
    return Scope(nodes=frozenset({node.node_id}))


def _told(cache_file: CacheFile) -> Literal["receiving", "sealed", "verified", "damaged"]:
    """As a node has to know it; what was removed here had been proved before."""
    match cache_file.state:
        case CacheState.RECEIVING:
            return "receiving"
        case CacheState.CACHED if cache_file.sha256 is None:
            return "sealed"
        case CacheState.DAMAGED:
            return "damaged"
    return "verified"


def _at(offset: int) -> Response:
    return Response(status_code=HTTPStatus.NO_CONTENT, headers={**NO_STORE, OFFSET_HEADER: str(offset)})


def _range_in(text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    if found is None or int(found[2]) < int(found[1]):
        raise InvalidError("Content-Range must be `bytes first-last/*`.", field="Content-Range")
    return int(found[1]), int(found[2]) + 1


def _number_in(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not re.fullmatch(r"\d{1,18}", text):
        raise InvalidError(f"The header {header} must be a number.", field=header)
    return int(text)
