"""How things stand, read for the dashboard and the bar over every page."""

from datetime import timedelta
from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.access import NOTHING, Scope
from web.domain.standing import BarCounts, Concern, Concerns, LastDay, LiveRecording
from web.domain.states import RecordingState, Severity
from web.store.database import Row, Session


async def live_recordings(
    session: Session, *, scope: Scope, nodes: Scope = NOTHING, node_id: UUID | None = None
) -> list[LiveRecording]:
    """What has not ended, the longest running first; of one node when it is given.

    `nodes` are those whose names may be told.
    """
    rows = await session.rows("live_recordings", scope=scope.sql, nodes=nodes.sql, node_id=node_id)
    return [_live_recording(row) for row in rows]


async def busy_counts(session: Session, *, scope: Scope) -> dict[UUID, int]:
    """How much occupies each node of the scope, whatever it is; none for one that does nothing."""
    return {row["node_id"]: row["recordings"] for row in await session.rows("busy_counts", scope=scope.sql)}


async def bar_counts(session: Session, *, scope: Scope, health: Scope, since_seconds: float) -> BarCounts:
    """Recordings of the scope; concerns of the scope `health` that came up within `since_seconds`."""
    since = timedelta(seconds=since_seconds)
    row = await session.row("bar_counts", scope=scope.sql, health=health.sql, since=since)
    return BarCounts(0, 0) if row is None else BarCounts(**row)


async def newest_concerns(
    session: Session,
    *,
    scope: Scope,
    recordings: Scope = NOTHING,
    nodes: Scope = NOTHING,
    since_seconds: float,
    limit: int,
) -> Concerns:
    """Newest first; with the names of such recordings and nodes."""
    rows = await session.rows(
        "newest_concerns",
        scope=scope.sql,
        recordings=recordings.sql,
        nodes=nodes.sql,
        since=timedelta(seconds=since_seconds),
        limit=limit,
    )
    return Concerns(rows[0]["total"] if rows else 0, [_concern(row) for row in rows])


async def last_day(session: Session, *, scope: Scope) -> LastDay:
    found = {row["state"]: row["recordings"] for row in await session.rows("last_day", scope=scope.sql)}
    return LastDay(*(found.get(state, 0) for state in ("completed", "failed", "cancelled")))


def _live_recording(row: Row) -> LiveRecording:
    return LiveRecording(
        **{
            **row,
            "state": RecordingState(row["state"]),
            "settings": JobSettings.model_validate(row["settings"]),
            "wish": Wish(row["wish"]),
            "phase": row["phase"] and Phase(row["phase"]),
        }
    )


def _concern(row: Row) -> Concern:
    values = {name: value for name, value in row.items() if name != "total"}
    return Concern(**{**values, "severity": Severity(row["severity"])})
