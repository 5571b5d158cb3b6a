"""Recordings."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from protocol.messages import InterfaceRef, Wish
from web.domain.access import NOTHING, Scope
from web.domain.errors import NotFoundError
from web.domain.previews import packed, unpacked
from web.domain.recordings import Recording, StartRecording
from web.domain.states import CacheState, Health, Mark, RecordingState, Severity, UploadStatus
from web.store.database import Row, Session


async def get(session: Session, recording_id: UUID, *, scope: Scope, nodes: Scope = NOTHING) -> Recording:
    """`nodes` are those whose names may be told. Raises NotFoundError, also for one outside the scope."""
    row = await session.row("recording_cards", recording_id=recording_id, scope=scope.sql, nodes=nodes.sql)
    if row is None:
        raise NotFoundError("recording", recording_id)
    return _recording(row)


async def latest(
    session: Session,
    *,
    scope: Scope,
    nodes: Scope = NOTHING,
    limit: int = 50,
    first: UUID | None = None,
    before: UUID | None = None,
    states: Sequence[RecordingState] = (),
    text: str = "",
) -> list[Recording]:
    """Newest first; from the recording `first` on, behind `before`, in these states, if they are named.

    `nodes` are those whose names may be told. `text` is looked for in name, folder, tags and such a name, in any case.
    """
    rows = await session.rows(
        "newest_recording_cards",
        scope=scope.sql,
        nodes=nodes.sql,
        limit=limit,
        first=first,
        before=before,
        states=list(states) or None,
        text=text or None,
    )
    return [_recording(row) for row in rows]


async def count(
    session: Session,
    *,
    scope: Scope,
    nodes: Scope = NOTHING,
    limit: int,
    after: UUID | None = None,
    states: Sequence[RecordingState] = (),
    text: str = "",
) -> int:
    """How many match as in `latest`, all or those newer than the recording `after`; never more than the limit."""
    rows = await session.rows(
        "matching_recordings",
        scope=scope.sql,
        nodes=nodes.sql,
        limit=limit,
        after=after,
        states=list(states) or None,
        text=text or None,
    )
    return int(rows[0]["recordings"])


async def request_digest(session: Session, recording_id: UUID) -> str | None:
    """What the id was first used for; None when it was not used."""
    row = await session.row("request_digest", recording_id=recording_id)
    return None if row is None else str(row["request_digest"])


async def add(session: Session, request: StartRecording, *, profile_id: UUID, created_by: str) -> bool:
    """False when the id exists."""
    row = await session.row(
        "add_recording",
        id=request.id,
        request_digest=request.digest(),
        name=request.name,
        folder=request.folder,
        node_id=request.node_id,
        profile_id=profile_id,
        upload_policy_ids=request.upload_policy_ids,
        created_by=created_by,
    )
    if row is None:
        return False
    if request.tags:
        await session.rows("add_tags", recording_id=request.id, tags=request.tags)
    return True


async def queue_again(session: Session, recording_id: UUID) -> None:
    """As it was before its first attempt, for another one."""
    await session.rows("queue_again", recording_id=recording_id)


async def follow_phase(session: Session, recording_id: UUID, state: RecordingState, *, length_ms: int) -> bool:
    """Move on to the state that the job's phase implies; False when that changes nothing.

    `length_ms` is what was captured so far: the recording began so long ago.
    """
    row = await session.row(
        "follow_phase", recording_id=recording_id, state=state, length=timedelta(milliseconds=length_ms)
    )
    return row is not None


async def salvage(session: Session, cache_file_id: UUID, *, duration_ms: int, started_at: datetime | None) -> None:
    """Content for a recording that failed, if this file stands for it: its state and health stay what they were."""
    await session.rows("salvage_recording", cache_file_id=cache_file_id, duration_ms=duration_ms, started_at=started_at)


async def set_mark(session: Session, recording_id: UUID, mark: Mark | None) -> None:
    await session.rows("set_mark", recording_id=recording_id, mark=mark)


async def severities(session: Session, recording_id: UUID) -> list[Severity]:
    """Of the recording's own health events."""
    return [Severity(row["severity"]) for row in await session.rows("severities", recording_id=recording_id)]


async def lock_health(session: Session, recording_id: UUID) -> tuple[RecordingState, Health | None]:
    """Where it stands, until the transaction ends. Raises NotFoundError."""
    row = await session.row("recording_state", recording_id=recording_id)
    if row is None:
        raise NotFoundError("recording", recording_id)
    return RecordingState(row["state"]), None if row["health"] is None else Health(row["health"])


async def set_health(session: Session, recording_id: UUID, health: Health) -> None:
    await session.rows("set_health", recording_id=recording_id, health=health)


async def set_preview(session: Session, recording_id: UUID, cache_file_id: UUID, levels: Sequence[int]) -> None:
    """Kept only if this file stands for the recording."""
    await session.rows("set_preview", recording_id=recording_id, cache_file_id=cache_file_id, preview=packed(levels))


async def tell(session: Session, recording_id: UUID) -> None:
    """Pages that show it hear of it once the transaction commits."""
    await session.rows("tell_recording", id=recording_id)


def _recording(row: Row) -> Recording:
    return Recording(
        id=row["id"],
        name=row["name"],
        folder=row["folder"],
        tags=row["tags"],
        node_id=row["node_id"],
        node_name=row["node_name"] if row["knows_node"] else None,
        interface=InterfaceRef(backend=row["backend"], name=row["interface"]),
        profile_id=row["profile_id"],
        state=RecordingState(row["state"]),
        mark=None if row["mark"] is None else Mark(row["mark"]),
        health=None if row["health"] is None else Health(row["health"]),
        wish=Wish(row["wish"]),
        reason=row["reason"],
        message=row["message"],
        job_id=row["job_id"],
        attempt=row["attempt"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        duration_ms=row["duration_ms"],
        cache_state=CacheState(row["cache_state"]),
        cache_file_id=row["cache_file_id"],
        upload_status=UploadStatus(row["upload_status"]),
        preview=None if row["preview"] is None else unpacked(row["preview"]),
        lost_at=row["lost_at"],
        salvaged_at=row["salvaged_at"],
    )
