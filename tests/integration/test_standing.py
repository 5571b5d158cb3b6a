"""What the dashboard reads: what is live, what needs somebody, how the last day went."""

from typing import Any

import pytest

from protocol.ids import new_id
from protocol.messages import ClaimedJob, EventReport, EventsRequest, GapReport, Phase
from tests.integration.room import SOMEBODY, Room, make_room
from web.domain.access import EVERYTHING, Actor, Scope, within
from web.domain.errors import NotFoundError
from web.domain.standing import BarCounts, Concerns
from web.services.recorders import standing
from web.services.work import jobs, recordings, retry
from web.store import standing as stored_standing
from web.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def room(db: Database) -> Room:
    return await make_room(db)


async def tell(
    room: Room, kind: str = "capture_died", severity: str = "critical", job: ClaimedJob | None = None
) -> None:
    event = EventReport(
        id=new_id(),
        kind=kind,
        severity=severity,  # type: ignore[arg-type]
        message=f"It is {kind}.",
        age_ms=0,
        job_id=None if job is None else job.job_id,
    )
    await jobs.record_events(room.db, EventsRequest(node_run=room.node_run, events=[event]), node=room.node)


async def concerns(room: Room, by: Actor = SOMEBODY) -> Concerns:
    return await standing.concerns(room.db, by=by)


async def attention(room: Room, by: Actor = SOMEBODY) -> int:
    found = await concerns(room, by)
    assert (await standing.bar(room.db, by=by)).attention == found.total
    return found.total


async def test_a_recording_goes_from_waiting_to_running_to_finishing_to_gone(db: Database, room: Room) -> None:
    await room.start("Council", duration_ms=3_600_000)
    (waiting,) = await stored_standing.live_recordings(db, scope=EVERYTHING, nodes=EVERYTHING)
    assert (waiting.is_due, waiting.is_running, waiting.occupies_node, waiting.elapsed_ms) == (True, False, True, None)
    job = await room.claim()
    assert job is not None
    await room.heartbeat(job, phase=Phase.CAPTURING)
    (running,) = await stored_standing.live_recordings(db, scope=EVERYTHING, nodes=EVERYTHING)
    assert running.is_running
    assert running.interface_label == "Counter"
    assert running.elapsed_ms is not None
    assert 0 <= running.elapsed_ms < 60_000
    assert running.remaining_ms is not None
    assert 3_500_000 < running.remaining_ms <= 3_600_000
    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)
    (stopping,) = await stored_standing.live_recordings(db, scope=EVERYTHING, nodes=EVERYTHING)
    assert stopping.is_finishing
    assert not stopping.occupies_node
    await room.finish(job, outcome="cancelled", reason="nothing_captured")
    assert await stored_standing.live_recordings(db, scope=EVERYTHING) == []


async def test_a_recording_whose_lease_ran_out_is_not_called_running(db: Database, room: Room, owner: Any) -> None:
    job = await room.claimed()
    await room.heartbeat(job, phase=Phase.CAPTURING)
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '42 seconds'")
    assert (await standing.bar(db, by=SOMEBODY)).running == 0
    (lost,) = await stored_standing.live_recordings(db, scope=EVERYTHING, nodes=EVERYTHING)
    assert lost.is_out_of_contact
    assert not lost.is_running
    assert lost.lease_seconds is not None
    assert -60 < lost.lease_seconds <= -42
    assert standing.verdict(await standing.node_cards(db, by=SOMEBODY), [lost], 0).kind == "bad"


async def test_bar_counts_what_captures(db: Database, room: Room) -> None:
    assert await standing.bar(db, by=SOMEBODY) == BarCounts(0, 0)
    job = await room.claimed()
    await room.heartbeat(job, phase=Phase.CAPTURING)
    assert await standing.bar(db, by=SOMEBODY) == BarCounts(1, 0)


async def test_a_recording_is_one_concern_however_much_is_said_of_it(room: Room) -> None:
    job = await room.claimed(name="Council")
    for kind, severity in (("gap", "warning"), ("capture_died", "critical"), ("gap", "warning")):
        await tell(room, kind, severity, job)
    assert await attention(room) == 1
    (concern,) = (await concerns(room)).newest
    assert (concern.recording_name, concern.severity, concern.events) == ("Council", "critical", 3)
    assert concern.message == "It is capture_died."


