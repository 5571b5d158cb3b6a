"""A renderer that does not go on while its recording does is ended and begun again; one that waits is left alone."""

import os
import signal

import pytest

from agent.recording.rendering import Growth
from protocol.messages import Wish
from tests.agent_room import assert_only_gaps_are_missing, controller_and_room, job_settings, wait_for


@pytest.mark.long
def test_renderer_that_stands_still_is_replaced_and_nothing_else_is_missing() -> None:
    with controller_and_room(0.2) as (controller, room):
        room.start_agent()
        job = controller.add_job(job_settings())
        controller.wait_for_audio(job, 300_000)
        (hung,) = room.renderer_pids()
        os.kill(hung, signal.SIGSTOP)
        wait_for("another renderer", lambda: set(room.renderer_pids()) - {hung}, 60)
        controller.wait_until("alarm", lambda: "renderer_hung" in {event.kind for event in controller.events})
        controller.wish(job, Wish.STOP)
        sealed = controller.wait_until("seal", lambda: controller.sealed(job), 30)
        assert_only_gaps_are_missing(bytes(sealed.parts["audio"]), sealed.facts)


def test_file_that_stands_still_is_a_stall_only_while_its_take_goes_on() -> None:
    growth = Growth(10.0)
    assert not growth.has_stalled(0, 100, 0.0)
    assert not growth.has_stalled(60, 100, 5.0)
    assert growth.has_stalled(61, 100, 10.0)
    assert not growth.has_stalled(62, 101, 11.0)
    assert not growth.has_stalled(71, 101, None)
    assert growth.has_stalled(72, 101, None)
    growth.forget()
    assert not growth.has_stalled(99, 101, None)
