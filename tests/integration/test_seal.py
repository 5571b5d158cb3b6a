"""The seal ends a recording with content, once; what comes late from a lost node is salvage."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from protocol.ids import new_id
from protocol.messages import EndReason, EventReport, EventsRequest, GapReport, Origin, Phase, RunRequest
from tests.integration.room import SOMEBODY, Room, make_room, stored
from web.domain.access import EVERYTHING
from web.domain.cache_files import CacheFile, VerifiedPart
from web.domain.errors import (
    ConflictError,
    DigestMismatchError,
    EpochSupersededError,
    JobEndedError,
    NodeRunSupersededError,
    NotFoundError,
    NotYoursError,
)
from web.domain.recordings import Recording
from web.domain.states import CacheState, Health, Mark, RecordingState, Severity, UploadStatus
from web.services.content import cache_files
from web.services.recorders import nodes
from web.services.work import jobs, recordings
from web.store import cache_files as cache_file_store
from web.store import health_events
from web.store import recordings as recording_store
from web.store.database import Database

pytestmark = pytest.mark.anyio

_STATE = """
SELECT (SELECT array_agg(j.state || j.epoch || coalesce(j.reason, '') ORDER BY j.id) FROM job j),
       (SELECT array_agg(r.state || coalesce(r.mark, '') ORDER BY r.id) FROM recording r),
       (SELECT array_agg(c.state || c.origin || c.epoch ORDER BY c.id) FROM cache_file c),
       (SELECT count(*) FROM lease), (SELECT count(*) FROM job_event), (SELECT count(*) FROM upload_item)
