"""A recording that failed or was cancelled is tried again; what was before stays as it ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from protocol.ids import new_id
from protocol.messages import ClaimedJob, Origin, Wish
from tests.integration.room import COUNTER, SOMEBODY, Room, inventory, make_room
from tests.integration.web_room import WebAgent
from web.domain.access import EVERYTHING, Actor, Permission, Scope, everywhere, within
from web.domain.errors import CapacityError, ConflictError, ForbiddenError, NotFoundError
from web.domain.recordings import Recording
from web.domain.states import CacheState, Health, JobState, Mark, RecordingState
from web.services.content import cache_files
from web.services.recorders import nodes
from web.services.work import recordings
from web.services.work.retry import retry_recording
from web.store import job_cards
from web.store import recordings as recording_store
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def _failed(room: Room, reason: str = "device_gone", **wanted: Any) -> ClaimedJob:
    job = await room.claimed(**wanted)
    await room.heartbeat(job)
    await room.finish(job, reason=reason)
    return job


async def _retry(db: Database, job: ClaimedJob) -> Recording:
    return await retry_recording(db, job.recording_id, by=SOMEBODY)


async def _rows(owner: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in await owner.fetch("SELECT * FROM job ORDER BY attempt")]


async def test_retry_queues_the_recording_again_and_leaves_the_first_attempt_as_it_ended(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    first = await _failed(room)
    (before,) = await _rows(owner)

    again = await _retry(db, first)

    assert (again.state, again.attempt, again.health, again.reason) == (RecordingState.QUEUED, 2, None, None)
    assert (await _rows(owner))[0] == before
    second = await room.claim()
    assert second is not None
    assert (second.recording_id, second.attempt, second.settings) == (first.recording_id, 2, first.settings)
    assert second.job_id != first.job_id


async def test_later_settings_do_not_change_what_is_tried_again(db: Database) -> None:
    room = await make_room(db)
    first = await _failed(room)
    wide = first.settings.capture.model_copy(update={"sample_type": "s32"})
    await nodes.set_capture_format(db, room.node.node_id, COUNTER, wide, by=SOMEBODY)
    await _retry(db, first)
    second = await room.claim()
    assert second is not None
    assert second.settings == first.settings


async def test_retry_of_a_retry_goes_on_counting(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await _failed(room)
    for attempt in (2, 3):
        await _retry(db, job)
        again = await room.claim()
        assert again is not None
        assert again.attempt == attempt
        await room.finish(again)
    assert [row["state"] for row in await _rows(owner)] == ["failed"] * 3


async def test_completed_retry_is_a_recording_like_any_other(db: Database) -> None:
    room = await make_room(db)
    first = await _failed(room)
    await _retry(db, first)
    second = await room.claim()
    assert second is not None
    await recordings.stop_recording(db, first.recording_id, by=SOMEBODY)
    await room.seal(second, await room.open_file(second))
    found = await recording_store.get(db, first.recording_id, scope=EVERYTHING)
    assert (found.state, found.attempt, found.cache_state) == (RecordingState.COMPLETED, 2, CacheState.CACHED)
    assert found.health is Health.HEALTHY
    with pytest.raises(ConflictError, match="complete"):
        await _retry(db, first)


async def test_ten_clicks_at_once_make_one_attempt(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await _failed(room)
    answers = await asyncio.gather(*(_retry(db, job) for _ in range(10)))
    assert set(map(repr, answers)) == {repr(answers[0])}
    assert len(await _rows(owner)) == 2


async def test_a_cancelled_recording_can_be_tried_again(db: Database) -> None:
    room = await make_room(db)
    started = await room.start()
    await recordings.cancel_recording(db, started.id, by=SOMEBODY)
    again = await retry_recording(db, started.id, by=SOMEBODY)
    assert (again.state, again.wish) == (RecordingState.QUEUED, Wish.RUN)


async def test_what_goes_on_is_not_tried_again(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    with pytest.raises(ConflictError, match="going on"):
        await _retry(db, job)
    assert len(await _rows(owner)) == 1


async def test_what_was_salvaged_is_not_recorded_again(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room, reason="contact_lost")

    cache_file = await room.open_file(job, origin=Origin.SALVAGED)
    await room.seal(job, cache_file, room.sealing(job, origin=Origin.SALVAGED))
    with pytest.raises(ConflictError, match="here already"):
        await _retry(db, job)


async def test_salvage_that_arrives_before_a_retry_is_claimed_takes_its_place(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room, reason="contact_lost")
    late = await room.open_file(job, origin=Origin.SALVAGED)
    await _retry(db, job)
    await room.seal(job, late, room.sealing(job, origin=Origin.SALVAGED))
    found = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    assert (found.state, found.mark, found.reason) == (RecordingState.FAILED, Mark.SALVAGED, "salvaged_before_retry")
    assert found.duration_ms is not None
    assert await room.claim() is None
    with pytest.raises(ConflictError, match="here already"):
        await _retry(db, job)


async def test_salvage_waits_for_a_retry_that_is_under_way_and_stays_when_that_comes_to_nothing(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room, reason="contact_lost")
    late = await room.open_file(job, origin=Origin.SALVAGED)
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    with pytest.raises(ConflictError, match="later attempt"):
        await room.seal(job, late, room.sealing(job, origin=Origin.SALVAGED))
    await room.finish(second, reason="window_over")
    await room.seal(job, late, room.sealing(job, origin=Origin.SALVAGED))
    found = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    assert (found.state, found.mark, found.reason) == (RecordingState.FAILED, Mark.SALVAGED, "window_over")
    assert found.duration_ms is not None
    assert found.cache_state is CacheState.CACHED


async def test_salvage_never_takes_the_place_of_what_a_later_attempt_delivered(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room, reason="contact_lost")
    late = await room.open_file(job, origin=Origin.SALVAGED)
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    good = await room.open_file(second)
    await room.seal(second, good, room.sealing(second))
    before = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    await room.seal(job, late, room.sealing(job, origin=Origin.SALVAGED))
    after = await recording_store.get(db, job.recording_id, scope=EVERYTHING)
    assert (before.state, before.mark, before.cache_file_id) == (RecordingState.COMPLETED, None, good.id)
    assert after == before


async def _pass_window(owner: Any) -> None:
    """As if all that was planned for later had been planned for yesterday."""
    await owner.execute(
        "UPDATE job SET settings = settings || jsonb_build_object('ends_at', clock_timestamp() - interval '1 hour'), "
        "window_ends_at = clock_timestamp() - interval '1 hour', ends_at = clock_timestamp() - interval '1 hour'"
    )


def _soon(minutes: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


async def test_a_window_that_is_over_is_refused_when_nothing_of_it_was_ever_taken(db: Database, owner: Any) -> None:
    room = await make_room(db)
    started = await room.start(ends_at=_soon(60))
    await recordings.cancel_recording(db, started.id, by=SOMEBODY)
    await _pass_window(owner)
    with pytest.raises(ConflictError, match="window of this recording was over"):
        await retry_recording(db, started.id, by=SOMEBODY)
    assert len(await _rows(owner)) == 1


@pytest.mark.parametrize("reason", ["capture_not_started", "nothing_captured", "below_minimum"])
async def test_a_window_that_is_over_is_refused_when_the_node_kept_nothing(
    db: Database, owner: Any, reason: str
) -> None:
    room = await make_room(db)
    job = await _failed(room, reason, ends_at=_soon(60))
    await _pass_window(owner)
    with pytest.raises(ConflictError, match="window"):
        await _retry(db, job)


async def test_a_window_that_is_over_is_claimed_again_when_the_node_may_have_kept_it(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await _failed(room, "contact_lost", ends_at=_soon(60))
    await _pass_window(owner)
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    assert second.ends_in_ms is not None
    assert second.ends_in_ms < 0


async def test_a_length_becomes_the_instant_at_which_it_would_have_ended(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await _failed(room, duration_ms=600_000)
    await owner.execute("UPDATE job SET window_ends_at = window_ends_at - interval '4 minutes'")
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    assert (second.settings.duration_ms, second.settings.ends_at is not None) == (None, True)
    assert second.ends_in_ms == pytest.approx(360_000, abs=60_000)


async def test_a_retry_is_claimed_although_its_input_is_gone(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room)
    await room.start("Another")
    room.interfaces = []
    await nodes.update_inventory(db, inventory(room.node_run, ()), node=room.node)
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    assert second.attempt == 2
    assert await room.claim() is None


async def test_a_busy_node_refuses_a_retry(db: Database) -> None:
    room = await make_room(db, capacity=1)
    job = await _failed(room)
    await room.start("Other")
    with pytest.raises(CapacityError, match="Other"):
        await _retry(db, job)


async def test_a_retry_that_only_delivers_needs_no_room_on_a_busy_node(db: Database, owner: Any) -> None:
    room = await make_room(db, capacity=1)
    job = await _failed(room, "contact_lost", ends_at=_soon(60))
    await _pass_window(owner)
    await room.claimed(name="Other")
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    assert (second.recording_id, second.attempt) == (job.recording_id, 2)


async def test_retry_needs_the_permission_and_the_scope(db: Database) -> None:
    room = await make_room(db)
    job = await _failed(room)
    viewer = Actor("user", None, "viewer", everywhere(frozenset({Permission.RECORDING_READ})))
    with pytest.raises(ForbiddenError):
        await retry_recording(db, job.recording_id, by=viewer)
    with pytest.raises(NotFoundError):
        await retry_recording(
            db, job.recording_id, by=Actor("user", None, "other", within(Scope(nodes=frozenset({new_id()}))))
        )


async def test_what_grew_for_an_earlier_attempt_is_abandoned_once_a_later_one_completed(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    job = await room.claimed()
    left = await room.open_file(job)
    await room.finish(job)
    await _retry(db, job)
    second = await room.claim()
    assert second is not None
    await owner.execute("UPDATE job SET ended_at = ended_at - interval '1 day'")
    assert await cache_files.abandoned(db) == []
    await room.seal(second, await room.open_file(second))
    assert await cache_files.abandoned(db) == [left.id]


async def test_what_grew_before_the_salvage_of_a_job_is_abandoned_once_that_is_sealed(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    left = await room.open_file(job)
    await room.finish(job)
    await owner.execute("UPDATE job SET ended_at = ended_at - interval '1 day'")
    salvage = await room.open_file(job, origin=Origin.SALVAGED)
    assert await cache_files.abandoned(db) == []
    await room.seal(job, salvage, room.sealing(job, origin=Origin.SALVAGED))
    assert await cache_files.abandoned(db) == [left.id]
    later = await room.open_file(job, origin=Origin.SALVAGED)
    assert await cache_files.abandoned(db) == [left.id]
    await cache_files.forget_abandoned(db, later.id)
    await cache_files.forget_abandoned(db, left.id)
    assert await owner.fetchval("SELECT array_agg(id ORDER BY created_at) FROM cache_file") == [salvage.id, later.id]


async def test_retry_through_the_api(user: httpx.AsyncClient, agent: WebAgent, db: Database) -> None:
    job = await _failed(agent.room)
    answer = await user.post(f"/api/v1/recordings/{job.recording_id}/retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["attempt"]) == (200, "queued", 2)
    found = await job_cards.latest(db, scope=EVERYTHING, recording_id=job.recording_id)
    assert [(one.attempt, one.state) for one in found] == [(2, JobState.QUEUED), (1, JobState.FAILED)]
    assert (await user.post(f"/api/v1/recordings/{new_id()}/retry")).status_code == 404
