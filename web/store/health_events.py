"""What operators should know."""

from datetime import timedelta
from uuid import UUID

from protocol.ids import new_id
from protocol.messages import EventReport, InterfaceRef
from web.domain.access import Scope
from web.domain.health import Finding, HealthEvent
from web.domain.states import Severity
from web.store.database import Row, Session


async def latest(
    session: Session,
    *,
    scope: Scope,
    recording_id: UUID | None = None,
    node_id: UUID | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[HealthEvent]:
    """Newest first; of one recording or node when it is given, behind the event `before`."""
    rows = await session.rows(
        "newest_health_events",
        scope=scope.sql,
        recording_id=recording_id,
        node_id=node_id,
        before=before,
        limit=limit,
    )
    return [_event(row) for row in rows]


async def add(session: Session, finding: Finding, *, node_id: UUID | None, job_id: UUID | None) -> None:
    """An event that the controller itself found."""
    await _add_found(session, finding, node_id=node_id, job_id=job_id)


async def begin(session: Session, finding: Finding, *, node_id: UUID | None, age_seconds: float = 0.0) -> None:
    """A condition that the controller itself found, of a node or (None) of its own. It lasts until `end`."""
    await _add_found(session, finding, node_id=node_id, age_seconds=age_seconds, lasts=True)


async def end(session: Session, kind: str, *, node_id: UUID | None) -> None:
    """A condition that was begun so is over."""
    for row in await session.rows("end_condition", node_id=node_id, kind=kind):
        await session.rows("tell_health_event", id=row["id"])


async def soften(session: Session, kind: str, message: str, *, recording_id: UUID) -> None:
    """What was critical of a recording is mended: `message` says how, and a warning is left."""
    for row in await session.rows("soften_health_events", kind=kind, message=message, recording_id=recording_id):
        await session.rows("tell_health_event", id=row["id"])


async def is_told(session: Session, kind: str) -> bool:
    """Whether a condition of the controller itself lasts."""
    return await session.row("lasting_condition", kind=kind) is not None


async def add_report(session: Session, report: EventReport, *, node_id: UUID | None) -> tuple[bool, UUID | None]:
    """Keep an event once by its id, and once the end of a condition: whether that is news, and of which recording."""
    row = await session.row(
        "add_health_event",
        id=report.id,
        node_id=node_id,
        job_id=report.job_id,
        backend=None if report.interface is None else report.interface.backend,
        interface=None if report.interface is None else report.interface.name,
        kind=report.kind,
        severity=report.severity,
        message=report.message,
        age=timedelta(milliseconds=report.age_ms),
        lasts=report.lasts,
        ended_age=None if report.ended_age_ms is None else timedelta(milliseconds=report.ended_age_ms),
    )
    if row is None:
        return False, None
    await session.rows("tell_health_event", id=report.id)
    return True, row["recording_id"]


async def _add_found(
    session: Session,
    finding: Finding,
    *,
    node_id: UUID | None,
    job_id: UUID | None = None,
    age_seconds: float = 0.0,
    lasts: bool = False,
) -> None:
    report = EventReport(
        id=new_id(),
        kind=finding.kind,
        severity=finding.severity.value,
        message=finding.message,
        age_ms=round(age_seconds * 1000),
        lasts=lasts,
        job_id=job_id,
    )
    await add_report(session, report, node_id=node_id)


def _event(row: Row) -> HealthEvent:
    interface = None if row["backend"] is None else InterfaceRef(backend=row["backend"], name=row["interface"])
    return HealthEvent(
        id=row["id"],
        node_id=row["node_id"],
        recording_id=row["recording_id"],
        job_id=row["job_id"],
        interface=interface,
        kind=row["kind"],
        severity=Severity(row["severity"]),
        message=row["message"],
        state=row["state"],
        happened_at=row["happened_at"],
        ended_at=row["ended_at"],
        is_condition=row["is_condition"],
        lasts=row["lasts"],
    )
