"""Lost jobs fail in time with a reason, and never through an outage of ours."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from protocol.messages import ClaimedJob, Phase
from protocol.timeouts import Timeouts
from tests.integration.room import SOMEBODY, Room, make_room
from tests.integration.web_room import patient
from web.domain.access import EVERYTHING
from web.domain.errors import EpochSupersededError
from web.domain.states import Health, RecordingState
from web.runners.leases import OutageWatch, tick
from web.services.work import recordings
from web.store import recordings as recording_store
from web.store.database import Database

pytestmark = [pytest.mark.anyio, pytest.mark.first_reliable_recording_baseline]

_LEASE_SECONDS = 0.001


@pytest.fixture
def timeouts() -> Timeouts:
    """So short a lease that a test can wait for it."""
    return patient(Timeouts(lease=_LEASE_SECONDS))


async def _rescue(db: Database) -> list[Any]:
    """A tick of a controller that has run for longer than a lease."""
    watch = OutageWatch()
    await tick(db, watch)
    await asyncio.sleep(2 * db.timeouts.lease)
    return await tick(db, watch)


async def _expire(owner: Any, seconds: float) -> None:
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() - make_interval(secs => $1)", seconds)


async def _held(db: Database, phase: Phase) -> tuple[Room, ClaimedJob]:
    room = await make_room(db)
    job = await room.claimed()
    await room.heartbeat(job, phase=phase)
    return room, job


@pytest.mark.parametrize(
    ("phase", "early", "late", "doing"),
    [
        (Phase.STARTING, None, 1, "before it captured anything"),
        (Phase.CAPTURING, 100, 121, "while it captured"),
        (Phase.FINISHING, 100, 121, "while it finished the file"),
    ],
)
async def test_a_lost_job_fails_after_the_grace_of_its_phase(
    db: Database, owner: Any, phase: Phase, early: float | None, late: float, doing: str
) -> None:
    _, job = await _held(db, phase)
    if early is not None:
        await _expire(owner, early)
        assert await _rescue(db) == []
    await _expire(owner, late)
    assert await _rescue(db) == [job.job_id]

    recording = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    assert (recording.state, recording.health) == (RecordingState.FAILED, Health.CRITICAL)
    assert recording.reason == "contact_lost"
    assert doing in str(recording.message)
    assert await owner.fetchval("SELECT epoch FROM job") == job.epoch + 1


async def test_while_uploading_only_the_last_byte_counts(db: Database, owner: Any) -> None:
    _, job = await _held(db, Phase.UPLOADING)
    await _expire(owner, 5_000)
    await owner.execute("UPDATE lease SET progress_at = clock_timestamp() - interval '870 s'")
    assert await _rescue(db) == []
    await owner.execute("UPDATE lease SET progress_at = clock_timestamp() - interval '901 s'")
    assert await _rescue(db) == [job.job_id]


async def test_a_rescued_agent_is_refused_and_told(db: Database, owner: Any) -> None:
    room, job = await _held(db, Phase.CAPTURING)
    cache_file = await room.open_file(job)
    await _expire(owner, 200)
    await _rescue(db)

    assert (await room.heartbeat(job)).jobs[0].standing == "ended"
    with pytest.raises(EpochSupersededError):
        await room.seal(job, cache_file)
    with pytest.raises(EpochSupersededError):
        await room.finish(job)
    assert await owner.fetchval("SELECT count(*) FROM job_event WHERE kind IN ('failed', 'completed')") == 1


async def test_recordings_end_in_the_order_in_which_everybody_locks_them(db: Database, owner: Any) -> None:
    room = await make_room(db)
    later = await room.claimed(id=UUID(int=2), name="Later")
    sooner = await room.claimed(id=UUID(int=1), name="Sooner")
    await _expire(owner, 200)
    async with owner.transaction():
        await owner.execute("UPDATE recording SET name = name WHERE id = $1", sooner.recording_id)
        rescuing = asyncio.create_task(_rescue(db))
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await owner.execute("SELECT FROM recording WHERE id = $1 FOR UPDATE NOWAIT", later.recording_id)
    assert await rescuing == [sooner.job_id, later.job_id]


async def test_a_lost_job_that_was_to_be_cancelled_is_cancelled(db: Database, owner: Any) -> None:
    _, job = await _held(db, Phase.CAPTURING)
    await recordings.cancel_recording(db, job.recording_id, by=SOMEBODY)
    await _expire(owner, 200)
    await _rescue(db)
    recording = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    assert (recording.state, recording.health) == (RecordingState.CANCELLED, Health.HEALTHY)


async def test_two_controllers_rescue_a_job_once_while_agents_call(db: Database, owner: Any) -> None:
    room = await make_room(db, capacity=20)
    held = [await room.claimed(name=f"{number}") for number in range(20)]
    await room.heartbeat(*held)
    await _expire(owner, 200)

    rescued = await asyncio.gather(*(_rescue(db) for _ in range(4)), *(room.heartbeat(job) for job in held[:5]))

    ended = [job_id for answer in rescued[:4] for job_id in answer]
    renewed = [job.job_id for answer in rescued[4:] for job in answer.jobs if job.standing == "renewed"]
    assert len(set(ended)) == len(ended)
    assert sorted(ended + renewed) == sorted(job.job_id for job in held)
    assert await owner.fetchval("SELECT count(*) FROM job_event WHERE kind = 'failed'") == len(ended)


async def test_a_start_that_a_silent_node_does_not_take_fails_in_words(db: Database, owner: Any) -> None:
    room = await make_room(db)
    started = await room.start()
    await owner.execute("UPDATE job SET run_at = clock_timestamp() - interval '40 s'")
    assert await _rescue(db) == []
    await owner.execute("UPDATE job SET run_at = clock_timestamp() - interval '61 s'")
    await owner.execute("UPDATE node_seen SET last_seen_at = clock_timestamp() - interval '1 hour'")
    assert await _rescue(db) == [started.job_id]

    recording = await recording_store.get(db, started.id, scope=EVERYTHING)
    assert recording.reason == "node_did_not_answer"
    assert "Town hall did not answer" in str(recording.message)


async def test_a_start_that_a_living_node_does_not_take_says_so(db: Database, owner: Any) -> None:
    room = await make_room(db)
    started = await room.start()
    await owner.execute("UPDATE job SET run_at = clock_timestamp() - interval '61 s'")
    await _rescue(db)
    assert (await recording_store.get(db, started.id, scope=EVERYTHING)).reason == "not_claimed"


async def test_a_planned_window_that_is_still_open_waits_and_says_so_once(db: Database, owner: Any) -> None:
    room = await make_room(db)
    start = await owner.fetchval("SELECT clock_timestamp() - interval '5 minutes'")
    started = await room.start(starts_at=start, duration_ms=600_000)
    for _ in range(2):
        assert await _rescue(db) == []

    assert [row["kind"] for row in await owner.fetch("SELECT kind FROM health_event")] == ["not_claimed"]
    job = await room.claim()
    assert job is not None
    assert job.recording_id == started.id


@pytest.mark.parametrize("plan", [{"duration_ms": 3_600_000}, {"ends_at": 3_600}], ids=["duration", "end"])
async def test_a_window_that_went_by_while_nobody_was_there_is_failed_and_never_recorded(
    db: Database, owner: Any, plan: dict[str, int]
) -> None:
    room = await make_room(db)
    start = await owner.fetchval("SELECT clock_timestamp() + interval '1 hour'")
    ends = {"ends_at": start + timedelta(seconds=plan["ends_at"])} if "ends_at" in plan else plan
    started = await room.start(starts_at=start, **ends)
    await owner.execute(
        "UPDATE job SET run_at = run_at - interval '9 hours', ends_at = ends_at - interval '9 hours', "
        "window_ends_at = window_ends_at - interval '9 hours'"
    )

    assert await room.claim() is None
    assert await _rescue(db) == [started.job_id]
    recording = await recording_store.get(db, started.id, scope=EVERYTHING)
    assert recording.state is RecordingState.FAILED
    assert "before its window was over" in str(recording.message)


async def test_an_open_ended_start_of_yesterday_is_not_taken_today(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await room.start()
    await owner.execute("UPDATE job SET run_at = clock_timestamp() - interval '14 minutes'")
    held_up = await room.claim()
    assert held_up is not None
    await room.start()
    await owner.execute("UPDATE job SET run_at = clock_timestamp() - interval '16 minutes' WHERE state = 'queued'")
    assert await room.claim() is None


class TestOutages:
    def test_a_controller_that_has_just_started_waits_one_lease(self) -> None:
        watch = OutageWatch()
        answered = [watch.database_answered(1_000 + 5 * tick, 5) for tick in range(7)]
        assert answered == [0, 5, 10, 15, 20, 25, 30]

    @pytest.mark.parametrize(
        "uptime", [1_046, 3.0], ids=["machine-stood-still-or-nobody-answered", "database-began-anew"]
    )
    def test_a_break_starts_the_wait_again(self, uptime: float) -> None:
        watch = OutageWatch()
        watch.database_answered(1_000, 5)
        assert watch.database_answered(1_010, 5) == 10
        assert watch.database_answered(uptime, 5) == 0
        assert watch.database_answered(uptime + 5, 5) == 5

    async def test_a_database_that_has_just_started_holds_the_rescue_back(self, db: Database, owner: Any) -> None:
        room = await make_room(db)
        await room.claimed()
        await _expire(owner, 1_000_000)
        async with Database(db.url, patient(Timeouts())) as unhurried:
            watch = OutageWatch()
            for _ in range(3):
                assert await tick(unhurried, watch) == []
