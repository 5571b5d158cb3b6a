"""Jobs as pages and programs see them, read."""

from collections.abc import Sequence
from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.access import NOTHING, Scope
from web.domain.errors import NotFoundError
from web.domain.jobs import Job, JobCount, JobEvent
from web.domain.states import JobState
from web.store.database import Row, Session


async def get(session: Session, job_id: UUID, *, scope: Scope, nodes: Scope = NOTHING) -> Job:
    """`nodes` are those whose names may be told. Raises NotFoundError, also for one outside the scope."""
    row = await session.row("job_card", job_id=job_id, scope=scope.sql, nodes=nodes.sql)
    if row is None:
        raise NotFoundError("job", job_id)
    return _job(row)


async def latest(
    session: Session,
    *,
    scope: Scope,
    nodes: Scope = NOTHING,
    limit: int = 50,
    before: UUID | None = None,
    recording_id: UUID | None = None,
    node_id: UUID | None = None,
    states: Sequence[JobState] = (),
    text: str = "",
) -> list[Job]:
    """Newest first; those behind the job `before`, of this recording and node, in these states, if they are named.

    `nodes` are those whose names may be told. `text` is looked for in the names of recording, interface and such a
    node, and in the reason.
    """
    rows = await session.rows(
        "newest_job_cards",
        scope=scope.sql,
        nodes=nodes.sql,
        limit=limit,
        before=before,
        recording_id=recording_id,
        node_id=node_id,
        states=list(states) or None,
        text=_literally(text) or None,
    )
    return [_job(row) for row in rows]


async def counts(session: Session, *, scope: Scope, limit: int) -> dict[JobState, JobCount]:
    """One entry for every state; none counts beyond `limit`."""
    if scope.everything:
        rows = await session.rows("job_counts", scope=scope.sql, states=list(JobState), limit=limit)
    else:
        rows = await session.rows(
            "job_counts_within",
            scope=scope.sql,
            nodes=sorted(scope.nodes),
            folders=scope.outermost_folders,
            states=list(JobState),
            limit=limit,
        )
    return {JobState(row["state"]): JobCount(row["jobs"], row["of_today"]) for row in rows}


async def history(session: Session, job_id: UUID, *, scope: Scope) -> list[JobEvent]:
    """Oldest first."""
    return [JobEvent(**row) for row in await session.rows("job_history", job_id=job_id, scope=scope.sql)]


def _literally(text: str) -> str:
    """For LIKE: no character of it stands for others."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _job(row: Row) -> Job:
    return Job(
        id=row["id"],
        recording_id=row["recording_id"],
        recording_name=row["recording_name"],
        folder=row["folder"],
        node_id=row["node_id"],
        node_name=row["node_name"],
        attempt=row["attempt"],
        settings=JobSettings.model_validate(row["settings"]),
        state=JobState(row["state"]),
        wish=Wish(row["wish"]),
        epoch=row["epoch"],
        phase=row["phase"] and Phase(row["phase"]),
        frames=row["frames"],
        uploaded_bytes=row["uploaded_bytes"],
        lease_seconds=row["lease_seconds"],
        start_frame=row["start_frame"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
        reason=row["reason"],
        message=row["message"],
        lost_at=row["lost_at"],
        salvaged_at=row["salvaged_at"],
        salvaged_ms=row["salvaged_ms"],
    )
