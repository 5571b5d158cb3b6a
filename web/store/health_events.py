"""What operators should know."""

from datetime import timedelta
from uuid import UUID

from protocol.ids import new_id
from protocol.messages import EventReport, InterfaceRef
from web.domain.access import Scope
from web.domain.health import Finding, HealthEvent
from web.domain.states import Severity
from web.store import tables
from web.store.database import Row, Session


async def latest(
    session: Session,
    *,
    scope: Scope,
    recording_id: UUID | None = None,
    node_id: UUID | None = None,
    limit: int = 50,
) -> list[HealthEvent]:
    """Newest first; of one recording or node when it is given."""
    table = tables.HealthEvent
    query = table.select().order_by(table.happened_at, table.id, ascending=False).limit(limit)
    if recording_id is not None:
        query = query.where(table.recording_id == recording_id)
    if node_id is not None:
        query = query.where(table.node_id == node_id)
    if scope.node_ids is not None:
        query = query.where(table.node_id.is_in(scope.node_ids))
    return [_event(row) for row in await session.run(query)]


async def add(session: Session, finding: Finding, *, node_id: UUID, job_id: UUID | None) -> None:
    """An event that the controller itself found."""
    report = EventReport(
        id=new_id(),
        kind=finding.kind,
        severity=finding.severity.value,
        message=finding.message,
        age_ms=0,
        job_id=job_id,
    )
    await add_report(session, report, node_id=node_id)


async def add_report(session: Session, report: EventReport, *, node_id: UUID) -> tuple[bool, UUID | None]:
    """Keep an event once by its id: whether it is new, and the recording it belongs to."""
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
    )
    if row is None:
        return False, None
    await session.rows("tell_health_event", id=report.id)
    return True, row["recording_id"]


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
    )
