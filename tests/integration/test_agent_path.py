"""The whole path on the agent's side, with real capture and render processes: claim, begin, render, upload, seal."""

import time
from collections.abc import Iterator

import pytest

from protocol.messages import EndReason, Origin, Phase, Wish
from tests.agent_room import AgentRoom, agent_room, assert_nothing_is_missing, job_settings
from tests.integration.fake_controller import FakeController, FakeJob


@pytest.fixture
def controller() -> Iterator[FakeController]:
    fake = FakeController()
    fake.start()
    yield fake
    fake.stop()


@pytest.fixture
def room(controller: FakeController) -> Iterator[AgentRoom]:
    with agent_room(controller.url) as made:
        yield made


def start_recording(controller: FakeController, seconds: float = 1.0, **settings: object) -> FakeJob:
    """A job that has recorded for some time."""
    job = controller.add_job(job_settings(**settings))
    controller.wait_until(
        "a second of sound", lambda: job.reports and job.reports[-1].phase is Phase.CAPTURING, seconds=20
    )
    controller.wait_until(
        "bytes", lambda: sum(len(one.parts["audio"]) for one in controller.cache_files.values()) > 192_000 * seconds
    )
    return job


def test_stopped_recording_is_sealed_within_two_seconds_and_complete(
    controller: FakeController, room: AgentRoom
) -> None:
    room.start_agent()
    job = start_recording(controller)
    pressed = controller.wish(job, Wish.STOP)
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    print("stop to seal", sealed.sealed_at - pressed)
    assert sealed.sealed_at - pressed < 2.0
    assert sealed.origin is Origin.NORMAL
    assert sealed.facts.end_reason is EndReason.STOPPED
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    took = pressed - job.requested_at
    assert abs(sealed.facts.frames / 48_000 - took) < 5
    assert time.monotonic() > took
