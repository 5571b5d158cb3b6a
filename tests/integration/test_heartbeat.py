"""One heartbeat renews all that a node holds, and tells of what it no longer does."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from protocol.messages import Phase, RunRequest, Wish
from tests.integration.room import SOMEBODY, make_room
from web.domain.access import EVERYTHING
from web.domain.errors import NodeRunSupersededError
from web.domain.states import RecordingState
from web.services.recorders import nodes
from web.services.work import recordings
from web.store import nodes as node_store
from web.store import recordings as recording_store
from web.store.database import Database

pytestmark = pytest.mark.anyio

_REMAINING = "SELECT extract(epoch FROM expires_at - clock_timestamp())::float FROM lease"


async def test_renews_every_lease_of_the_node(db: Database, owner: Any) -> None:
    room = await make_room(db)
    held = [await room.claimed(name="First"), await room.claimed(name="Second")]
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() + interval '1 s'")

    answer = await room.heartbeat(*held)

    assert [job.standing for job in answer.jobs] == ["renewed"] * 2
    assert all(row[0] > 10 for row in await owner.fetch(_REMAINING))


async def test_renews_an_expired_lease_that_nobody_rescued(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '1 hour'")
    assert (await room.heartbeat(job)).jobs[0].standing == "renewed"
    assert await owner.fetchval(_REMAINING) > 10


async def test_without_jobs_it_is_a_sign_of_life(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await owner.execute("UPDATE node_seen SET last_seen_at = last_seen_at - interval '1 hour'")
    assert not (await node_store.get(db, room.node.node_id, scope=EVERYTHING, seen_within=30)).is_seen
    await room.heartbeat()
    assert (await node_store.get(db, room.node.node_id, scope=EVERYTHING, seen_within=30)).is_seen


async def test_carries_the_wish_and_its_age(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)
    await owner.execute("UPDATE job SET wish_at = wish_at - interval '7 s'")

    answer = (await room.heartbeat(job)).jobs[0]

    assert (answer.standing, answer.wish) == ("renewed", Wish.STOP)
    assert 7_000 <= answer.wish_age_ms < 60_000


async def test_of_an_older_run_is_refused_and_renews_nothing(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp()")
    await nodes.begin_run(db, RunRequest(previous_run=room.node_run, version="1.0"), node=room.node)
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp()")
    for _ in range(2):
        with pytest.raises(NodeRunSupersededError):
            await room.heartbeat(job)
    assert await owner.fetchval(_REMAINING) <= 0
    alarms = await owner.fetch("SELECT kind, severity FROM health_event")
    assert [tuple(alarm) for alarm in alarms] == [("node_run_superseded", "critical")]


async def test_late_one_of_an_agent_that_started_anew_is_no_alarm_and_a_second_agent_is_one(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    await nodes.begin_run(db, RunRequest(previous_run=room.node_run, version="1.0"), node=room.node)
    for is_still_there, alarms in ((False, 0), (True, 1), (True, 1)):
        with pytest.raises(NodeRunSupersededError):
            await room.heartbeat(knows_newer_run=is_still_there)
        assert await owner.fetchval("SELECT count(*) FROM health_event") == alarms


async def test_of_an_older_epoch_renews_nothing(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await owner.execute("UPDATE lease SET epoch = 2, expires_at = clock_timestamp()")
    await owner.execute("UPDATE job SET epoch = 2")
    assert (await room.heartbeat(job)).jobs[0].standing == "superseded"
    assert await owner.fetchval(_REMAINING) <= 0


async def test_tells_of_an_ended_job(db: Database) -> None:
    room = await make_room(db)
    ended, held = await room.claimed(name="Ended"), await room.claimed(name="Held")
    await room.finish(ended)
    standings = {job.job_id: job.standing for job in (await room.heartbeat(ended, held)).jobs}
    assert standings == {ended.job_id: "ended", held.job_id: "renewed"}


async def test_another_node_cannot_renew(db: Database, owner: Any) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    job = await here.claimed()
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp()")
    assert (await there.heartbeat(job)).jobs[0].standing == "ended"
    assert await owner.fetchval(_REMAINING) <= 0


async def test_recording_follows_the_phase_and_a_late_duplicate_takes_nothing_back(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    states = []
    for phase in (Phase.STARTING, Phase.CAPTURING, Phase.UPLOADING, Phase.CAPTURING):
        await room.heartbeat(job, phase=phase)
        states.append((await recording_store.get(db, job.recording_id, scope=EVERYTHING)).state)

    follows = [RecordingState.QUEUED, RecordingState.RECORDING, RecordingState.FINISHING, RecordingState.FINISHING]
    assert states == follows
    assert await owner.fetchval("SELECT phase FROM lease") == "uploading"


async def test_progress_is_the_last_byte_not_the_last_heartbeat(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.heartbeat(job, phase=Phase.UPLOADING, uploaded_bytes=100)
    await owner.execute("UPDATE lease SET progress_at = progress_at - interval '1 hour'")
    age = "SELECT extract(epoch FROM clock_timestamp() - progress_at)::float FROM lease"

    await room.heartbeat(job, phase=Phase.UPLOADING, uploaded_bytes=100)
    assert await owner.fetchval(age) > 3_000
    await room.heartbeat(job, phase=Phase.UPLOADING, uploaded_bytes=101)
    assert await owner.fetchval(age) < 60


async def test_a_new_run_takes_the_live_leases_along(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    answer = await nodes.begin_run(db, RunRequest(previous_run=room.node_run, version="1.1"), node=room.node)

    assert [(held.job_id, held.epoch) for held in answer.jobs] == [(job.job_id, job.epoch)]
    room.node_run = answer.node_run
    assert (await room.heartbeat(job)).jobs[0].standing == "renewed"


async def test_a_run_that_the_agent_does_not_know_raises_an_alarm(db: Database, owner: Any) -> None:
    room = await make_room(db)
    assert await owner.fetchval("SELECT count(*) FROM health_event") == 0
    answer = await nodes.begin_run(db, RunRequest(previous_run=0, version="1.0"), node=room.node)
    assert answer.node_run == room.node_run + 1
    assert await owner.fetchval("SELECT kind FROM health_event") == "unknown_run"


async def test_a_run_is_never_one_that_the_agent_has_had(db: Database) -> None:
    room = await make_room(db)
    answer = await nodes.begin_run(db, RunRequest(previous_run=40, version="1.0"), node=room.node)
    assert answer.node_run == 41


async def test_a_repeated_run_request_is_the_same_run_and_no_alarm(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    request = RunRequest(previous_run=room.node_run, request_id=new_id(), version="1.0")

    answers = await asyncio.gather(*(nodes.begin_run(db, request, node=room.node) for _ in range(5)))

    assert {answer.node_run for answer in answers} == {room.node_run + 1}
    assert [held.job_id for held in answers[-1].jobs] == [job.job_id]
    assert await owner.fetchval("SELECT count(*) FROM health_event") == 0


async def test_a_run_request_that_comes_late_does_not_take_the_node_from_its_agent(db: Database) -> None:
    room = await make_room(db)
    late = RunRequest(previous_run=room.node_run, request_id=new_id(), version="1.0")
    first = await nodes.begin_run(db, late, node=room.node)
    request = RunRequest(previous_run=first.node_run, request_id=new_id(), version="1.0")
    room.node_run = (await nodes.begin_run(db, request, node=room.node)).node_run

    with pytest.raises(NodeRunSupersededError):
        await nodes.begin_run(db, late, node=room.node)
    await room.heartbeat()


async def test_a_new_run_waits_for_a_heartbeat_without_holding_what_that_needs(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await room.claimed()
    async with owner.transaction():
        await owner.execute("UPDATE node_seen SET last_seen_at = last_seen_at")
        request = RunRequest(previous_run=room.node_run, version="1.0")
        beginning = asyncio.create_task(nodes.begin_run(db, request, node=room.node))
        await _somebody_waits(owner)
        await owner.execute("SELECT FROM lease FOR UPDATE NOWAIT")
    assert (await beginning).node_run == room.node_run + 1


async def test_recordings_follow_in_the_order_in_which_everybody_locks_them(db: Database, owner: Any) -> None:
    room = await make_room(db)
    later = await room.claimed(id=UUID(int=2), name="Later")
    sooner = await room.claimed(id=UUID(int=1), name="Sooner")
    async with owner.transaction():
        await owner.execute("UPDATE recording SET name = name WHERE id = $1", sooner.recording_id)
        beating = asyncio.create_task(room.heartbeat(later, sooner))
        await _somebody_waits(owner)
        await owner.execute("SELECT FROM recording WHERE id = $1 FOR UPDATE NOWAIT", later.recording_id)
    assert [job.standing for job in (await beating).jobs] == ["renewed", "renewed"]


async def _somebody_waits(owner: Any) -> None:
    while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
