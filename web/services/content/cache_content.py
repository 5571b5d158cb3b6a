"""The bytes of cache files on their way in: taken up where they stopped, proved, put in place.

Who may send is decided elsewhere. Everything that touches the disk runs in threads, a bounded number at once.
"""

import base64
import binascii
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import anyio
from anyio import CancelScope, CapacityLimiter, lowlevel, to_thread

from core_rs import Digest
from protocol.messages import HEAD_BYTES_OF, PartName, PartOffsets, PartSeal, RecordingFacts, SealRequest
from web.cache.checks import check_audio, check_facts, check_ledger, check_seek, check_waveform
from web.cache.errors import ContentError
from web.cache.folder import CacheFolder, PartBusyError, PartLostError, PartWriter, is_disk_full
from web.domain.cache_files import VerifiedPart, VerifiedParts, seals_in
from web.domain.errors import (
    ConflictError,
    DigestMismatchError,
    InvalidError,
    NoSpaceError,
    TooLargeError,
    UnavailableError,
    UploadReplacedError,
    WrongOffsetError,
)

PARTS: tuple[PartName, ...] = tuple(HEAD_BYTES_OF)
LEDGER_LIMIT_BYTES = 32 * 1024 * 1024
ROOM_BYTES = 64 * 1024 * 1024
"""With less beside the reserve the disk counts as full: what a few nodes send at once is refused then."""
_WRITE_BYTES = 512 * 1024
_HASH_BYTES = 32 * 1024 * 1024
_REMEMBERED_BODIES = 4096
_LOOKED_INTO: frozenset[PartName] = frozenset({"seek", "ledger"})
"""Parts that a seal reads from the disk besides: when one changed there, that is not said to be its sender's fault."""

_Key = tuple[UUID, PartName]
_T = TypeVar("_T")


@dataclass(frozen=True)
class ContentLimits:
    """What the cache store takes in."""

    request_bytes: int
    cache_file_bytes: int
    disk_reserve_bytes: int
    workers: int
    stall_seconds: float


