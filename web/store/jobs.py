"""Jobs, their leases and their history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from protocol.messages import ClaimedJob, ClaimRequest, JobReport, JobSettings, Phase, Wish
from protocol.timeouts import Timeouts
from web.domain.access import Scope
from web.domain.endings import Ending
from web.domain.errors import NotFoundError
from web.domain.jobs import LEAVES_NOTHING, LastAttempt
from web.domain.leases import HeldJob, LostJob, UnclaimedJob
from web.domain.states import JobState
from web.store import tables, turns
from web.store.database import Row, Session

_BATCH = 100


@dataclass(frozen=True)
class Renewal:
    """What a heartbeat did to one reported job."""

    job_id: UUID
    recording_id: UUID | None
    standing: Literal["renewed", "ended", "superseded"]
    wish: Wish
    wish_age_ms: int
    phase: Phase | None
    has_new_phase: bool
    length_ms: int
    """Captured so far."""


async def busy_recordings(session: Session, node_id: UUID, *, scope: Scope) -> list[str | None]:
    """What is due or capturing on this node and was not asked to end, by name; None for what is out of the scope."""
    return [row["name"] for row in await session.rows("busy_recordings", node_id=node_id, scope=scope.sql)]


async def is_over(session: Session, instant: datetime) -> bool:
    """Whether an instant is past by the database's clock."""
    row = await session.row("is_over", instant=instant)
    return row is not None and bool(row["is_over"])


async def add(
    session: Session, job_id: UUID, *, recording_id: UUID, node_id: UUID, settings: JobSettings, lead: float
) -> None:
    """The first attempt; due `lead` seconds before its start, at once when it has none."""
    await session.rows(
        "add_job",
        id=job_id,
        recording_id=recording_id,
        attempt=1,
        node_id=node_id,
        backend=settings.interface.backend,
        interface=settings.interface.name,
        settings=settings.model_dump(mode="json"),
        starts_at=settings.starts_at,
        ends_at=settings.ends_at,
        duration=None if settings.duration_ms is None else timedelta(milliseconds=settings.duration_ms),
        lead=timedelta(seconds=lead),
    )


async def add_event(session: Session, job_id: UUID, *, epoch: int, kind: str, actor: str) -> None:
    await session.rows("add_job_event", job_id=job_id, epoch=epoch, kind=kind, actor=actor)


async def tell(session: Session, job_id: UUID) -> None:
    """Pages that show it hear of it once the transaction commits."""
    await session.rows("tell_job", id=job_id)


async def last_attempt(session: Session, recording_id: UUID) -> LastAttempt:
    """Raises NotFoundError."""
    row = await session.row("last_attempt", recording_id=recording_id, leaves_nothing=sorted(LEAVES_NOTHING))
    if row is None:
        raise NotFoundError("recording", recording_id)
    return LastAttempt(
        **{**row, "state": JobState(row["state"]), "settings": JobSettings.model_validate(row["settings"])}
    )


async def add_retry(session: Session, job_id: UUID, last: LastAttempt, *, settings: JobSettings, lead: float) -> None:
    """The attempt after this one; due `lead` seconds before its start, at once when that is past.

    When its window is over it is there to deliver what was captured, and so has none that ends.
    """
    await session.rows(
        "add_retry",
        id=job_id,
        last_id=last.id,
        settings=settings.model_dump(mode="json"),
        starts_at=settings.starts_at,
        ends_at=settings.ends_at,
        lead=timedelta(seconds=lead),
    )


async def newest_of(session: Session, recording_id: UUID) -> tuple[UUID, UUID]:
    """Job and node of the newest attempt. Raises NotFoundError."""
    row = await session.row("newest_job", recording_id=recording_id)
    if row is None:
        raise NotFoundError("recording", recording_id)
    return row["id"], row["node_id"]


async def lock(session: Session, job_id: UUID) -> HeldJob:
    """Raises NotFoundError."""
    row = await session.row("lock_job", job_id=job_id)
    if row is None:
        raise NotFoundError("job", job_id)
    return _held(row)


async def minimum_bytes(session: Session, job_id: UUID) -> int:
    """Of the audio that makes a recording, as it was pinned. Raises NotFoundError."""
    table = tables.Job
    for row in await session.run(table.select(table.settings).where(table.id == job_id)):
        return JobSettings.model_validate(row["settings"]).minimum_bytes
    raise NotFoundError("job", job_id)


async def hold(session: Session, job_id: UUID, *, node_id: UUID) -> tuple[HeldJob, int]:
    """A job and the current run of the node that asks, which stay so until the transaction ends.

    Raises NotFoundError.
    """
    row = await session.row("hold_job", job_id=job_id, node_id=node_id)
    if row is None:
        raise NotFoundError("job", job_id)
    current_run: int = row.pop("current_run")
    return _held(row), current_run


