"""Agents lease jobs, report on them and end them."""

from uuid import UUID, uuid5

from protocol.messages import (
    ClaimedJob,
    ClaimRequest,
    EventReport,
    EventsRequest,
    FinishRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    JobStanding,
    WakeAnswer,
)
from web.domain.access import NodeActor
from web.domain.errors import NodeRunSupersededError
from web.domain.health import health_of_end
from web.domain.leases import recording_state_in, require_live, require_own, require_run
from web.domain.states import JobState
from web.services.work.endings import end_without_content
from web.store import health_events, jobs, nodes, recordings
from web.store.database import Database, Session


async def claim_next(db: Database, request: ClaimRequest, *, node: NodeActor) -> ClaimedJob | None:
    """Lease the node's next due job, or answer the same claim id the same again. None: nothing to do, or no capacity.

    Raises NodeRunSupersededError.
    """
    current_run, job = await jobs.claim_next(db, request, node_id=node.node_id, timeouts=db.timeouts, actor=node.name)
    require_run(request.node_run, current_run)
    return job


async def heartbeat(db: Database, request: HeartbeatRequest, *, node: NodeActor) -> HeartbeatAnswer:
    """Renew every reported lease that this run still holds, also an expired one that nobody rescued yet.

    Raises NodeRunSupersededError; a single job that ended or was superseded only reads so in the answer.
    """
    try:
        return await _beat(db, request, node)
    except NodeRunSupersededError:
        if request.knows_newer_run is not False:
            await _tell_of_older_run(db, request.node_run, node)
        raise


async def _beat(db: Database, request: HeartbeatRequest, node: NodeActor) -> HeartbeatAnswer:
    async with db.transaction() as session:
        news = await nodes.beat(session, node.node_id)
        require_run(request.node_run, news.node_run)
        renewals = await jobs.renew(
            session, request.jobs, node_id=node.node_id, node_run=news.node_run, lease=db.timeouts.lease
        )
        for renewal in sorted(renewals, key=lambda renewal: str(renewal.recording_id)):
            await _follow(session, renewal)
    standings = [
        JobStanding(
            job_id=renewal.job_id,
            standing=renewal.standing,
            wish=renewal.wish,
            wish_age_ms=renewal.wish_age_ms,
        )
        for renewal in renewals
    ]
    return HeartbeatAnswer(
        jobs=standings, change_no=news.change_no, watched=news.watched, armed=news.armed, rotate_token=news.is_token_due
    )


async def finish_job(db: Database, job_id: UUID, request: FinishRequest, *, node: NodeActor) -> None:
    """End a job without content. The same end again is accepted.

    Raises NotFoundError, NotYoursError, NodeRunSupersededError, EpochSupersededError, JobEndedError.
    """
    async with db.transaction() as session:
        job, current_run = await jobs.hold(session, job_id, node_id=node.node_id)
        require_run(request.node_run, current_run)
        require_own(job, node.node_id)
        if (job.state, job.reason, job.epoch) == (request.outcome, request.reason, request.epoch):
            return
        require_live(job, epoch=request.epoch)
        await end_without_content(
            session,
            job.id,
            job.recording_id,
            epoch=job.epoch,
            state=JobState(request.outcome),
            reason=request.reason,
            message=request.message,
            was_asked=job.was_asked_to_end,
            by=node,
        )


async def record_events(db: Database, request: EventsRequest, *, node: NodeActor) -> None:
    """Keep health events, each once by its id; the end of a condition, told under its id, ends it once.

    One that comes late still counts in the health of its recording. Raises NodeRunSupersededError.
    """
    async with db.transaction() as session:
        require_run(request.node_run, await nodes.share_run(session, node.node_id))
        added = [await health_events.add_report(session, event, node_id=node.node_id) for event in request.events]
        for recording_id in sorted({recording_id for is_new, recording_id in added if is_new and recording_id}):
            await _sync_late(session, recording_id)


async def news_of(db: Database, *, node: NodeActor) -> WakeAnswer:
    """The change number, raised in every transaction that creates, stops or cancels something of this node or begins
    to watch an interface of it; and what is watched."""
    news = await nodes.news(db, node.node_id)
    return WakeAnswer(change_no=news.change_no, watched=news.watched)


async def change_nos_of(db: Database, node_ids: list[UUID]) -> dict[UUID, int]:
    """The same for many nodes in one query, for the periodic look after lost notifications."""
    return await nodes.change_nos(db, node_ids)


async def _tell_of_older_run(db: Database, node_run: int, node: NodeActor) -> None:
    """Once a run: a newer agent has taken this one's place, and both are there."""
    event = EventReport(
        id=uuid5(node.node_id, f"heard of run {node_run} after another had begun"),
        kind="node_run_superseded",
        severity="critical",
        message=(
            f"Two agents run as {node.name}: run {node_run} was heard after a newer one had begun, and was refused. "
            "If a copy of the node's folder runs elsewhere, end it there and enrol it as a node of its own."
        ),
        age_ms=0,
    )
    async with db.transaction() as session:
        await health_events.add_report(session, event, node_id=node.node_id)


async def _follow(session: Session, renewal: jobs.Renewal) -> None:
    if not renewal.has_new_phase or renewal.phase is None or renewal.recording_id is None:
        return
    await jobs.tell(session, renewal.job_id)
    state = recording_state_in(renewal.phase)
    if await recordings.follow_phase(session, renewal.recording_id, state, length_ms=renewal.length_ms):
        await jobs.must_last(session)
        await recordings.tell(session, renewal.recording_id)


async def _sync_late(session: Session, recording_id: UUID) -> None:
    _, health = await recordings.lock_health(session, recording_id)
    if health is None:
        return
    found = health_of_end(
        JobState.COMPLETED, was_asked=True, severities=await recordings.severities(session, recording_id)
    )
    if found.is_worse_than(health):
        await recordings.set_health(session, recording_id, found)
        await recordings.tell(session, recording_id)
