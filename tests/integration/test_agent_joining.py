"""A node joins although answers get lost on the way."""

import asyncio
import stat

import pytest

from agent.daemon import enrol
from agent.errors import ControllerFault, RetryLaterError
from tests.agent_room import AgentRoom, controller_and_room


def test_lost_answers_are_asked_for_again_with_the_secret_that_was_kept() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        controller.lost_answers["enrol"] = 2
        joined = asyncio.run(enrol(room.settings, "rkc_code"))
    asked = controller.enrolments[1:]
    assert len(asked) == 3
    assert len({request.secret for request in asked}) == 1
    assert joined.token == "rkn_token"
    assert asked[0].secret != controller.enrolments[0].secret


def test_enrolment_that_heard_nothing_goes_on_with_its_secret_in_the_next_call() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        controller.refusals["enrol"] = (503, "")
        with pytest.raises(RetryLaterError):
            asyncio.run(enrol(room.settings, "rkc_code"))
        kept = _kept(room)
        controller.refusals.clear()
        asyncio.run(enrol(room.settings, "rkc_code"))
        assert controller.enrolments[-1].secret in kept
        assert not (room.settings.node_folder / "enrolment.json").exists()


def test_refused_code_is_not_tried_again() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        controller.refusals["enrol"] = (401, "")
        before = controller.calls["enrol"]
        with pytest.raises(ControllerFault):
            asyncio.run(enrol(room.settings, "rkc_code"))
        assert controller.calls["enrol"] == before + 1


def _kept(room: AgentRoom) -> str:
    path = room.settings.node_folder / "enrolment.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text()