async def test_a_failed_recording_says_why_it_failed(room: Room) -> None:
    job = await room.claimed(name="Council")
    await tell(room, "capture_died", "critical", job)
    await room.finish(job)
    (concern,) = (await concerns(room)).newest
    assert (concern.is_failed, concern.message) == (True, "The input is gone. Connect it.")
    assert concern.heard_at_seconds is None


async def test_a_failed_recording_that_is_tried_again_needs_nobody(db: Database, room: Room) -> None:
    job = await room.claimed()
    await room.finish(job)
    assert await attention(room) == 1
    await retry.retry_recording(db, job.recording_id, by=SOMEBODY)
    assert await attention(room) == 0


async def test_the_same_fault_of_a_node_again_and_again_is_one_concern(room: Room) -> None:
    for _ in range(5):
        await tell(room, "spool_file_broken")
    await tell(room, "disk_full")
    assert await attention(room) == 2


async def test_what_is_only_told_or_too_long_ago_or_seen_to_is_no_concern(room: Room, owner: Any) -> None:
    await tell(room, "started", "info")
    assert await attention(room) == 0
    await tell(room, "old")
    await owner.execute("UPDATE health_event SET happened_at = clock_timestamp() - interval '73 hours'")
    await tell(room, "seen_to")
    await owner.execute("UPDATE health_event SET state = 'resolved' WHERE kind = 'seen_to'")
    assert await attention(room) == 0


async def test_many_concerns_are_counted_and_the_newest_shown(room: Room) -> None:
    for number in range(11):
        await tell(room, "fault_" + "abcdefghijk"[number])
    found = await concerns(room)
    assert found.total == 11
    assert [concern.message for concern in found.newest] == [f"It is fault_{letter}." for letter in "kjihgfed"]


async def test_a_gap_is_heard_where_the_ledger_has_it(room: Room) -> None:
    job = await room.claimed()
    cache_file = await room.open_file(job)
    gaps = [GapReport(start_frame=24_000, frames=480, cause="xrun")]
    await room.seal(job, cache_file, room.sealing(job, gaps=gaps))
    (concern,) = (await concerns(room)).newest
    assert concern.heard_at_seconds == 0.5


async def test_a_fault_while_recording_is_heard_at_its_moment(room: Room, owner: Any) -> None:
    job = await room.claimed()
    await room.heartbeat(job, phase=Phase.CAPTURING)
    await tell(room, "capture_died", "critical", job)
    await owner.execute("UPDATE recording SET started_at = clock_timestamp() - interval '1 hour'")
    await owner.execute("UPDATE health_event SET happened_at = clock_timestamp() - interval '30 minutes'")
    (concern,) = (await concerns(room)).newest
    assert concern.heard_at_seconds == pytest.approx(1800, abs=60)
    await owner.execute("UPDATE health_event SET happened_at = clock_timestamp() - interval '2 hours'")
    assert (await concerns(room)).newest[0].heard_at_seconds is None


async def test_last_day_counts_what_ended_in_it(db: Database, room: Room, owner: Any) -> None:
    for outcome in ("failed", "failed", "cancelled"):
        await room.finish(await room.claimed(), outcome=outcome)
    await owner.execute(
        """UPDATE recording SET ended_at = clock_timestamp() - interval '25 hours'
        WHERE id = (SELECT id FROM recording WHERE state = 'failed' LIMIT 1)"""
    )
    found = await stored_standing.last_day(db, scope=EVERYTHING)
    assert (found.completed, found.failed, found.cancelled) == (0, 1, 1)


async def test_nothing_outside_the_scope_is_told_or_counted(db: Database, room: Room) -> None:
    other = await make_room(db, "Court 3")
    for one in (room, other):
        job = await one.claimed()
        await one.heartbeat(job, phase=Phase.CAPTURING)
        await tell(one)
        await one.finish(await one.claimed())
    narrow = Actor("user", None, "ANA", within(Scope(nodes=frozenset({other.node.node_id}))))
    assert await attention(room) == 4
    assert await attention(room, narrow) == 2
    assert {concern.node_name for concern in (await concerns(room, narrow)).newest} == {"Court 3"}
    assert (await standing.bar(db, by=narrow)).running == 1
    cards = await standing.node_cards(db, by=narrow)
    assert [(card.node.name, len(card.live), len(card.interfaces)) for card in cards] == [("Court 3", 1, 2)]
    assert (await stored_standing.last_day(db, scope=narrow.recordings)).failed == 1
    with pytest.raises(NotFoundError):
        await standing.node_card(db, room.node.node_id, by=narrow)
