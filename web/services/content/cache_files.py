"""Cache files are opened, grow, and are sealed: the end of a recording with content."""

from collections.abc import Sequence
from uuid import UUID

from protocol.messages import CacheFileRequest, SealAnswer, SealRequest
from web.domain.access import EVERYTHING, NodeActor, system
from web.domain.audit import Object
from web.domain.cache_files import (
    CacheFile,
    VerifiedParts,
    duration_ms,
    first_frame_at,
    heard_bytes,
    lacks_a_part,
    require_same,
)
from web.domain.endings import CUT_SHORT, Ending, mark_of, was_planned
from web.domain.errors import ConflictError, InvalidError, NotFoundError
from web.domain.health import Finding, findings_in
from web.domain.leases import Delivery, HeldJob, delivery_of, require_own, require_run
from web.domain.states import CacheState, Health, JobState, Severity
from web.services.auditing import audit
from web.services.work.endings import end_job, end_without_content, health_at_end
from web.store import cache_files, health_events, jobs, recordings
from web.store.database import Database, Session

_DAMAGED = "cache_file_damaged"
_OF_MISSING_PARTS = ("disk_missing", "part_given_up")
_PART_CAME = "What lay on a disk of the node that was away has come: the recording was delivered once more, whole."
_SENT_AGAIN = (
    "What the controller had stored was not what the node had sealed. The node has sent it once more, and that stands "
    "for the recording now. Check the disk and the memory of the controller."
)


async def open_cache_file(db: Database, request: CacheFileRequest, *, node: NodeActor) -> CacheFile:
    """Make the cache file of this id, or find it again. With an old epoch, or after a failed end, only as `salvaged`;
    after a completed one only in place of content that was damaged here, or that lacks a part.

    Raises NotFoundError, NotYoursError, NodeRunSupersededError, EpochSupersededError, JobEndedError, and ConflictError
    when the id is used for something else or the recording is to be cancelled.
    """
    async with db.transaction() as session:
        job, current_run = await jobs.hold(session, request.job_id, node_id=node.node_id)
        require_run(request.node_run, current_run)
        require_own(job, node.node_id)
        existing = await cache_files.lock(session, request.id)
        if existing is not None and (existing.job_id, existing.codec) != (request.job_id, request.codec):
            raise ConflictError(f"The id {request.id} is used for another cache file; take a new one.")
        if existing is not None and existing.state is not CacheState.RECEIVING:
            return existing
        delivery_of(job, epoch=request.epoch, origin=request.origin)
        if existing is None:
            return await cache_files.add(session, request, recording_id=job.recording_id)
        return await cache_files.reopen(session, existing.id, epoch=request.epoch, origin=request.origin)


async def require_append(db: Database, cache_file_id: UUID, *, epoch: int, node_run: int, node: NodeActor) -> CacheFile:
    """The cache file, if this run may append to it now; one cheap read.

    Raises as open_cache_file, and ConflictError once it is sealed.
    """
    cache_file, job, current_run = await cache_files.with_standing(db, cache_file_id)
    require_own(job, node.node_id)
    require_run(node_run, current_run)
    delivery_of(job, epoch=epoch, origin=cache_file.origin)
    _require_growing(cache_file)
    return cache_file


