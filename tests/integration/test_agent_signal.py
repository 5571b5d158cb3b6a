"""A signal that breaks under a recording: told, told again when it is over, and an end when nobody speaks any more."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from protocol.messages import EndReason, EventReport, Limits, Wish
from tests.agent_room import AgentRoom, controller_and_room, counter_values, job_settings
from tests.integration.fake_controller import FakeController

RATE = 48_000
Place = tuple[FakeController, AgentRoom]


@pytest.fixture
def place() -> Iterator[Place]:
    with controller_and_room() as made:
        yield made


def told(controller: FakeController, kind: str) -> list[EventReport]:
    return [event for event in controller.events if event.kind == kind]


def test_recording_that_went_silent_is_an_alarm_and_ends_at_its_idle_limit(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings(limits=Limits(idle_ms=8_000)))
    controller.wait_for_audio(job, 100_000)
    asyncio.run(room.hook("zeros", 60))
    begun = controller.wait_until("the alarm", lambda: told(controller, "exact_zeros"))
    assert [(event.severity, event.lasts, event.job_id) for event in begun] == [("critical", True, job.job_id)]
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.facts.end_reason is EndReason.IDLE_LIMIT
    silent_frames = sealed.facts.frames - np.flatnonzero(counter_values(sealed.parts["audio"]))[-1] - 1
    assert 0 <= silent_frames - 8 * RATE < RATE / 4
    over = controller.wait_until(
        "its end", lambda: [event for event in told(controller, "exact_zeros") if event.ended_age_ms is not None]
    )
    assert [event.id for event in over] == [event.id for event in begun]


@pytest.mark.long
def test_sound_begins_the_idle_time_anew_and_a_stop_before_it_is_a_stop(place: Place) -> None:
    controller, room = place
    room.start_agent()
    job = controller.add_job(job_settings(limits=Limits(idle_ms=1_500)))
    controller.wait_for_audio(job, 50_000)
    for _ in range(2):
        asyncio.run(room.hook("zeros", 0.9))
        controller.wait_for_audio(job, len(job_audio(controller)) + round(1.2 * RATE) * 4)
    controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job), 20)
    assert sealed.facts.end_reason is EndReason.STOPPED


def job_audio(controller: FakeController) -> bytes:
    """Of the only cache file, as far as it has come."""
    (cache_file,) = controller.cache_files.values()
    return bytes(cache_file.parts["audio"])
