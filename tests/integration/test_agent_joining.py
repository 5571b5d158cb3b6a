"""A node joins although answers get lost on the way."""

import asyncio
import stat
from pathlib import Path

import pytest

from agent.errors import ControllerFault, RejoinedError, RetryLaterError
from agent.identity import change_identity, read_identity, replace_identity
from agent.joining import enrol
from agent.states import NodeIdentity
from protocol.ids import new_id, new_token, token_digest
from tests.agent_room import AgentRoom, controller_and_room, wait_for


def test_lost_answers_are_asked_for_again_with_the_secret_that_was_kept() -> None:
    with controller_and_room() as (controller, room):
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
    with controller_and_room() as (controller, room):
        controller.refusals["enrol"] = (401, "")
        before = controller.calls["enrol"]
        with pytest.raises(ControllerFault):
            asyncio.run(enrol(room.settings, "rkc_code"))
        assert controller.calls["enrol"] == before + 1


def _kept(room: AgentRoom) -> str:
    path = room.settings.node_folder / "enrolment.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text()


def test_a_token_is_exchanged_for_one_that_the_node_made_and_only_its_digest_is_told() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        controller.rotates_token = True
        controller.lost_answers["token"] = 1
        room.start_agent()
        controller.wait_until(
            "requests with another token", lambda: len(set(controller.bearers) - {"", "rkn_token"}) == 1
        )
        (made,) = set(controller.bearers) - {"", "rkn_token"}
        assert len(controller.token_digests) > 1
        assert set(controller.token_digests) == {token_digest(made)}
        kept = read_identity(room.settings.node_folder)
        assert (kept.token, kept.next_token) == (made, None)
        assert made not in room.log


def test_a_token_that_was_made_before_a_crash_is_taken_up_after_it() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        before = read_identity(room.settings.node_folder)
        made = new_token("node", before.node_id)
        replace_identity(room.settings.node_folder, before.model_copy(update={"next_token": made}))
        controller.refused_tokens.add("rkn_token")
        room.start_agent()
        controller.wait_until("requests with the token", lambda: controller.bearers[made] > 2)
        assert controller.token_digests[0] == token_digest(made)
        wait_for("it to be kept", lambda: read_identity(room.settings.node_folder).token == made)


def test_a_running_agent_that_is_refused_goes_on_under_the_token_that_a_command_brought() -> None:
    with controller_and_room(time_scale=0.1) as (controller, room):
        agent = room.start_agent()
        controller.wait_until("a first run", lambda: controller.node_run == 1)
        controller.only_token = "rkn_again"
        controller.wait_until("calls that are refused", lambda: controller.calls["token"] >= 2)
        before = read_identity(room.settings.node_folder)
        replace_identity(
            room.settings.node_folder, before.model_copy(update={"token": "rkn_again", "next_token": None})
        )
        controller.wait_until("a second run", lambda: controller.node_run == 2)
        assert agent.poll() is None


def test_what_an_agent_writes_never_replaces_what_a_command_brought(tmp_path: Path) -> None:
    mine = NodeIdentity(node_id=new_id(), name="Hall", token="rkn_mine", controller_url="https://c")
    brought = mine.model_copy(update={"token": "rkn_brought"})
    replace_identity(tmp_path, brought)
    with pytest.raises(RejoinedError):
        change_identity(tmp_path, mine, mine.model_copy(update={"node_run": 7}))
    assert read_identity(tmp_path) == brought
