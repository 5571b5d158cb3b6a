"""The end of a job without content, whoever brings it about."""

from uuid import UUID

from web.domain.health import health_of_end
from web.domain.states import JobState, RecordingState
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
    actor: str,
    supersede: bool = False,
) -> bool:
    """End job and recording in this transaction and sync the health (J8); False when the job was not live.

    `supersede` takes the epoch from whoever holds it. The job is locked already.
    """
    ended = await jobs.end(
        session,
        job_id,
        state,
        epoch=epoch,
        reason=reason,
        message=message,
        actor=actor,
        supersede=supersede,
    )
    if ended:
        severities = await recordings.severities(session, recording_id)
        health = health_of_end(state, was_asked=was_asked, severities=severities)
        await recordings.end(session, recording_id, RecordingState(state.value), health)
        await recordings.tell(session, recording_id)
    return ended