async def seal(
    db: Database, cache_file_id: UUID, request: SealRequest, verified: VerifiedParts, *, node: NodeActor
) -> SealAnswer:
    """Cached, recording and job completed, health synced, uploads queued, in one transaction. Twice is once.

    `verified` is what the controller found in its stored files, durable under their final names.
    Salvage is refused while a later attempt is under way, which delivers the same.
    Raises DigestMismatchError when that differs from the request, InvalidError when it is too little for a recording,
    and as open_cache_file.
    """
    require_same(request, verified)
    async with db.transaction() as session:
        job, current_run = await jobs.hold(session, request.job_id, node_id=node.node_id)
        require_run(request.node_run, current_run)
        require_own(job, node.node_id)
        retry = await _later_attempt(session, job)
        cache_file = await cache_files.lock(session, cache_file_id)
        if cache_file is None or cache_file.job_id != job.id:
            raise NotFoundError("cache file", cache_file_id)
        if cache_file.state is CacheState.CACHED and cache_file.parts == verified:
            return _sealed(cache_file)
        delivery = delivery_of(job, epoch=request.epoch, origin=request.origin)
        _require_growing(cache_file)
        if retry is not None and retry.state is JobState.RUNNING:
            raise ConflictError("A later attempt at this recording is under way and delivers what the node holds.")
        _require_enough(request, await jobs.minimum_bytes(session, job.id))
        await cache_files.seal(session, cache_file, request, verified)
        if delivery is Delivery.REPLACEMENT:
            await _replace(session, job, request, node)
        else:
            for finding in findings_in(request.facts, request.origin):
                await health_events.add(session, finding, node_id=job.node_id, job_id=job.id)
        if delivery is Delivery.RESULT:
            await _complete(session, job, request, node)
        elif delivery is Delivery.SALVAGE:
            await _salvage(session, job, cache_file, request, node)
            if retry is not None and retry.state is JobState.QUEUED:
                await _end_needless(session, retry, node)
        await cache_files.queue_uploads(session, cache_file)
    return _sealed(cache_file)


async def set_checksum(db: Database, cache_file_id: UUID, sha256: str) -> None:
    """Keep the SHA-256 of the whole stored audio. Raises ConflictError unless it is cached and has no other one."""
    async with db.transaction() as session:
        recording_id = await cache_files.set_checksum(session, cache_file_id, sha256)
        if recording_id is None:
            raise ConflictError(f"The cache file {cache_file_id} is not cached, or has another checksum.")
        await recordings.tell(session, recording_id)


async def keep_preview(db: Database, cache_file: CacheFile, levels: Sequence[int]) -> None:
    """What lists show of a recording, if this file stands for it."""
    async with db.transaction() as session:
        await recordings.set_preview(session, cache_file.recording_id, cache_file.id, levels)
        await recordings.tell(session, cache_file.recording_id)


async def mark_damaged(db: Database, cache_file_id: UUID, message: str) -> None:
    """What is stored is no longer what was sealed: never served again; a critical health event says `message`."""
    async with db.transaction() as session:
        found = await cache_files.mark_damaged(session, cache_file_id)
        if found is None:
            return
        recording_id, job_id = found
        cache_file = await cache_files.get(session, cache_file_id, scope=EVERYTHING)
        finding = Finding(_DAMAGED, Severity.CRITICAL, message)
        await health_events.add(session, finding, node_id=cache_file.node_id, job_id=job_id)
        await recordings.set_health(session, recording_id, Health.CRITICAL)
        await recordings.tell(session, recording_id)
        of, after = Object("recording", recording_id), {"cache_file_id": cache_file_id, "state": CacheState.DAMAGED}
        await audit.note(session, system("store check"), "recording.mark_damaged", of, after=after, reason=message)


async def cached_without_checksum(db: Database, limit: int = 100) -> list[CacheFile]:
    """Sealed files whose stored bytes were not read back yet, oldest first."""
    return await cache_files.cached_without_checksum(db, limit)


async def abandoned(db: Database, limit: int = 100) -> list[UUID]:
    """Files that never came to their seal although their job has ended, and cannot any more."""
    return await cache_files.abandoned(db, since=db.timeouts.grace_uploading, limit=limit)


async def forget_abandoned(db: Database, cache_file_id: UUID) -> None:
    """Its bytes are gone: the recording no longer shows it as growing. What can still be sealed stays."""
    async with db.transaction() as session:
        recording_id = await cache_files.forget(session, cache_file_id)
        if recording_id is not None:
            await recordings.tell(session, recording_id)
            of, before = Object("recording", recording_id), {"cache_file_id": cache_file_id}
            await audit.note(session, system("store tidying"), "recording.forget_unfinished", of, before=before)


def _sealed(cache_file: CacheFile) -> SealAnswer:
    return SealAnswer(
        recording_id=cache_file.recording_id, cache_state="cached", is_verified=cache_file.sha256 is not None
    )


