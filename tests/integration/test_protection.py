"""What protects a recording and is pinned into its job: limits, pre-roll, the least output, space on its node."""

from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from protocol.messages import (
    ArmedInterface,
    CaptureFormat,
    EndReason,
    GapReport,
    HeartbeatRequest,
    JobReport,
    Limits,
    Origin,
    Phase,
    RunRequest,
    SpoolReport,
)
from tests import profiles
from tests.integration.room import COUNTER, SOMEBODY, STEREO, WIDE, Room, inventory, make_room
from web.domain.access import ALL_PERMISSIONS, EVERYTHING, Actor, Permission, everywhere
from web.domain.errors import ForbiddenError, InvalidError, NodeFullError, NotFoundError
from web.domain.recordings import Recording
from web.domain.states import Health, Mark, RecordingState
from web.services.recorders import nodes
from web.services.work import jobs, retry
from web.services.work.profiles import protect
from web.store import health_events, job_cards
from web.store import nodes as stored_nodes
from web.store import recordings as stored_recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio

USUAL = Limits(length_ms=7_200_000, size_bytes=2_000_000_000, idle_ms=600_000)
VIEWER = Actor("user", None, "ANA", everywhere(ALL_PERMISSIONS - {Permission.NODE_EDIT, Permission.SETTINGS_EDIT}))


@pytest.fixture
async def room(db: Database) -> Room:
    return await make_room(db, capacity=9)


async def protect_wav(db: Database, limits: Limits = USUAL, minimum_bytes: int | None = None) -> None:
    await protect(db, profiles.WAV, limits=limits, minimum_bytes=minimum_bytes, by=SOMEBODY)


async def recording_of(room: Room, recording_id: UUID) -> Recording:
    return await stored_recordings.get(room.db, recording_id, scope=EVERYTHING)


def spool(standing: Any) -> SpoolReport:
    return SpoolReport(path=f"/spool/{standing}", free_bytes=10, total_bytes=100, standing=standing)


async def report_spools(room: Room, *standings: str) -> None:
    report = inventory(room.node_run).model_copy(update={"spools": [spool(standing) for standing in standings]})
    await nodes.update_inventory(room.db, report, node=room.node)


# ---- limits ----


@pytest.mark.parametrize(
    ("wanted", "pinned"),
    [
        ({}, USUAL),
        ({"idle_ms": 5_000}, USUAL.model_copy(update={"idle_ms": 5_000})),
        ({"length_ms": 0, "size_bytes": 0, "idle_ms": 0}, Limits()),
    ],
    ids=["as the profile says", "one of its own", "none"],
)
async def test_a_limit_of_its_own_goes_before_that_of_the_profile(
    db: Database, room: Room, wanted: dict[str, int], pinned: Limits
) -> None:
    assert (await room.claimed()).settings.limits == Limits()
    await protect_wav(db)
    job = await room.claimed(limits=wanted)
    assert job.settings.limits == pinned
    await protect_wav(db, Limits(length_ms=1))
    assert (await job_cards.get(db, job.job_id, scope=EVERYTHING)).settings.limits == pinned


@pytest.mark.parametrize(
    ("reason", "health", "severity"),
    [
        (EndReason.LENGTH_LIMIT, Health.WARNING, "warning"),
        (EndReason.SIZE_LIMIT, Health.WARNING, "warning"),
        (EndReason.IDLE_LIMIT, Health.HEALTHY, "info"),
        (EndReason.DISK_FULL, Health.CRITICAL, "critical"),
    ],
)
async def test_an_end_by_itself_is_named_and_marked(
    db: Database, room: Room, reason: EndReason, health: Health, severity: str
) -> None:
    for origin in (Origin.NORMAL, Origin.TRUNCATED):
        job = await room.claimed()
        await room.seal(job, await room.open_file(job, origin), room.sealing(job, origin, end_reason=reason))
        recording = await recording_of(room, job.recording_id)
        assert (recording.state, recording.mark, recording.health) == (
            RecordingState.COMPLETED,
            Mark.TRUNCATED,
            health,
        )
        assert recording.reason == reason.replace(" ", "_")
        assert recording.message
        (event,) = await health_events.latest(db, scope=EVERYTHING, recording_id=recording.id)
        assert (event.kind, event.severity, event.message) == (recording.reason, severity, recording.message)


async def test_what_ended_so_is_no_better_than_what_is_wrong_with_it(room: Room) -> None:
    job = await room.claimed()
    gaps = [GapReport(start_frame=0, frames=480, cause="xrun")]
    request = room.sealing(job, end_reason=EndReason.IDLE_LIMIT, gaps=gaps)
    await room.seal(job, await room.open_file(job), request)
    assert (await recording_of(room, job.recording_id)).health is Health.WARNING


# ---- pre-roll ----


async def armed_of(room: Room) -> list[ArmedInterface]:
    """As a heartbeat and the start of a run tell it."""
    by_heartbeat = (await room.heartbeat()).armed
    again = await nodes.begin_run(room.db, RunRequest(previous_run=room.node_run, version="1"), node=room.node)
    room.node_run = again.node_run
    assert again.armed == by_heartbeat
    return by_heartbeat