"""


async def _recording(db: Database, recording_id: Any) -> Recording:
    return await recording_store.get(db, recording_id, scope=EVERYTHING)


async def _rescued(owner: Any) -> None:
    """What the lease runner does to a lost job."""
    await owner.execute("UPDATE job SET state = 'failed', reason = 'contact_lost', epoch = epoch + 1")
    await owner.execute("INSERT INTO job_event (job_id, epoch, kind, actor) SELECT id, epoch, 'failed', 'x' FROM job")
    await owner.execute("UPDATE recording SET state = 'failed', health = 'critical'")
    await owner.execute("DELETE FROM lease")


async def test_seal_completes_recording_job_and_file_in_one_go(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)

    await room.seal(job, cache_file)

    recording = await _recording(db, job.recording_id)
    assert (recording.state, recording.mark, recording.health) == (RecordingState.COMPLETED, None, Health.HEALTHY)
    assert (recording.duration_ms, recording.reason) == (2_000, "stopped")
    assert recording.started_at == datetime.fromtimestamp(1_800_000_000, UTC)
    assert (recording.cache_state, recording.cache_file_id) == (CacheState.CACHED, cache_file.id)
    assert await owner.fetchval("SELECT count(*) FROM lease") == 0
    sealed = await cache_file_store.get(db, cache_file.id, scope=EVERYTHING)
    assert sealed.parts == stored(room.sealing(job))
    assert sealed.facts is not None
    assert sealed.facts.frames == 96_000


async def test_sealing_ten_times_at_once_is_sealing_once(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    request = room.sealing(job, gaps=[GapReport(start_frame=10, frames=480, cause="xrun")])

    await asyncio.gather(*(room.seal(job, cache_file, request) for _ in range(10)))

    kinds = [row["kind"] for row in await owner.fetch("SELECT kind FROM job_event ORDER BY id")]
    assert kinds == ["created", "claimed", "completed"]
    assert await owner.fetchval("SELECT count(*) FROM health_event") == 1


async def test_seals_and_heartbeats_at_once_never_stand_in_each_others_way(db: Database) -> None:
    room = await make_room(db, capacity=10)
    held = [await room.claimed(name=f"{number}") for number in range(10)]
    opened = [await room.open_file(job) for job in held]
    beats = [room.heartbeat(*held, phase=phase) for phase in (Phase.CAPTURING, Phase.FINISHING, Phase.UPLOADING)]
    seals = [room.seal(job, cache_file) for job, cache_file in zip(held, opened, strict=True)]

    await asyncio.gather(*beats, *seals)

    for job in held:
        assert (await _recording(db, job.recording_id)).state is RecordingState.COMPLETED


async def test_another_seal_of_a_sealed_file_is_refused(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await room.seal(job, cache_file)
    request = room.sealing(job)
    other = request.model_copy(update={"audio": request.audio.model_copy(update={"bytes": 1})})
    with pytest.raises(JobEndedError):
        await room.seal(job, cache_file, other)
    with pytest.raises(JobEndedError):
        await room.append(job, cache_file)


async def test_digests_that_differ_from_what_is_stored_seal_nothing(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    before = await owner.fetchrow(_STATE)
    request = room.sealing(job)
    found = stored(request) | {"waveform": VerifiedPart(774, "0" * 64, "0" * 64)}
    with pytest.raises(DigestMismatchError) as refused:
        await cache_files.seal(db, cache_file.id, request, found, node=room.node)
    assert refused.value.part == "waveform"
    assert await owner.fetchrow(_STATE) == before


async def test_uploads_are_queued_for_policies_that_want_it_cached(db: Database, owner: Any) -> None:
    room = await make_room(db)
    wanted, manual = new_id(), new_id()
    await owner.execute("INSERT INTO upload_policy VALUES ($1, 'Archive', 'on_recording_cached')", wanted)
    await owner.execute("INSERT INTO upload_policy VALUES ($1, 'By hand', 'manual')", manual)
    job = await room.claimed(upload_policy_ids=[wanted, manual])
    await room.seal(job, await room.open_file(job))

    assert [row["upload_policy_id"] for row in await owner.fetch("SELECT * FROM upload_item")] == [wanted]
    assert (await _recording(db, job.recording_id)).upload_status is UploadStatus.QUEUED


@pytest.mark.parametrize(
    ("changes", "mark", "health", "kinds"),
    [
        ({"gaps": [GapReport(start_frame=0, frames=1, cause="xrun")]}, None, Health.WARNING, ["gap"]),
        ({"origin": Origin.TRUNCATED}, Mark.TRUNCATED, Health.WARNING, ["truncated"]),
        ({"origin": Origin.RECOVERED}, Mark.RECOVERED, Health.WARNING, ["recovered"]),
        ({"peak_dbfs": None}, None, Health.CRITICAL, ["exact_zeros"]),
        ({"end_reason": EndReason.PLANNED_END}, None, Health.HEALTHY, []),
        ({"end_reason": EndReason.NODE_STOPPED}, None, Health.WARNING, []),
        ({"end_reason": EndReason.CAPTURE_DIED}, None, Health.WARNING, ["capture_died"]),
    ],
)
async def test_health_at_the_end_is_never_better_than_the_content(
    db: Database, owner: Any, changes: dict[str, Any], mark: Mark | None, health: Health, kinds: list[str]
) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.seal(job, await room.open_file(job), room.sealing(job, **changes))

    recording = await _recording(db, job.recording_id)
    assert (recording.state, recording.mark, recording.health) == (RecordingState.COMPLETED, mark, health)
    events = await health_events.latest(db, scope=EVERYTHING, recording_id=job.recording_id)
    assert [event.kind for event in events] == kinds


async def test_events_count_in_the_health_also_when_they_come_after_the_end_and_each_once(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.seal(job, await room.open_file(job))
    event = EventReport(
        id=new_id(), kind="dead_channel", severity="warning", message="Silent.", age_ms=9, job_id=job.job_id
    )
    request = EventsRequest(node_run=room.node_run, events=[event])
    await jobs.record_events(db, request, node=room.node)
    await jobs.record_events(db, request, node=room.node)

    assert (await _recording(db, job.recording_id)).health is Health.WARNING
    found = await health_events.latest(db, scope=EVERYTHING)
    assert [(event.kind, event.severity) for event in found] == [("dead_channel", Severity.WARNING)]


async def test_a_cancel_that_nobody_asked_for_is_a_warning(db: Database) -> None:
    room = await make_room(db)
    unasked, asked = await room.claimed(name="Unasked"), await room.claimed(name="Asked")
    await recordings.cancel_recording(db, asked.recording_id, by=SOMEBODY)
    for job in (unasked, asked):
        await room.finish(job, "cancelled", "nothing_captured")
    assert (await _recording(db, unasked.recording_id)).health is Health.WARNING
    assert (await _recording(db, asked.recording_id)).health is Health.HEALTHY


async def test_content_of_a_recording_that_is_to_be_cancelled_is_refused(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await recordings.cancel_recording(db, job.recording_id, by=SOMEBODY)
    with pytest.raises(ConflictError):
        await room.append(job, cache_file)
    with pytest.raises(ConflictError):
        await room.seal(job, cache_file)
    await room.finish(job, "cancelled", "cancelled")
    assert (await _recording(db, job.recording_id)).state is RecordingState.CANCELLED


async def test_a_finish_that_is_repeated_is_accepted_and_another_one_refused(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.finish(job)
    before = await owner.fetchrow(_STATE)
    await room.finish(job)
    with pytest.raises(JobEndedError):
        await room.finish(job, "cancelled", "nothing_captured")
    assert await owner.fetchrow(_STATE) == before


async def test_two_terminal_events_of_a_job_are_impossible(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.finish(job)
    with pytest.raises(Exception, match="job_event_terminal"):
        await owner.execute(
            "INSERT INTO job_event (job_id, epoch, kind, actor) VALUES ($1, 1, 'completed', 'x')", job.job_id
        )


async def _every_call(room: Room, job: Any, cache_file: CacheFile) -> list[object]:
    calls = [
        room.finish(job),
        room.open_file(job),
        room.open_file(job, cache_file_id=cache_file.id),
        room.append(job, cache_file),
        room.seal(job, cache_file),
    ]
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_an_old_epoch_changes_nothing_by_any_call(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await _rescued(owner)
    before = await owner.fetchrow(_STATE)

    answers = await _every_call(room, job, cache_file)

    assert [type(answer) for answer in answers] == [EpochSupersededError] * 5
    assert await owner.fetchrow(_STATE) == before


async def test_an_old_run_changes_nothing_by_any_call(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await nodes.begin_run(db, RunRequest(previous_run=room.node_run, version="1.0"), node=room.node)
    before = await owner.fetchrow(_STATE)

    answers = await _every_call(room, job, cache_file)
    event = EventReport(id=new_id(), kind="x", severity="info", message="x", age_ms=0)
    answers += await asyncio.gather(
        jobs.record_events(db, EventsRequest(node_run=room.node_run, events=[event]), node=room.node),
        return_exceptions=True,
    )

    assert [type(answer) for answer in answers] == [NodeRunSupersededError] * 6
    assert await owner.fetchrow(_STATE) == before


async def test_another_node_changes_nothing_by_any_call(db: Database, owner: Any) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    job = await here.claimed()
    cache_file = await here.open_file(job)
    before = await owner.fetchrow(_STATE)

    answers = await _every_call(there, job, cache_file)

    assert [type(answer) for answer in answers] == [NotYoursError] * 5
    assert await owner.fetchrow(_STATE) == before


async def test_what_comes_after_a_rescue_is_taken_as_salvage_and_the_job_stays_failed(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await _rescued(owner)

    again = await room.open_file(job, Origin.SALVAGED, cache_file.id)
    assert (again.id, again.origin) == (cache_file.id, Origin.SALVAGED)
    await room.append(job, again)
    for _ in range(2):
        await room.seal(job, again, room.sealing(job, origin=Origin.SALVAGED))

    recording = await _recording(db, job.recording_id)
    assert (recording.state, recording.mark) == (RecordingState.FAILED, Mark.SALVAGED)
    assert (recording.cache_state, recording.duration_ms) == (CacheState.CACHED, 2_000)
    assert recording.health is Health.CRITICAL
    kinds = [row["kind"] for row in await owner.fetch("SELECT kind FROM job_event ORDER BY id")]
    assert kinds == ["created", "claimed", "failed", "salvaged"]


async def test_nothing_is_salvaged_for_a_completed_or_cancelled_job(db: Database) -> None:
    room = await make_room(db)
    completed, cancelled = await room.claimed(name="Completed"), await room.claimed(name="Cancelled")
    await room.seal(completed, await room.open_file(completed))
    await room.finish(cancelled, "cancelled", "cancelled")
    for job in (completed, cancelled):
        with pytest.raises(JobEndedError):
            await room.open_file(job, Origin.SALVAGED)


async def test_nothing_is_salvaged_of_what_somebody_cancelled_although_its_job_failed(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await recordings.cancel_recording(db, job.recording_id, by=SOMEBODY)
    await room.finish(job, "failed")
    with pytest.raises(JobEndedError):
        await room.open_file(job, Origin.SALVAGED)
    assert (await _recording(db, job.recording_id)).cache_state is CacheState.NONE


async def test_opening_twice_finds_the_same_file(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file_id = new_id()
    opened = await asyncio.gather(*(room.open_file(job, cache_file_id=cache_file_id) for _ in range(5)))
    assert {found.id for found in opened} == {cache_file_id}
    assert await owner.fetchval("SELECT count(*) FROM cache_file") == 1


async def test_opening_another_recordings_file_is_refused(db: Database) -> None:
    room = await make_room(db)
    mine, other = await room.claimed(name="Mine"), await room.claimed(name="Other")
    cache_file = await room.open_file(mine)
    with pytest.raises(ConflictError):
        await room.open_file(other, cache_file_id=cache_file.id)
    with pytest.raises(NotFoundError):
        await room.seal(other, cache_file)


async def test_a_new_file_stands_for_the_recording_until_good_content_does(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    first = await room.open_file(job)
    assert (await _recording(db, job.recording_id)).cache_state is CacheState.RECEIVING
    second = await room.open_file(job)
    current = await cache_file_store.current_of(db, job.recording_id, scope=EVERYTHING)
    assert current is not None
    assert current.id == second.id
    await room.seal(job, first)
    current = await cache_file_store.current_of(db, job.recording_id, scope=EVERYTHING)
    assert current is not None
    assert (current.id, current.state) == (first.id, CacheState.CACHED)


async def test_checksum_is_kept_once_and_a_damaged_file_is_no_longer_cached(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    with pytest.raises(ConflictError):
        await cache_files.set_checksum(db, cache_file.id, "a" * 64)
    await room.seal(job, cache_file)
    assert [found.id for found in await cache_files.cached_without_checksum(db)] == [cache_file.id]

    await cache_files.set_checksum(db, cache_file.id, "a" * 64)
    assert await cache_files.cached_without_checksum(db) == []
    with pytest.raises(ConflictError):
        await cache_files.set_checksum(db, cache_file.id, "b" * 64)

    await cache_files.mark_damaged(db, cache_file.id, "The stored file changed. Restore it from a copy.")
    recording = await _recording(db, job.recording_id)
    assert (recording.cache_state, recording.health) == (CacheState.DAMAGED, Health.CRITICAL)
    await room.heartbeat(job, phase=Phase.UPLOADING)


async def test_content_that_was_damaged_here_is_replaced_by_its_node_after_the_end(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    damaged = await room.open_file(job)
    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)
    await room.seal(job, damaged, room.sealing(job, gaps=[GapReport(start_frame=10, frames=480, cause="xrun")]))
    with pytest.raises(JobEndedError):
        await room.open_file(job)
    await cache_files.mark_damaged(db, damaged.id, "The stored audio is not what the node had sealed.")

    again = await room.open_file(job)
    await room.append(job, again)
    await owner.execute("UPDATE job SET ended_at = ended_at - interval '1 hour'")
    assert await cache_files.abandoned(db) == []
    await room.seal(job, again)

    recording = await _recording(db, job.recording_id)
    assert (recording.state, recording.cache_file_id) == (RecordingState.COMPLETED, again.id)
    assert (recording.cache_state, recording.health) == (CacheState.CACHED, Health.WARNING)
    kept = await cache_file_store.get(db, damaged.id, scope=EVERYTHING)
    assert kept.state is CacheState.DAMAGED
    events = await health_events.latest(db, scope=EVERYTHING, recording_id=job.recording_id)
    assert sorted(event.kind for event in events) == ["cache_file_damaged", "gap"]
    with pytest.raises(JobEndedError):
        await room.open_file(job)


async def test_content_that_lacks_a_part_makes_way_for_the_whole_once_that_is_delivered(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    job = await room.claimed()
    first = await room.open_file(job)
    await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)
    away = EventReport(
        id=new_id(), kind="part_given_up", severity="critical", message="Mount it.", age_ms=0, job_id=job.job_id
    )
    await jobs.record_events(db, EventsRequest(node_run=room.node_run, events=[away]), node=room.node)
    missing = [GapReport(start_frame=10, frames=480, cause="disk_away")]
    await room.seal(job, first, room.sealing(job, origin=Origin.RECOVERED, gaps=missing))
    recording = await _recording(db, job.recording_id)
    assert (recording.cache_file_id, recording.mark, recording.health) == (first.id, Mark.RECOVERED, Health.CRITICAL)

    for frames, is_less in ((480, False), (240, True)):
        again = await room.open_file(job)
        missing = [GapReport(start_frame=10, frames=frames, cause="disk_away")]
        await room.seal(job, again, room.sealing(job, origin=Origin.RECOVERED, gaps=missing))
        recording = await _recording(db, job.recording_id)
        assert recording.cache_file_id == (again.id if is_less else first.id)
        assert (recording.mark, recording.health) == (Mark.RECOVERED, Health.CRITICAL)

    whole = await room.open_file(job)
    assert (await _recording(db, job.recording_id)).cache_file_id == again.id
    await owner.execute("UPDATE job SET ended_at = ended_at - interval '1 hour'")
    assert await cache_files.abandoned(db) == []
    await room.seal(job, whole)

    recording = await _recording(db, job.recording_id)
    assert (recording.cache_file_id, recording.mark, recording.health) == (whole.id, None, Health.WARNING)
    with pytest.raises(JobEndedError):
        await room.open_file(job)


async def test_damaged_content_is_taken_again_only_from_who_delivered_it(db: Database) -> None:
    room = await make_room(db)
    job = await room.claimed()
    cache_file = await room.open_file(job)
    await room.seal(job, cache_file)
    await cache_files.mark_damaged(db, cache_file.id, "The stored audio is not what the node had sealed.")
    other = await make_room(db, "Library")
    with pytest.raises(NotYoursError):
        await other.open_file(job)
    with pytest.raises(EpochSupersededError):
        await room.open_file(job.model_copy(update={"epoch": job.epoch + 1}))
