"""Cache files are opened, grow, and are sealed: the end of a recording with content."""

from uuid import UUID

from protocol.messages import CacheFileRequest, SealAnswer, SealRequest
from web.domain.access import NodeActor
from web.domain.cache_files import CacheFile, VerifiedParts
from web.store.database import Database


async def open_cache_file(db: Database, request: CacheFileRequest, *, node: NodeActor) -> CacheFile:
    """Make the cache file of this id, or find it again. With an old epoch, or after a failed end, only as `salvaged`.

    Raises NotFoundError, NotYoursError, NodeRunSupersededError, EpochSupersededError, JobEndedError, and ConflictError
    when the id is used for something else or the recording is to be cancelled.
    """
    raise NotImplementedError


async def require_append(db: Database, cache_file_id: UUID, *, epoch: int, node_run: int, node: NodeActor) -> CacheFile:
    """The cache file, if this run may append to it now; one cheap read.

    Raises as open_cache_file, and ConflictError once it is sealed.
    """
    raise NotImplementedError


async def seal(
    db: Database, cache_file_id: UUID, request: SealRequest, verified: VerifiedParts, *, node: NodeActor
) -> SealAnswer:
    """Cached, recording and job completed, health synced, uploads queued, in one transaction. Twice is once.

    `verified` is what the controller found in its stored files, durable under their final names.
    Raises DigestMismatchError when that differs from the request, and as open_cache_file.
    """
    raise NotImplementedError


async def set_checksum(db: Database, cache_file_id: UUID, sha256: str) -> None:
    """Keep the SHA-256 of the whole stored audio. Only a cached file takes one."""
    raise NotImplementedError


async def mark_damaged(db: Database, cache_file_id: UUID, message: str) -> None:
    """What is stored is no longer what was sealed: never served again; a critical health event says `message`."""
    raise NotImplementedError


async def cached_without_checksum(db: Database, limit: int = 100) -> list[CacheFile]:
    """Sealed files whose stored bytes were not read back yet, oldest first."""
    raise NotImplementedError