async def test_a_node_is_told_what_is_armed_in_the_format_that_was_chosen(db: Database, room: Room) -> None:
    assert await armed_of(room) == []
    wide = CaptureFormat(channels=32, sample_rate_hz=96_000, sample_type="s32")
    numbers = [(await room.heartbeat()).change_no]
    await nodes.arm_interface(db, room.node.node_id, WIDE, 60, by=SOMEBODY)
    numbers.append((await room.heartbeat()).change_no)
    assert await armed_of(room) == [ArmedInterface(interface=WIDE, capture=STEREO, preroll_ms=60_000)]
    await nodes.set_capture_format(db, room.node.node_id, WIDE, wide, by=SOMEBODY)
    numbers.append((await room.heartbeat()).change_no)
    assert await armed_of(room) == [ArmedInterface(interface=WIDE, capture=wide, preroll_ms=60_000)]
    await nodes.arm_interface(db, room.node.node_id, WIDE, 0, by=SOMEBODY)
    numbers.append((await room.heartbeat()).change_no)
    assert await armed_of(room) == []
    assert numbers == sorted(set(numbers))


async def test_only_who_manages_the_node_arms_what_it_has(db: Database, room: Room) -> None:
    with pytest.raises(ForbiddenError):
        await nodes.arm_interface(db, room.node.node_id, COUNTER, 60, by=VIEWER)
    missing = COUNTER.model_copy(update={"name": "none"})
    with pytest.raises(NotFoundError):
        await nodes.arm_interface(db, room.node.node_id, missing, 60, by=SOMEBODY)
    for seconds in (-1, 3_601):
        with pytest.raises(InvalidError):
            await nodes.arm_interface(db, room.node.node_id, COUNTER, seconds, by=SOMEBODY)


async def test_a_start_reaches_back_as_far_as_its_interface_keeps_and_a_retry_does_not(
    db: Database, room: Room
) -> None:
    for wanted, words in ((1, "not armed"), (30_001, "last 30 s")):
        with pytest.raises(InvalidError, match=words) as refused:
            await room.start(preroll_ms=wanted)
        assert refused.value.field == "preroll_ms"
        await nodes.arm_interface(db, room.node.node_id, COUNTER, 30, by=SOMEBODY)
    job = await room.claimed(preroll_ms=30_000)
    assert job.settings.preroll_ms == 30_000
    await room.finish(job)
    await retry.retry_recording(db, job.recording_id, by=SOMEBODY)
    again = await room.claim()
    assert again is not None
    assert again.settings.preroll_ms == 0


async def test_a_recording_began_as_long_ago_as_it_is_long(db: Database, room: Room) -> None:
    job = await room.claimed()
    report = JobReport(
        job_id=job.job_id,
        epoch=job.epoch,
        phase=Phase.CAPTURING,
        frames=48_000 * 60,
        uploaded_bytes=0,
        start_frame=96_000,
    )
    await jobs.heartbeat(db, HeartbeatRequest(node_run=room.node_run, jobs=[report]), node=room.node)
    recording = await recording_of(room, job.recording_id)
    assert recording.started_at is not None
    assert (recording.created_at - recording.started_at).total_seconds() > 30
    assert (await job_cards.get(db, job.job_id, scope=EVERYTHING)).start_frame == 96_000


# ---- the least output ----


async def test_the_least_output_is_that_of_the_profile_else_of_the_node_else_the_default(
    db: Database, room: Room
) -> None:
    assert (await room.claimed()).settings.minimum_bytes == 128
    await nodes.set_minimum_bytes(db, room.node.node_id, 4_000, by=SOMEBODY)
    assert (await room.claimed()).settings.minimum_bytes == 4_000
    await protect_wav(db, minimum_bytes=0)
    assert (await room.claimed()).settings.minimum_bytes == 0
    with pytest.raises(ForbiddenError):
        await protect(db, profiles.WAV, limits=Limits(), minimum_bytes=None, by=VIEWER)


async def test_what_is_less_is_never_served(db: Database, room: Room) -> None:
    await protect_wav(db, minimum_bytes=768_001)
    silence = [GapReport(start_frame=0, frames=96_000, cause="device_lost")]
    for minimum_bytes, gaps in ((768_001, []), (0, silence)):
        await protect_wav(db, minimum_bytes=minimum_bytes)
        job = await room.claimed()
        with pytest.raises(InvalidError):
            await room.seal(job, await room.open_file(job), room.sealing(job, gaps=gaps))
        assert (await recording_of(room, job.recording_id)).cache_state == "receiving"


# ---- space ----


@pytest.mark.parametrize("standings", [("full",), ("full", "failing")])
async def test_a_start_on_a_node_that_can_write_nowhere_is_refused_and_makes_nothing(
    db: Database, room: Room, standings: tuple[str, ...]
) -> None:
    earlier = new_id()
    await room.start(id=earlier)
    await report_spools(room, *standings)
    with pytest.raises(NodeFullError, match="Town hall has no space"):
        await room.start()
    assert len(await stored_recordings.latest(db, scope=EVERYTHING)) == 1
    assert (await room.start(id=earlier)).id == earlier
    await report_spools(room, *standings, "usable")
    await room.start()


async def test_a_node_is_remembered_with_its_disks(db: Database, room: Room) -> None:
    report = inventory(room.node_run).model_copy(update={"spools": [spool("usable")], "disk_seconds_left": 111_600})
    await nodes.update_inventory(db, report, node=room.node)
    node = await stored_nodes.get(db, room.node.node_id, scope=EVERYTHING, seen_within=30)
    assert (node.spools, node.disk_seconds_left, node.has_space) == ([spool("usable")], 111_600, True)
