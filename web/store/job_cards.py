"""Jobs as pages and programs see them, read."""

from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.access import Scope
from web.domain.errors import NotFoundError
from web.domain.jobs import Job
from web.domain.states import JobState
from web.store.database import Row, Session


async def get(session: Session, job_id: UUID, *, scope: Scope) -> Job:
    """Raises NotFoundError, also for one outside the scope."""
    row = await session.row("job_cards", job_id=job_id, scope=scope.node_ids)
    if row is None:
        raise NotFoundError("job", job_id)
    return _job(row)


async def latest(
    session: Session,
    *,
    scope: Scope,
    limit: int = 50,
    before: UUID | None = None,
    recording_id: UUID | None = None,
    state: JobState | None = None,
) -> list[Job]:
    """Newest first; those behind the job `before`, of this recording and in this state, if they are named."""
    rows = await session.rows(
        "newest_job_cards",
        scope=scope.node_ids,
        limit=limit,
        before=before,
        recording_id=recording_id,
        state=state,
    )
    return [_job(row) for row in rows]


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        recording_id=row["recording_id"],
        node_id=row["node_id"],
        attempt=row["attempt"],
        settings=JobSettings.model_validate(row["settings"]),
        state=JobState(row["state"]),
        wish=Wish(row["wish"]),
        epoch=row["epoch"],
        phase=row["phase"] and Phase(row["phase"]),
        frames=row["frames"],
        uploaded_bytes=row["uploaded_bytes"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        reason=row["reason"],
        message=row["message"],
    )