async def _later_attempt(session: Session, job: HeldJob) -> HeldJob | None:
    """The newest attempt, locked, unless that is this job."""
    newest_id, _ = await jobs.newest_of(session, job.recording_id)
    return None if newest_id == job.id else await jobs.lock(session, newest_id)


def _require_enough(request: SealRequest, minimum_bytes: int) -> None:
    if heard_bytes(request.facts) < max(1, minimum_bytes):
        raise InvalidError(f"This is less than the {minimum_bytes} bytes that make a recording.", field="facts")


def _require_growing(cache_file: CacheFile) -> None:
    if cache_file.state is not CacheState.RECEIVING:
        raise ConflictError(f"The cache file {cache_file.id} is {cache_file.state} already; nothing of it changes.")


async def _complete(session: Session, job: HeldJob, request: SealRequest, node: NodeActor) -> None:
    cut_short = CUT_SHORT.get(request.facts.end_reason)
    was_asked = job.was_asked_to_end or was_planned(request.facts.end_reason)
    ending = Ending(
        JobState.COMPLETED,
        reason=request.facts.end_reason.replace(" ", "_"),
        message=None if cut_short is None else cut_short.message,
        health=await health_at_end(session, job.recording_id, JobState.COMPLETED, was_asked=was_asked),
        mark=mark_of(request.origin, request.facts.end_reason),
        duration_ms=duration_ms(request.facts),
        started_at=first_frame_at(request.facts),
    )
    await end_job(session, job.id, job.recording_id, ending, epoch=job.epoch, by=node)


async def _replace(session: Session, job: HeldJob, request: SealRequest, node: NodeActor) -> None:
    """The recording has ended long ago, and well again: what was found of its content then is known already."""
    await jobs.add_event(session, job.id, epoch=request.epoch, kind="delivered_again", actor=node.name)
    await audit.note(
        session, node, "recording.deliver_again", Object("recording", job.recording_id), after={"job_id": job.id}
    )
    await health_events.soften(session, _DAMAGED, _SENT_AGAIN, recording_id=job.recording_id)
    if not lacks_a_part(request.facts):
        await _tell_whole(session, job.recording_id)
        await recordings.set_mark(session, job.recording_id, mark_of(request.origin, request.facts.end_reason))
    was_asked = job.was_asked_to_end or was_planned(request.facts.end_reason)
    health = await health_at_end(session, job.recording_id, JobState.COMPLETED, was_asked=was_asked)
    await recordings.set_health(session, job.recording_id, health)
    await recordings.tell(session, job.recording_id)


async def _salvage(
    session: Session, job: HeldJob, cache_file: CacheFile, request: SealRequest, node: NodeActor
) -> None:
    await jobs.add_event(session, job.id, epoch=request.epoch, kind="salvaged", actor=node.name)
    of = Object("recording", job.recording_id)
    await audit.note(session, node, "recording.salvage", of, after={"job_id": job.id, "cache_file_id": cache_file.id})
    await health_events.soften(session, _DAMAGED, _SENT_AGAIN, recording_id=job.recording_id)
    if not lacks_a_part(request.facts):
        await _tell_whole(session, job.recording_id)
    await recordings.salvage(
        session, cache_file.id, duration_ms=duration_ms(request.facts), started_at=first_frame_at(request.facts)
    )
    await recordings.tell(session, job.recording_id)


async def _tell_whole(session: Session, recording_id: UUID) -> None:
    for kind in _OF_MISSING_PARTS:
        await health_events.soften(session, kind, _PART_CAME, recording_id=recording_id)


async def _end_needless(session: Session, retry: HeldJob, node: NodeActor) -> None:
    """What a retry would deliver has come by itself; nothing is captured in its stead."""
    await end_without_content(
        session,
        retry.id,
        retry.recording_id,
        epoch=retry.epoch,
        state=JobState.FAILED,
        reason="salvaged_before_retry",
        message="What the node still held of this recording arrived before it was tried again.",
        was_asked=False,
        by=node,
    )
