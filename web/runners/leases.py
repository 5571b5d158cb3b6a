"""Fail the jobs whose node is lost, and the starts that no node took in time."""

from __future__ import annotations

from uuid import UUID

from protocol.messages import Phase, Wish
from protocol.timeouts import Timeouts
from web.domain.access import system
from web.domain.health import Finding
from web.domain.leases import LostJob, UnclaimedJob
from web.domain.states import JobState, Severity
from web.services.work.endings import end_without_content
from web.store import health_events, jobs
from web.store.database import Database, Session

_BY = system("lease runner")
_MISSED_PERIODS = 3.0
_DOING = {
    Phase.STARTING: "before it captured anything",
    Phase.CAPTURING: "while it captured",
    Phase.FINISHING: "while it finished the file",
    Phase.UPLOADING: "while it uploaded",
}


class OutageWatch:
    """Knows since when agents could have reached us: a silence of ours must not fail their jobs. One a controller.

    It goes by the database's clock, which leases run out by: that one also moves while the whole machine stands still.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0

    def database_answered(self, uptime: float, period: float) -> float:
        """For how many seconds it has answered without a break; called about every `period`.

        `uptime` says how long the database has run, by its own clock.
        """
        if self._since is None or not 0 <= uptime - self._last <= _MISSED_PERIODS * period:
            self._since = uptime
        self._last = uptime
        return uptime - self._since


async def tick(db: Database, watch: OutageWatch) -> list[UUID]:
    """Rescue once; answers the jobs that were ended. Call it every `timeouts.rescue_period`, from any controller.

    After an outage of controller or database it waits one lease first. Raises DatabaseUnavailableError.
    """
    async with db.transaction() as session:
        uptime = await jobs.uptime_seconds(session)
        reachable = watch.database_answered(uptime, db.timeouts.rescue_period)
        if reachable < db.timeouts.lease or not await jobs.take_rescue_turn(session):
            return []
        found: list[LostJob | UnclaimedJob] = [*await jobs.lost(session, db.timeouts)]
        found += await jobs.unclaimed(session, db.timeouts)
        by_recording = sorted(found, key=lambda job: job.recording_id)
        return [job.id for job in by_recording if await _rescue(session, job, db.timeouts)]


async def _rescue(session: Session, job: LostJob | UnclaimedJob, timeouts: Timeouts) -> bool:
    """Whether it was ended."""
    match job:
        case LostJob():
            await _end_lost(session, job)
        case UnclaimedJob(window="open"):
            await _tell_of_delay(session, job)
            return False
        case UnclaimedJob():
            await _end_unclaimed(session, job, timeouts.unclaimed)
    return True


async def _end_lost(session: Session, job: LostJob) -> None:
    is_cancel = job.wish is Wish.CANCEL
    await end_without_content(
        session,
        job.id,
        job.recording_id,
        epoch=job.epoch,
        state=JobState.CANCELLED if is_cancel else JobState.FAILED,
        reason="contact_lost",
        message=(
            f"Contact with {job.node_name} was lost {_DOING[job.phase]}; it was last heard of this job at "
            f"{job.last_renewed_at:%Y-%m-%d %H:%M:%S} UTC. What it captured stays there and is delivered as salvage "
            "when it comes back. Check its power and network."
        ),
        was_asked=is_cancel,
        by=_BY,
        supersede=True,
        lost_at=job.last_renewed_at,
    )


async def _tell_of_delay(session: Session, job: UnclaimedJob) -> None:
    finding = Finding(
        "not_claimed",
        Severity.WARNING,
        f"This recording should have begun, but {_why_unclaimed(job)} It begins late if that changes before its end.",
    )
    await health_events.add(session, finding, node_id=job.node_id, job_id=job.id)


async def _end_unclaimed(session: Session, job: UnclaimedJob, unclaimed: float) -> None:
    reason = "not_claimed" if job.is_node_seen else "node_did_not_answer"
    limit = "before its window was over" if job.window == "over" else f"within {unclaimed:.0f} s of the start"
    await end_without_content(
        session,
        job.id,
        job.recording_id,
        epoch=job.epoch,
        state=JobState.FAILED,
        reason=reason,
        message=f"Nothing was captured: {limit} {_why_unclaimed(job)}",
        was_asked=False,
        by=_BY,
    )


def _why_unclaimed(job: UnclaimedJob) -> str:
    if job.is_node_draining:
        return f"{job.node_name} drains and takes on nothing new; end that on the node's page."
    if job.is_node_seen:
        return f"{job.node_name} is there but did not take it; its input is absent or it captures as much as it may."
    return f"{job.node_name} did not answer. Check its power and network."
