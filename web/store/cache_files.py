"""Cache files."""

from datetime import timedelta
from uuid import UUID

from protocol.messages import CacheFileRequest, Origin, RecordingFacts, SealRequest, Wish
from web.domain.access import EVERYTHING, Scope
from web.domain.cache_files import CacheFile, VerifiedPart, VerifiedParts, missing_frames
from web.domain.errors import NotFoundError
from web.domain.leases import HeldJob
from web.domain.states import CacheState, JobState
from web.store.database import Row, Session


async def get(session: Session, cache_file_id: UUID, *, scope: Scope) -> CacheFile:
    """Raises NotFoundError, also for one outside the scope."""
    row = await session.row("cache_file", cache_file_id=cache_file_id, scope=scope.sql)
    if row is None:
        raise NotFoundError("cache file", cache_file_id)
    return _cache_file(row)


async def current_of(session: Session, recording_id: UUID, *, scope: Scope) -> CacheFile | None:
    """The file that stands for this recording, in whatever state; serve it only when `cached`."""
    row = await session.row("current_cache_file", recording_id=recording_id, scope=scope.sql)
    return None if row is None else _cache_file(row)


async def cached_without_checksum(session: Session, limit: int) -> list[CacheFile]:
    """Oldest first."""
    return [_cache_file(row) for row in await session.rows("cached_without_checksum", limit=limit)]


async def lock(session: Session, cache_file_id: UUID) -> CacheFile | None:
    row = await session.row("lock_cache_file", cache_file_id=cache_file_id)
    return None if row is None else _cache_file(row)


async def with_standing(session: Session, cache_file_id: UUID) -> tuple[CacheFile, HeldJob, int]:
    """A cache file, its job, and the current run of its node, in one read. Raises NotFoundError."""
    row = await session.row("append_standing", cache_file_id=cache_file_id)
    if row is None:
        raise NotFoundError("cache file", cache_file_id)
    job = HeldJob(
        id=row["job_id"],
        recording_id=row["recording_id"],
        node_id=row["node_id"],
        state=JobState(row["job_state"]),
        wish=Wish(row["job_wish"]),
        epoch=row["job_epoch"],
        reason=row["job_reason"],
        is_wanted_again=row["is_wanted_again"],
    )
    return _cache_file(row), job, row["current_run"]


async def add(session: Session, request: CacheFileRequest, *, recording_id: UUID) -> CacheFile:
    await session.rows("stand_back", recording_id=recording_id, cache_file_id=request.id)
    await session.rows(
        "add_cache_file",
        cache_file_id=request.id,
        recording_id=recording_id,
        job_id=request.job_id,
        epoch=request.epoch,
        origin=request.origin,
        codec=request.codec,
    )
    return await get(session, request.id, scope=EVERYTHING)


async def reopen(session: Session, cache_file_id: UUID, *, epoch: int, origin: Origin) -> CacheFile:
    await session.rows("reopen_cache_file", cache_file_id=cache_file_id, epoch=epoch, origin=origin)
    return await get(session, cache_file_id, scope=EVERYTHING)


async def seal(session: Session, cache_file: CacheFile, request: SealRequest, verified: VerifiedParts) -> None:
    await session.rows("stand_back", recording_id=cache_file.recording_id, cache_file_id=cache_file.id)
    await session.rows(
        "make_way",
        job_id=cache_file.job_id,
        cache_file_id=cache_file.id,
        missing_frames=missing_frames(request.facts),
    )
    await session.rows(
        "seal_cache_file",
        cache_file_id=cache_file.id,
        origin=request.origin,
        parts={name: vars(part) for name, part in verified.items()},
        facts=request.facts.model_dump(mode="json"),
    )


async def abandoned(session: Session, *, since: float, limit: int) -> list[UUID]:
    """Growing files that nobody can seal, of jobs that ended more than `since` seconds ago."""
    rows = await session.rows("abandoned_cache_files", since=timedelta(seconds=since), limit=limit)
    return [row["id"] for row in rows]


async def forget(session: Session, cache_file_id: UUID) -> UUID | None:
    """The recording of an abandoned file; None when it is none, and stays."""
    row = await session.row("forget_cache_file", cache_file_id=cache_file_id)
    return None if row is None else row["recording_id"]


async def queue_uploads(session: Session, cache_file: CacheFile) -> None:
    """One item for each of the recording's policies with the trigger `on_recording_cached`."""
    await session.rows("queue_uploads", recording_id=cache_file.recording_id, cache_file_id=cache_file.id)


async def set_checksum(session: Session, cache_file_id: UUID, sha256: str) -> UUID | None:
    """Its recording; None when it is not cached or has another checksum."""
    row = await session.row("set_checksum", cache_file_id=cache_file_id, sha256=sha256)
    return None if row is None else row["recording_id"]


async def mark_damaged(session: Session, cache_file_id: UUID) -> tuple[UUID, UUID] | None:
    """Its recording and job; None when it was not cached."""
    row = await session.row("mark_damaged", cache_file_id=cache_file_id)
    return None if row is None else (row["recording_id"], row["job_id"])


def _cache_file(row: Row) -> CacheFile:
    parts, facts = row["parts"], row["facts"]
    return CacheFile(
        id=row["id"],
        recording_id=row["recording_id"],
        node_id=row["node_id"],
        job_id=row["job_id"],
        epoch=row["epoch"],
        origin=Origin(row["origin"]),
        codec=row["codec"],
        state=CacheState(row["state"]),
        sha256=row["sha256"],
        parts=None if parts is None else {name: VerifiedPart(**part) for name, part in parts.items()},
        facts=None if facts is None else RecordingFacts(**facts),
        created_at=row["created_at"],
        cached_at=row["cached_at"],
    )
