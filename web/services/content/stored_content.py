"""The bytes of cache files on their way out, in blocks, never whole in memory. Who may have them others decide."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from anyio import CancelScope, CapacityLimiter, to_thread

from core_rs import Digest
from protocol.messages import HEAD_BYTES_OF, PartName
from web.cache.folder import BLOCK_BYTES, CacheFolder
from web.domain.cache_files import VerifiedPart

_HASH_BYTES = 32 * 1024 * 1024
_T = TypeVar("_T")


@dataclass(frozen=True)
class Reading:
    """What one reading of a stored part found."""

    sha256: str
    """Of the whole part."""
    found: VerifiedPart


class StoredContent:
    """Everything that was sealed, as one controller reads it: a bounded number of reads at once."""

    def __init__(self, folder: CacheFolder, workers: int) -> None:
        self._folder = folder
        self._workers = CapacityLimiter(workers)

    @asynccontextmanager
    async def opened(self, cache_file_id: UUID, part: PartName) -> AsyncIterator["StoredPart"]:
        """Raises OSError when there is no such part."""
        path = self._folder.installed_path(cache_file_id, part)
        file = await self._work(lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            yield StoredPart(file, os.fstat(file).st_size, self._workers)
        finally:
            with CancelScope(shield=True):
                await self._work(lambda: os.close(file))

    async def read(self, cache_file_id: UUID, part: PartName) -> Reading:
        """Reads the stored part once, from its first byte to its last, from the disk rather than from memory.

        Raises OSError.
        """
        head_bytes = HEAD_BYTES_OF[part]
        whole, head, body = Digest(), Digest(), Digest()

        def add(file: int, start: int, stop: int) -> None:
            while start < stop:
                block = memoryview(_read_block(file, start, stop))
                whole.update(block)
                in_head = max(head_bytes - start, 0)
                head.update(block[:in_head])
                body.update(block[in_head:])
                start += len(block)

        async with self.opened(cache_file_id, part) as stored:
            await self._work(lambda: os.posix_fadvise(stored.file, 0, 0, os.POSIX_FADV_DONTNEED))
            for start in range(0, stored.length_bytes, _HASH_BYTES):
                stop = min(start + _HASH_BYTES, stored.length_bytes)
                await self._work(lambda start=start, stop=stop: add(stored.file, start, stop))  # type: ignore[misc]
        return Reading(whole.hexdigest(), VerifiedPart(stored.length_bytes, head.hexdigest(), body.hexdigest()))

    async def _work(self, act: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(act, limiter=self._workers)


@dataclass(frozen=True)
class StoredPart:
    """One open part."""

    file: int
    length_bytes: int
    workers: CapacityLimiter

    async def blocks(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes from `start` to `stop`. Raises OSError, also when the file ends before."""
        while start < stop:
            block = await to_thread.run_sync(_read_block, self.file, start, stop, limiter=self.workers)
            yield block
            start += len(block)


def _read_block(file: int, start: int, stop: int) -> bytes:
    block = os.pread(file, min(BLOCK_BYTES, stop - start), start)
    if not block:
        raise OSError(f"the stored file ends at byte {start}")
    return block
