"""Agents lease jobs: one each, never more than the node may capture, always the same answer to the same request."""

import asyncio
from typing import Any

import pytest

from protocol.ids import new_id
from protocol.messages import InterfaceRef, Phase, RunRequest
from tests.integration.room import COUNTER, SOMEBODY, WIDE, make_room
from web.domain.errors import NodeRunSupersededError
from web.domain.states import JobState
from web.services.recorders import nodes
from web.services.work import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_fifty_concurrent_claims_lease_as_many_jobs_as_the_node_may_capture(db: Database, owner: Any) -> None:
    room = await make_room(db, capacity=50)
    for number in range(10):
        await room.start(f"Room {number}")
    await owner.execute("UPDATE node SET capacity = 3")

    claimed = [job for job in await asyncio.gather(*(room.claim() for _ in range(50))) if job]

    assert len({job.job_id for job in claimed}) == len(claimed) == 3


async def test_nodes_claim_only_their_own_jobs(db: Database) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    started = await here.start()

    assert await there.claim() is None
    job = await here.claim()
    assert job is not None
    assert job.recording_id == started.id


async def test_same_claim_id_gets_the_same_job_again(db: Database) -> None:
    room = await make_room(db)
    await room.start("First")
    await room.start("Second")
    claim_id = new_id()

    answers = await asyncio.gather(*(room.claim(claim_id) for _ in range(10)))

    assert len({(job.job_id, job.epoch) for job in answers if job}) == 1
    assert None not in answers


async def test_claim_id_of_an_ended_job_takes_no_other_job(db: Database) -> None:
    room = await make_room(db)
    await room.start("First")
    claim_id = new_id()
    job = await room.claim(claim_id)
    assert job is not None
    await room.finish(job)
    await room.start("Second")

    assert await room.claim(claim_id) is None


async def test_claim_that_arrives_behind_a_later_one_leases_nothing(db: Database, owner: Any) -> None:
    """Its agent has heard that nothing is due and forgotten it: nobody would capture."""
    room = await make_room(db)
    forgotten, taken = new_id(), new_id()
    assert await room.claim(forgotten, number=1) is None
    assert await room.claim(new_id(), number=3) is None
    await room.start()
    for number in (1, 2, 3):
        assert await room.claim(forgotten, number=number) is None
    job = await room.claim(taken, number=4)
    assert job is not None
    again = await room.claim(taken, number=4)
    assert again is not None
    assert again.job_id == job.job_id
    assert await owner.fetchval("SELECT count(*) FROM lease") == 1


async def test_numbers_of_claims_begin_anew_in_each_run(db: Database) -> None:
    room = await make_room(db)
    assert await room.claim(number=100) is None
    begun = await nodes.begin_run(db, RunRequest(previous_run=room.node_run, version="1.0"), node=room.node)
    room.node_run = begun.node_run
    await room.start()
    assert await room.claim(number=1) is not None


async def test_claim_of_an_older_run_is_refused_and_leases_nothing(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await room.start()

    with pytest.raises(NodeRunSupersededError):
        await room.older().claim()
    assert await owner.fetchval("SELECT count(*) FROM lease") == 0


async def test_job_for_an_input_that_is_absent_waits(db: Database) -> None:
    room = await make_room(db)
    await room.start(interface=WIDE)
    room.interfaces = [COUNTER, InterfaceRef(backend="other", name="counter-32")]
    assert await room.claim() is None
    room.interfaces = [WIDE]
    assert await room.claim() is not None


async def test_jobs_are_claimed_in_the_order_they_are_due(db: Database) -> None:
    room = await make_room(db)
    names = ["First", "Second", "Third"]
    started = [await room.start(name) for name in names]

    claimed = [await room.claim() for _ in names]

    assert [job.recording_id for job in claimed if job] == [recording.id for recording in started]


@pytest.mark.parametrize("phase", [Phase.FINISHING, Phase.UPLOADING])
async def test_what_renders_or_uploads_leaves_room_for_the_next_capture(db: Database, phase: Phase) -> None:
    room = await make_room(db, capacity=1)
    first = await room.claimed()
    await room.heartbeat(first, phase=phase)

    await room.start("Next")
    assert await room.claim() is not None


async def test_a_stopped_capture_leaves_room_for_the_next_one(db: Database) -> None:
    room = await make_room(db, capacity=1)
    first = await room.claimed()
    await recordings.stop_recording(db, first.recording_id, by=SOMEBODY)

    await room.start("Next")
    assert await room.claim() is not None


async def test_a_start_in_the_future_is_claimed_shortly_before(db: Database, owner: Any) -> None:
    room = await make_room(db)
    in_an_hour = await owner.fetchval("SELECT clock_timestamp() + interval '1 hour'")
    await room.start(starts_at=in_an_hour)
    assert await room.claim() is None

    await owner.execute(
        "UPDATE job SET run_at = run_at - interval '1 hour', "
        "settings = jsonb_set(settings, '{starts_at}', to_jsonb(clock_timestamp() + interval '10 s'))"
    )
    job = await room.claim()
    assert job is not None
    assert job.starts_in_ms is not None
    assert 2_000 < job.starts_in_ms <= 10_000


async def test_claimed_job_carries_durations_and_what_was_pinned(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await room.start(channels=[1], duration_ms=5_000)
    job = await room.claim()

    assert job is not None
    assert (job.attempt, job.epoch, job.settings.channel_map) == (1, 1, [[0.0, 1.0]])
    assert job.settings.duration_ms == 5_000
    assert job.requested_age_ms < 60_000
    row = await owner.fetchrow("SELECT state FROM job")
    assert row["state"] == JobState.RUNNING