class CacheContent:
    """Every upload of one controller."""

    def __init__(self, folder: CacheFolder, limits: ContentLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._workers = CapacityLimiter(limits.workers)
        self._turns: dict[_Key, _Turn] = {}
        self._bodies: OrderedDict[_Key, _Body] = OrderedDict()
        self._promised_bytes = 0
        self._stopping = False

    def stop(self) -> None:
        """Cuts every upload at a durable offset; none is begun any more. Seals under way go on."""
        self._stopping = True
        for turn in self._turns.values():
            if not turn.is_seal:
                turn.scope.cancel()

    async def offset(self, cache_file_id: UUID, part: PartName) -> int:
        """How many bytes of the part are here: where an upload goes on."""
        return await self._work(lambda: self._folder.length(cache_file_id, part))

    async def offsets(self, cache_file_id: UUID) -> PartOffsets:
        """The same for every part."""
        return PartOffsets(
            **await self._work(lambda: {part: self._folder.length(cache_file_id, part) for part in PARTS})
        )

    async def has_room(self) -> bool:
        """Whether usual uploads can be taken in without touching the reserve of the disk."""
        free_bytes = await self._work(self._folder.free_bytes)
        return free_bytes >= self._limits.disk_reserve_bytes + ROOM_BYTES

    async def append(
        self,
        cache_file_id: UUID,
        part: PartName,
        start: int,
        stop: int,
        blocks: AsyncIterator[bytes],
        *,
        received_at: float,
    ) -> int:
        """Takes in the bytes from `start` to `stop`; what arrived is durable in the end, also when the sender stops.

        Returns the new offset. Of two calls for the same part the one received later goes on, the other ends with
        UploadReplacedError. Raises ConflictError for a part that is in its final place, WrongOffsetError,
        TooLargeError, NoSpaceError, UnavailableError, and InvalidError for more bytes than announced.
        """
        self._refuse_too_much(part, start, stop)
        async with self._turn((cache_file_id, part), received_at), self._opened(cache_file_id, part) as upload:
            if upload.writer.is_installed:
                raise ConflictError("This part was sealed; nothing is added to it.")
            if upload.writer.offset != start:
                raise WrongOffsetError(upload.writer.offset, part)
            async with self._room_for(upload, stop - start):
                await self._hash_what_is_there(upload)
                await self._take_in(upload, stop - start, blocks)
            return upload.writer.offset

    @asynccontextmanager
    async def alone_with(self, cache_file_id: UUID) -> AsyncIterator[None]:
        """Inside, nobody else writes or seals this cache file here. Uploads of it are ended, seals waited for."""
        async with AsyncExitStack() as turns:
            for part in PARTS:
                await turns.enter_async_context(self._turn((cache_file_id, part), math.inf))
            yield

    async def prove(self, cache_file_id: UUID, seal: SealRequest) -> VerifiedParts:
        """Makes sure that every part is what the seal says, and durable under its final name. Only inside `alone_with`.

        Repeatable after a crash at any step. Raises WrongOffsetError for a part that is not all here,
        DigestMismatchError for one that differs (it was emptied), InvalidError for heads that contradict the facts.
        """
        seals = seals_in(seal)
        heads = {part: _head_in(part, one) for part, one in seals.items()}
        for part, one in seals.items():
            await self._require_length(cache_file_id, part, one.bytes)
        for part, one in seals.items():
            await self._require_body(cache_file_id, part, one.body_sha256)
        await self._require_sense(cache_file_id, seals, heads, seal.facts)
        lengths = {part: one.bytes for part, one in seals.items()}
        await self._work(lambda: self._folder.install(cache_file_id, heads, lengths))
        return {part: VerifiedPart(one.bytes, one.head_sha256, one.body_sha256) for part, one in seals.items()}

    async def discard(self, cache_file_id: UUID) -> None:
        """Removes all bytes of a cache file that nobody can seal. Raises ConflictError while another writes it."""
        async with self.alone_with(cache_file_id):
            await self._work(lambda: self._folder.discard(cache_file_id))
            self.forget(cache_file_id)

    def forget(self, cache_file_id: UUID) -> None:
        """It is sealed or gone: what was remembered for going on is of no use any more."""
        for part in PARTS:
            self._bodies.pop((cache_file_id, part), None)

    # ---- taking in ----

    def _refuse_too_much(self, part: PartName, start: int, stop: int) -> None:
        if stop - start > self._limits.request_bytes:
            raise TooLargeError(f"One request may have at most {self._limits.request_bytes} bytes.")
        most = LEDGER_LIMIT_BYTES if part == "ledger" else self._limits.cache_file_bytes
        if stop > most:
            raise TooLargeError(f"The part {part} may have at most {most} bytes.")

    @asynccontextmanager
    async def _turn(self, key: _Key, received_at: float) -> AsyncIterator[None]:
        """One at a time for each part: a later request ends an earlier one. A seal (infinitely late) is waited for."""
        if self._stopping:
            raise UnavailableError("The controller is stopping. Ask again in a moment.")
        other = self._turns.get(key)
        if other is not None and not other.is_seal and other.received_at > received_at:
            raise UploadReplacedError
        mine = self._turns[key] = _Turn(CancelScope(), anyio.Event(), received_at)
        try:
            with mine.scope:
                if other is not None:
                    await _let_finish(other)
                await lowlevel.checkpoint()
                yield
        finally:
            mine.done.set()
            if self._turns.get(key) is mine:
                del self._turns[key]
        if mine.scope.cancelled_caught:
            if self._stopping:
                raise UnavailableError("The controller is stopping. Ask again in a moment.")
            raise UploadReplacedError

    @asynccontextmanager
    async def _opened(self, cache_file_id: UUID, part: PartName) -> AsyncIterator["_Upload"]:
        key = (cache_file_id, part)
        writer = await self._work(lambda: self._folder.open_part(cache_file_id, part))
        body = self._bodies.pop(key, None)
        if body is None or body.offset != writer.offset:
            body = _Body(Digest(), 0)
        try:
            yield _Upload(writer, body)
        finally:
            with CancelScope(shield=True):
                await self._work(writer.close)
            if body.offset == writer.offset:
                self._remember(key, body)

    def _remember(self, key: _Key, body: "_Body") -> None:
        self._bodies[key] = body
        if len(self._bodies) > _REMEMBERED_BODIES:
            self._bodies.popitem(last=False)

    @asynccontextmanager
    async def _room_for(self, upload: "_Upload", wanted_bytes: int) -> AsyncIterator[None]:
        free_bytes = await self._work(self._folder.free_bytes)
        if free_bytes - self._promised_bytes - wanted_bytes < self._limits.disk_reserve_bytes:
            raise NoSpaceError
        upload.promised_bytes = wanted_bytes
        self._promised_bytes += wanted_bytes
        try:
            yield
        finally:
            self._promised_bytes -= upload.promised_bytes

    async def _hash_what_is_there(self, upload: "_Upload") -> None:
        """After a restart: the digest of the body so far is not remembered."""
        body, writer = upload.body, upload.writer
        while (start := body.offset) < writer.offset:
            stop = min(start + _HASH_BYTES, writer.offset)
            await self._work(lambda start=start, stop=stop: writer.add_to(body.digest, start, stop))  # type: ignore[misc]
            body.offset = stop

    async def _take_in(self, upload: "_Upload", wanted_bytes: int, blocks: AsyncIterator[bytes]) -> None:
        waiting, received_bytes = bytearray(), 0
        try:
            while block := await self._next_of(blocks):
                received_bytes += len(block)
                if received_bytes > wanted_bytes:
                    raise InvalidError(
                        f"The body is longer than the {wanted_bytes} bytes of its Content-Range.", field="body"
                    )
                waiting += block
                if len(waiting) >= _WRITE_BYTES:
                    full, waiting = waiting, bytearray()
                    await self._store(upload, full)
        finally:
            with CancelScope(shield=True):
                await self._store(upload, waiting, durably=True)

    async def _next_of(self, blocks: AsyncIterator[bytes]) -> bytes:
        """The next block, empty at the end. Raises UnavailableError when none comes."""
        try:
            with anyio.fail_after(self._limits.stall_seconds):
                async for block in blocks:
                    if block:
                        return block
        except TimeoutError as stalled:
            raise UnavailableError(f"No byte came for {self._limits.stall_seconds:g} s.") from stalled
        return b""

    async def _store(self, upload: "_Upload", data: bytearray, *, durably: bool = False) -> None:
        writer, body = upload.writer, upload.body

        def write() -> None:
            writer.append(data, body.digest)
            if durably:
                writer.sync()

        try:
            await self._work(write)
        except UnavailableError:
            body.offset = -1
            raise
        finally:
            if body.offset >= 0:
                upload.promised_bytes -= writer.offset - body.offset
                self._promised_bytes -= writer.offset - body.offset
                body.offset = writer.offset

    # ---- proving ----

    async def _require_length(self, cache_file_id: UUID, part: PartName, wanted_bytes: int) -> None:
        found_bytes = await self.offset(cache_file_id, part)
        if found_bytes < wanted_bytes:
            raise WrongOffsetError(found_bytes, part)
        if found_bytes > wanted_bytes:
            await self._empty(cache_file_id, part)
            raise DigestMismatchError(part, f"It has {found_bytes} bytes instead of {wanted_bytes}.")

    async def _require_body(self, cache_file_id: UUID, part: PartName, wanted_sha256: str) -> None:
        """What was summed up while it arrived is enough, except of parts that are looked into; all else is read again
        before it is called wrong."""
        remembered = self._bodies.pop((cache_file_id, part), None)
        if part in _LOOKED_INTO:
            remembered = None
        if remembered is not None and remembered.digest.hexdigest() == wanted_sha256:
            self._remember((cache_file_id, part), remembered)
            return
        async with self._opened(cache_file_id, part) as upload:
            await self._hash_what_is_there(upload)
        found_sha256 = upload.body.digest.hexdigest()
        if found_sha256 != wanted_sha256:
            await self._empty(cache_file_id, part)
            raise DigestMismatchError(part, f"The SHA-256 behind its head is {found_sha256}, not {wanted_sha256}.")

    async def _require_sense(
        self,
        cache_file_id: UUID,
        seals: dict[PartName, PartSeal],
        heads: dict[PartName, bytes],
        facts: RecordingFacts,
    ) -> None:
        try:
            check_facts(facts)
            check_audio(heads["audio"], seals["audio"].bytes, facts)
            check_waveform(heads["waveform"], seals["waveform"].bytes, facts)
            await self._work(lambda: check_seek(self._folder.path(cache_file_id, "seek"), seals["audio"].bytes, facts))
            await self._work(lambda: check_ledger(self._folder.path(cache_file_id, "ledger").read_bytes()))
        except ContentError as fault:
            raise InvalidError(str(fault), field="facts") from fault

    async def _empty(self, cache_file_id: UUID, part: PartName) -> None:
        self._bodies.pop((cache_file_id, part), None)
        await self._work(lambda: self._folder.empty(cache_file_id, part))

    async def _work(self, act: Callable[[], _T]) -> _T:
        with _told_to_clients():
            return await to_thread.run_sync(act, limiter=self._workers)


@dataclass(frozen=True)
class _Turn:
    scope: CancelScope
    done: anyio.Event
    received_at: float

    @property
    def is_seal(self) -> bool:
        return math.isinf(self.received_at)


@dataclass
class _Body:
    """The digest of what lies behind the head, for a part of `offset` bytes."""

    digest: Digest
    offset: int


@dataclass
class _Upload:
    writer: PartWriter
    body: _Body
    promised_bytes: int = 0


async def _let_finish(turn: _Turn) -> None:
    if not turn.is_seal:
        turn.scope.cancel()
    with CancelScope(shield=True):
        await turn.done.wait()


def _head_in(part: PartName, seal: PartSeal) -> bytes:
    try:
        head = base64.b64decode(seal.head, validate=True)
    except binascii.Error as fault:
        raise InvalidError(f"The head of {part} is no base64.", field=part) from fault
    wanted_bytes = min(HEAD_BYTES_OF[part], seal.bytes)
    if len(head) != wanted_bytes:
        raise InvalidError(f"The head of {part} must have {wanted_bytes} bytes but has {len(head)}.", field=part)
    found_sha256 = sha256(head).hexdigest()
    if found_sha256 != seal.head_sha256:
        raise DigestMismatchError(part, f"The SHA-256 of its head is {found_sha256}.", offset=seal.bytes)
    return head


@contextmanager
def _told_to_clients() -> Iterator[None]:
    """Faults of the disk in the words of the domain."""
    try:
        yield
    except PartBusyError as fault:
        raise ConflictError("Another controller is writing this part.") from fault
    except PartLostError as fault:
        raise UnavailableError(f"The disk lost what was written; send it again from the start. ({fault})") from fault
    except OSError as fault:
        if is_disk_full(fault):
            raise NoSpaceError from fault
        raise
