"""Somebody sets the wall clock of a node while it records. Only the times of day may notice."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.owner.handle import start_owner
from core_rs import Take
from tests.agent_room import assert_nothing_is_missing, controller_and_room, job_settings
from tests.owner_room import Room, assert_every_frame_is_accounted_for, captured, now_ns, room, told, until

HOUR = 3600


class WallClock:
    """Of processes that are started with its environment; their other clocks run on."""

    def __init__(self, folder: Path) -> None:
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._file = folder / "wall-clock"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """So far before or behind the true time."""
        whole = self._file.with_suffix(".new")
        whole.write_text(f"{seconds:+d}s\n")
        whole.replace(self._file)


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    return WallClock(tmp_path)


@pytest.fixture
def place() -> Iterator[Room]:
    with room() as made:
        yield made


def test_steps_of_an_hour_and_a_second_change_no_frame_of_a_take(place: Room, wall_clock: WallClock) -> None:
    async def step() -> None:
        owner = place.agent_of(await start_owner(place.config(), wall_clock.environment))
        begun = await owner.begin(str(uuid.uuid4()), now_ns())
        await captured(owner, 9_600)
        for steps, seconds in enumerate((HOUR, HOUR - 1, -1, 0), 1):
            wall_clock.set(seconds)
            await until("the step", owner, lambda status, steps=steps: len(told(status)) == steps)
            await captured(owner, 4_800)
        status = await owner.status()
        assert [event.kind for event in told(status)] == ["clock_stepped"] * 4
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert take.gaps == []
        assert_every_frame_is_accounted_for(take)
        offsets = [round((pair.utc_ns - pair.boottime_ns) / 1e9) for pair in take.clock_pairs]
        true = offsets[0]
        assert list(dict.fromkeys(offset - true for offset in offsets)) == [0, HOUR, HOUR - 1, -1]
        assert take.clock_pairs == sorted(take.clock_pairs, key=lambda pair: pair.boottime_ns)

    place.run(step())


def test_steps_neither_end_a_recording_nor_cost_its_job(wall_clock: WallClock) -> None:
    with controller_and_room(time_scale=0.2) as (controller, node):
        node.sound_environment.update(wall_clock.environment)
        node.start_agent()
        job = controller.add_job(job_settings(duration_ms=2_500))
        for seconds, audio_bytes in ((HOUR, 100_000), (-HOUR, 200_000), (0, 300_000)):
            controller.wait_for_audio(job, audio_bytes)
            wall_clock.set(seconds)
        sealed = controller.wait_until("seal", lambda: controller.sealed(job), 60)
        assert_nothing_is_missing(sealed.parts["audio"], 2_500 * 48)
        assert "lease_lost" not in {event.kind for event in controller.events}
