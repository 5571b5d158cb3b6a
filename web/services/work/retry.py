"""Another attempt at a recording that failed or was cancelled."""

from uuid import UUID

from protocol.ids import new_id
from protocol.messages import JobSettings
from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ConflictError
from web.domain.jobs import LastAttempt
from web.domain.recordings import Recording
from web.domain.states import JobState
from web.services.auditing import audit
from web.services.work.recordings import LEAD_SECONDS, require_capacity, require_takes_on
from web.store import jobs, nodes, recordings
from web.store.database import Database, Session


async def retry_recording(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Queue the recording again, with the settings of its first attempt; the attempts before stay as they ended.

    What the node still holds of it is delivered; else what is left of its window is captured. While a retry is under
    way, another changes nothing. Raises NotFoundError, CapacityError, NodeDrainingError, and ConflictError with the
    reason when there is nothing to retry: it goes on, it has its content, or its window is over and the node never had
    it.
    """
    by.require(Permission.RECORDING_CONTROL)
    async with db.transaction() as session:
        recording = await recordings.get(session, recording_id, scope=by.recordings)
        by.require(Permission.RECORDING_CONTROL, recording)
        node = await nodes.lock(session, recording.node_id)
        last = await jobs.last_attempt(session, recording_id)
        if last.state.is_terminal:
            _require_worthwhile(last)
            if not last.is_window_over:
                require_takes_on(node)
                await require_capacity(session, node, last.settings.starts_at, by=by)
            await _queue(session, recording_id, last, by)
        elif last.attempt == 1:
            raise ConflictError("This recording is still going on; stop or cancel it first.")
        return await recordings.get(session, recording_id, scope=by.recordings, nodes=by.nodes)


def _require_worthwhile(last: LastAttempt) -> None:
    if last.state is JobState.COMPLETED:
        raise ConflictError("This recording is complete; start a new one to record more.")
    if last.has_content:
        raise ConflictError("What was captured of this recording is here already; start a new one to record more.")
    if last.is_window_over and not last.may_be_on_node:
        raise ConflictError(
            f"The window of this recording was over at {last.window_ends_at:%Y-%m-%d %H:%M:%S} UTC and nothing of it "
            "was captured; start a new one."
        )


async def _queue(session: Session, recording_id: UUID, last: LastAttempt, by: Actor) -> None:
    job_id = new_id()
    await jobs.add_retry(session, job_id, last, settings=_pinned(last), lead=LEAD_SECONDS)
    await jobs.add_event(session, job_id, epoch=0, kind="created", actor=by.name)
    before, after = {"attempt": last.attempt}, {"attempt": last.attempt + 1, "job_id": job_id}
    await audit.note(session, by, "recording.retry", Object("recording", recording_id), before=before, after=after)
    await recordings.queue_again(session, recording_id)
    await nodes.raise_change_no(session, last.node_id)
    await jobs.tell(session, job_id)
    await recordings.tell(session, recording_id)


def _pinned(last: LastAttempt) -> JobSettings:
    """As the first attempt had them; a length is now the instant at which it would have ended.

    It does not reach back: what it may capture anew begins now.
    """
    return last.settings.model_copy(update={"duration_ms": None, "ends_at": last.window_ends_at, "preroll_ms": 0})
