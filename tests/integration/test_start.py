"""Recordings are started once, stopped once, and refused for reasons that people can act on."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from protocol.messages import CaptureFormat, InterfaceRef, Mp3Encoding, Wish
from tests import profiles
from tests.integration.room import COUNTER, SOMEBODY, WIDE, Room, inventory, make_room
from web.domain.access import Actor, Permission, Scope, everywhere, within
from web.domain.errors import CapacityError, ConflictError, ForbiddenError, InvalidError, NotFoundError
from web.domain.recordings import StartRecording
from web.domain.states import Health, RecordingState
from web.services.recorders import nodes
from web.services.work import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def _kinds(owner: Any) -> list[str]:
    return [row["kind"] for row in await owner.fetch("SELECT kind FROM job_event ORDER BY id")]


async def test_ten_identical_starts_make_one_recording_and_ten_equal_answers(db: Database, owner: Any) -> None:
    room, recording_id = await make_room(db), new_id()

    answers = await asyncio.gather(*(room.start(id=recording_id) for _ in range(10)))

    assert set(map(repr, answers)) == {repr(answers[0])}
    assert await owner.fetchval("SELECT count(*) FROM job") == 1


async def test_a_repeated_start_never_captures_again_after_the_end(db: Database, owner: Any) -> None:
    room, recording_id = await make_room(db), new_id()
    job = await room.claimed(id=recording_id)
    await room.finish(job)

    again = await room.start(id=recording_id)

    assert again.state is RecordingState.FAILED
    assert await owner.fetchval("SELECT count(*) FROM job") == 1


async def test_same_id_with_another_body_is_refused(db: Database, owner: Any) -> None:
    room, recording_id = await make_room(db), new_id()
    await room.start(id=recording_id)
    with pytest.raises(ConflictError):
        await room.start("Another name", id=recording_id)
    assert await owner.fetchval("SELECT count(*) FROM recording WHERE name = 'Council'") == 1


async def test_folder_and_tags_are_kept_with_the_recording(db: Database, owner: Any) -> None:
    room = await make_room(db)
    started = await room.start(folder=" Court / 2026 ", tags=["public", "hearing", "public"])
    assert (started.folder, started.tags) == ("Court/2026", ["hearing", "public"])
    assert [row["tag"] for row in await owner.fetch("SELECT tag FROM recording_tag ORDER BY id")] == [
        "hearing",
        "public",
    ]
    plain = await room.start()
    assert (plain.folder, plain.tags) == ("", [])


@pytest.mark.parametrize("changes", [{"folder": "Court/2027"}, {"tags": ["public"]}])
async def test_folder_and_tags_are_part_of_what_an_id_stands_for(db: Database, changes: dict[str, Any]) -> None:
    room, recording_id = await make_room(db), new_id()
    await room.start(id=recording_id, folder="Court/2026", tags=["public", "hearing"])
    again = await room.start(id=recording_id, folder="Court / 2026", tags=["hearing", "public"])
    assert again.id == recording_id
    with pytest.raises(ConflictError):
        await room.start(id=recording_id, **{"folder": "Court/2026", "tags": ["public", "hearing"], **changes})


async def test_same_id_on_two_nodes_at_once_makes_one_recording(db: Database, owner: Any) -> None:
    here, there, recording_id = await make_room(db, "Here"), await make_room(db, "There"), new_id()

    answers = await asyncio.gather(here.start(id=recording_id), there.start(id=recording_id), return_exceptions=True)

    assert sorted(isinstance(answer, ConflictError) for answer in answers) == [False, True]
    assert await owner.fetchval("SELECT count(*) FROM job") == 1


async def test_start_pins_the_preferred_input_of_the_node(db: Database) -> None:
    room = await make_room(db)
    await nodes.prefer_interface(db, room.node.node_id, WIDE, by=SOMEBODY)
    started = await room.start()
    await nodes.prefer_interface(db, room.node.node_id, COUNTER, by=SOMEBODY)
    assert started.interface == WIDE


async def test_start_without_a_preferred_input_asks_for_one(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await owner.execute("UPDATE interface SET is_preferred = false")
    with pytest.raises(InvalidError, match="choose one of: “counter”, “counter-32”") as refused:
        await room.start()
    assert refused.value.field == "interface"


async def test_start_on_an_input_that_is_not_there_names_those_that_are(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError, match="has no input “default”; it has: “counter”"):
        await room.start(interface=InterfaceRef(backend="synthetic", name="default"))


async def test_start_on_a_disconnected_input_is_refused(db: Database) -> None:
    room = await make_room(db)
    await nodes.update_inventory(db, inventory(room.node_run, ("counter",)), node=room.node)
    with pytest.raises(InvalidError, match="not connected"):
        await room.start(interface=WIDE)


async def test_channels_beyond_the_capture_format_are_refused_naming_the_setting(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError, match=r"Channel 3 is not captured.*capture format"):
        await room.start(interface=WIDE, channels=[0, 2])

    wide = CaptureFormat(channels=32, sample_rate_hz=48_000, sample_type="s32")
    await nodes.set_capture_format(db, room.node.node_id, WIDE, wide, by=SOMEBODY)
    await room.start(interface=WIDE, channels=[0, 2])


async def _wide(room: Room, channels: int = 32, sample_rate_hz: int = 48_000) -> None:
    capture = CaptureFormat(channels=channels, sample_rate_hz=sample_rate_hz, sample_type="s32")
    await nodes.set_capture_format(room.db, room.node.node_id, WIDE, capture, by=SOMEBODY)


async def test_a_start_that_names_no_profile_is_encoded_as_voice(db: Database) -> None:
    job = await (await make_room(db)).claimed(profile_id=None)
    assert job.settings.encoding == Mp3Encoding(vbr_quality=5)


@pytest.mark.parametrize(
    ("profile_id", "channels", "sample_rate_hz", "field"),
    [
        (profiles.VOICE, 3, 48_000, "channels"),
        (profiles.VOICE, 2, 96_000, "profile_id"),
        (profiles.MP3_CBR, 2, 16_000, "profile_id"),
        (profiles.FLAC_24, 9, 48_000, "channels"),
    ],
)
async def test_what_does_not_fit_the_profile_is_refused_before_there_is_a_job(
    db: Database, owner: Any, profile_id: UUID, channels: int, sample_rate_hz: int, field: str
) -> None:
    room = await make_room(db)
    await _wide(room, channels, sample_rate_hz)
    with pytest.raises(InvalidError) as refused:
        await room.start(interface=WIDE, profile_id=profile_id)
    assert refused.value.field == field
    assert await owner.fetchval("SELECT count(*) FROM recording") == 0


async def test_many_channels_fit_an_mp3_as_two_or_mixed_and_wav_takes_all(db: Database) -> None:
    room = await make_room(db, capacity=4)
    await _wide(room)
    await room.start(interface=WIDE, profile_id=profiles.VOICE, channels=[30, 31])
    await room.start(interface=WIDE, profile_id=profiles.VOICE, output="mono")
    await room.start(interface=WIDE, profile_id=profiles.WAV)


async def test_a_start_that_says_nothing_of_its_channels_takes_the_mode_of_the_profile(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    await owner.execute("UPDATE profile SET channel_mode = 'mono' WHERE id = $1", profiles.VOICE)
    by_profile = await room.claimed(profile_id=profiles.VOICE)
    by_itself = await room.claimed(profile_id=profiles.VOICE, channels=[1], output="stereo")
    assert by_profile.settings.channel_map == [[0.5, 0.5]]
    assert by_itself.settings.channel_map == [[0.0, 1.0], [0.0, 1.0]]


async def test_a_window_that_is_over_is_refused(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError, match="over"):
        await room.start(ends_at=datetime.now(UTC) - timedelta(minutes=1))


async def test_a_planned_length_that_is_over_is_refused(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError, match="over"):
        await room.start(starts_at=datetime.now(UTC) - timedelta(hours=2), duration_ms=60_000)


async def test_unknown_upload_policy_is_refused(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError, match="upload policy"):
        await room.start(upload_policy_ids=[new_id()])


async def test_a_busy_node_refuses_and_names_what_it_records(db: Database) -> None:
    room = await make_room(db, capacity=2)
    await room.claimed(name="Council")
    await room.start("Court 3")
    with pytest.raises(CapacityError, match=r"“Council”, “Court 3”.*may record 2 at once") as refused:
        await room.start("Lecture")
    assert refused.value.facts == {"capacity": 2, "busy": ["Council", "Court 3"]}


async def test_concurrent_starts_never_exceed_the_capacity(db: Database, owner: Any) -> None:
    room = await make_room(db, capacity=3)
    answers = await asyncio.gather(*(room.start(f"{n}") for n in range(20)), return_exceptions=True)
    assert sum(isinstance(answer, CapacityError) for answer in answers) == 17
    assert await owner.fetchval("SELECT count(*) FROM job") == 3


async def test_a_capacity_that_is_lowered_meanwhile_counts(db: Database, owner: Any) -> None:
    room = await make_room(db, capacity=2)
    await room.claimed(name="Council")
    async with owner.transaction():
        await owner.execute("UPDATE node SET capacity = 1")
        starting = asyncio.create_task(room.start("Lecture"))
        while not await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    with pytest.raises(CapacityError):
        await starting


async def test_stop_before_the_claim_cancels_and_nothing_can_be_claimed(db: Database, owner: Any) -> None:
    room = await make_room(db)
    started = await room.start()

    stopped = await recordings.stop_recording(db, started.id, by=SOMEBODY)

    assert (stopped.state, stopped.health) == (RecordingState.CANCELLED, Health.HEALTHY)
    assert stopped.message is not None
    assert await room.claim() is None
    assert await _kinds(owner) == ["created", "stop_wished", "cancelled"]


async def test_ten_stops_are_one(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    change_no = await owner.fetchval("SELECT change_no FROM node")

    await asyncio.gather(*(recordings.stop_recording(db, job.recording_id, by=SOMEBODY) for _ in range(10)))

    assert await _kinds(owner) == ["created", "claimed", "stop_wished"]
    assert await owner.fetchval("SELECT change_no FROM node") == change_no + 1
    assert (await room.heartbeat(job)).jobs[0].wish is Wish.STOP


async def test_stop_after_the_end_changes_nothing(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.finish(job)
    stopped = await recordings.stop_recording(db, job.recording_id, by=SOMEBODY)
    assert (stopped.state, stopped.wish) == (RecordingState.FAILED, Wish.RUN)
    assert "stop_wished" not in await _kinds(owner)


@pytest.mark.parametrize("seed", range(12))
async def test_racing_wishes_end_at_the_highest_one(db: Database, owner: Any, seed: int) -> None:
    chance = random.Random(seed)
    room = await make_room(db)
    started = await room.start()
    wishes = chance.choices(["stop", "cancel", "claim"], weights=[3, 1, 2], k=12)

    await asyncio.gather(*(_act(room, wish, started.id) for wish in wishes))

    found = await owner.fetchrow("SELECT state, wish FROM job")
    kinds = await _kinds(owner)
    was_claimed = "claimed" in kinds
    assert kinds.count("stop_wished") <= 1
    assert kinds.count("cancel_wished") <= 1
    assert (found["state"] == "running") == was_claimed
    if was_claimed:
        assert found["wish"] == max(wishes, key=["claim", "stop", "cancel"].index).replace("claim", "run")
    else:
        assert found["state"] == "cancelled"


async def _act(room: Room, wish: str, recording_id: Any) -> None:
    match wish:
        case "stop":
            await recordings.stop_recording(room.db, recording_id, by=SOMEBODY)
        case "cancel":
            await recordings.cancel_recording(room.db, recording_id, by=SOMEBODY)
        case _:
            await room.claim()


async def test_without_the_permission_nothing_is_started(db: Database, owner: Any) -> None:
    room = await make_room(db)
    viewer = Actor("user", None, "viewer", everywhere(frozenset({Permission.RECORDING_READ})))
    request = StartRecording(id=new_id(), node_id=room.node.node_id, name="Council")
    with pytest.raises(ForbiddenError):
        await recordings.start_recording(db, request, by=viewer)
    assert await owner.fetchval("SELECT count(*) FROM recording") == 0


async def test_a_node_outside_the_scope_does_not_exist(db: Database, owner: Any) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    clerk = Actor("user", None, "clerk", within(Scope(nodes=frozenset({there.node.node_id}))))
    request = StartRecording(id=new_id(), node_id=here.node.node_id, name="Council")
    with pytest.raises(NotFoundError):
        await recordings.start_recording(db, request, by=clerk)
    started = await here.start()
    with pytest.raises(NotFoundError):
        await recordings.stop_recording(db, started.id, by=clerk)
    assert await _kinds(owner) == ["created"]
