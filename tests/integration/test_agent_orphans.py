"""A recording whose job was given up while nobody could reach its node."""

from collections.abc import Iterator

import pytest

from protocol.messages import Origin, Wish
from tests.agent_room import AgentRoom, assert_nothing_is_missing, controller_and_room, job_settings
from tests.integration.fake_controller import FakeController

RATE = 48_000


@pytest.fixture
def quick_place() -> Iterator[tuple[FakeController, AgentRoom]]:
    with controller_and_room(time_scale=0.3) as made:
        yield made


def test_stop_that_was_pressed_before_the_job_was_given_up_still_ends_the_recording_at_the_press(
    quick_place: tuple[FakeController, AgentRoom],
) -> None:
    controller, room = quick_place
    agent = room.start_agent()
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 200_000)
    agent.kill()
    agent.wait()
    controller.wish(job, Wish.STOP)
    controller.end_lease(job)
    frames = controller.jobs[job.job_id].reports[-1].frames
    room.start_agent()
    sealed = controller.wait_until("seal", lambda: controller.sealed(job))
    assert sealed.origin is Origin.SALVAGED
    assert sealed.facts.end_reason == "stopped"
    assert_nothing_is_missing(sealed.parts["audio"], sealed.facts.frames)
    assert sealed.facts.frames >= frames