async def raise_wish(session: Session, job_id: UUID, wish: Wish) -> None:
    await session.rows("raise_wish", job_id=job_id, wish=wish)


async def end(
    session: Session, job_id: UUID, ending: Ending, *, epoch: int, actor: str, supersede: bool = False
) -> bool:
    """End a live job of this epoch and its recording; no lease is left, pages hear of it.

    False when it was not live or has another epoch. `supersede` takes the epoch from whoever holds it.
    """
    row = await session.row(
        "end_job", job_id=job_id, epoch=epoch, actor=actor, superseded_by=int(supersede), **vars(ending)
    )
    return row is not None


async def claim_next(
    session: Session, request: ClaimRequest, *, node_id: UUID, timeouts: Timeouts, actor: str
) -> tuple[int, ClaimedJob | None]:
    """Lease the first job that is due; answers the node's current run, and the job if that is the caller's run.

    A job whose window is over is not due any more. The same claim id gets the same job again, None once it has
    ended. Raises NotFoundError.
    """
    row = await session.row(
        "claim_next",
        claim_id=request.claim_id,
        node_id=node_id,
        node_run=request.node_run,
        backends=[interface.backend for interface in request.interfaces],
        interfaces=[interface.name for interface in request.interfaces],
        lease=timedelta(seconds=timeouts.lease),
        after_window=timedelta(seconds=timeouts.unclaimed),
        after_open_start=timedelta(seconds=timeouts.stale_start),
        number=request.number,
        actor=actor,
    )
    if row is None or row["current_run"] is None:
        raise NotFoundError("node", node_id)
    return row["current_run"], None if row["job_id"] is None else _claimed(row)


async def leased_of(session: Session, node_id: UUID) -> list[ClaimedJob]:
    """Everything that a node holds."""
    return [_claimed(row) for row in await session.rows("leased_of_node", node_id=node_id)]


async def must_last(session: Session) -> None:
    """A database crash may not forget this transaction, although a heartbeat began it."""
    await session.rows("must_last")


async def renew(
    session: Session, reports: Sequence[JobReport], *, node_id: UUID, node_run: int, lease: float
) -> list[Renewal]:
    """Renew what this run still holds, expired or not. Answers every report."""
    if not reports:
        return []
    rows = await session.rows(
        "renew_leases",
        job_ids=[report.job_id for report in reports],
        epochs=[report.epoch for report in reports],
        phases=[report.phase for report in reports],
        frames=[report.frames for report in reports],
        uploaded_bytes=[report.uploaded_bytes for report in reports],
        start_frames=[report.start_frame for report in reports],
        node_id=node_id,
        node_run=node_run,
        lease=timedelta(seconds=lease),
    )
    return [_renewal(row) for row in rows]


async def uptime_seconds(session: Session) -> float:
    """How long agents could have reached this database at most."""
    row = await session.row("server_uptime")
    return 0.0 if row is None else float(row["uptime"].total_seconds())


async def take_rescue_turn(session: Session) -> bool:
    """Whether this transaction is the one that rescues now."""
    return await turns.take(session, "rescue")


async def lost(session: Session, timeouts: Timeouts) -> list[LostJob]:
    """Locked until the transaction ends; at most a batch."""
    rows = await session.rows(
        "lost_jobs",
        lease=timedelta(seconds=timeouts.lease),
        grace_starting=timedelta(seconds=timeouts.grace_starting),
        grace_capturing=timedelta(seconds=timeouts.grace_capturing),
        grace_uploading=timedelta(seconds=timeouts.grace_uploading),
        limit=_BATCH,
    )
    return [LostJob(**{**row, "wish": Wish(row["wish"]), "phase": Phase(row["phase"])}) for row in rows]


async def unclaimed(session: Session, timeouts: Timeouts) -> list[UnclaimedJob]:
    """Locked until the transaction ends; at most a batch."""
    rows = await session.rows(
        "unclaimed_jobs",
        unclaimed=timedelta(seconds=timeouts.unclaimed),
        node_not_seen=timedelta(seconds=timeouts.node_not_seen),
        limit=_BATCH,
    )
    return [UnclaimedJob(**row) for row in rows]


def _held(row: Row) -> HeldJob:
    return HeldJob(**{**row, "state": JobState(row["state"]), "wish": Wish(row["wish"])})


def _claimed(row: Row) -> ClaimedJob:
    return ClaimedJob(**{name: row[name] for name in ClaimedJob.model_fields})


def _renewal(row: Row) -> Renewal:
    phase = None if row["phase"] is None else Phase(row["phase"])
    return Renewal(
        job_id=row["job_id"],
        recording_id=row["recording_id"],
        standing=row["standing"],
        wish=Wish(row["wish"]),
        wish_age_ms=row["wish_age_ms"],
        phase=phase,
        has_new_phase=phase is not None and row["phase_before"] != phase,
        length_ms=row["length_ms"] or 0,
    )
