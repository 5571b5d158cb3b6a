"""The end of a job, whoever brings it about."""

from datetime import datetime
from uuid import UUID

from web.domain.access import Actor, NodeActor
from web.domain.audit import Object, Outcome
from web.domain.endings import Ending
from web.domain.health import health_of_end
from web.domain.states import Health, JobState
from web.services.auditing import audit
from web.store import jobs, recordings
from web.store.database import Session


async def end_without_content(
    session: Session,
    job_id: UUID,
    recording_id: UUID,
    *,
    epoch: int,
    state: JobState,
    reason: str,
    message: str,
    was_asked: bool,
    by: Actor | NodeActor,
    supersede: bool = False,
    lost_at: datetime | None = None,
) -> bool:
    """End job and recording in this transaction and sync the health (J8); False when the job was not live.

    `supersede` takes the epoch from whoever holds it; `lost_at` is when that was last heard. The job is locked already.
    """
    health = await health_at_end(session, recording_id, state, was_asked=was_asked)
    ending = Ending(state, reason, message, health, lost_at=lost_at)
    return await end_job(session, job_id, recording_id, ending, epoch=epoch, by=by, supersede=supersede)


async def end_job(
    session: Session,
    job_id: UUID,
    recording_id: UUID,
    ending: Ending,
    *,
    epoch: int,
    by: Actor | NodeActor,
    supersede: bool = False,
) -> bool:
    """End job and recording so, and put it on the record; False when the job was not live."""
    if not await jobs.end(session, job_id, ending, epoch=epoch, actor=by.name, supersede=supersede):
        return False
    await audit.note(
        session,
        by,
        "recording.end",
        Object("recording", recording_id),
        after={"state": ending.state, "reason": ending.reason, "job_id": job_id},
        outcome=Outcome.FAILED if ending.state is JobState.FAILED else Outcome.DONE,
        reason=ending.message,
    )
    return True


async def health_at_end(session: Session, recording_id: UUID, state: JobState, *, was_asked: bool) -> Health:
    """Never better than what the recording's own events say; events that come later wait for this transaction."""
    if state is JobState.FAILED:
        return Health.CRITICAL
    await recordings.lock_health(session, recording_id)
    severities = await recordings.severities(session, recording_id)
    return health_of_end(state, was_asked=was_asked, severities=severities)
