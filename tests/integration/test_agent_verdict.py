"""A node keeps what it delivered until the controller has read it back, and sends it again when that finds damage."""

from agent.states import Stage
from tests.agent_room import (
    AgentRoom,
    assert_nothing_is_missing,
    controller_and_room,
    job_settings,
    kinds_told,
    wait_for,
)
from tests.integration.fake_controller import FakeController, FakeJob


def test_content_stays_until_it_was_read_back_and_is_sent_again_when_it_was_damaged() -> None:
    with controller_and_room(time_scale=0.2) as (controller, room):
        controller.reads_back = True
        agent = room.start_agent()
        job = controller.add_job(job_settings(duration_ms=500))
        controller.wait_until("seal", lambda: controller.sealed(job))
        wait_for("the seal to be heard", lambda: _stages(room) == [Stage.SEALED])
        agent.kill()
        agent.wait()
        room.start_agent()
        _wait_for_questions(controller)
        assert _stages(room) == [Stage.SEALED]
        first = controller.sealed(job)
        first.verdict = "damaged"

        controller.wait_until("another seal", lambda: len(_sealed(controller, job)) == 2)

        second = next(one for one in _sealed(controller, job) if one is not first)
        assert second.parts == first.parts
        assert_nothing_is_missing(second.parts["audio"], second.facts.frames)
        assert list(room.settings.takes_folder.glob("[!.]*"))
        second.verdict = "verified"
        wait_for("the take to go", lambda: not list(room.settings.takes_folder.glob("[!.]*")))
        wait_for("the job to go", lambda: room.job_states() == [])
        controller.wait_until("an event", lambda: kinds_told(controller))
        assert kinds_told(controller) == ["sent_again"]


def _wait_for_questions(controller: FakeController) -> None:
    before = controller.calls["cache-files"]
    controller.wait_until("questions", lambda: controller.calls["cache-files"] > before + 1)


def _sealed(controller: FakeController, job: FakeJob) -> list:
    return [one for one in controller.cache_files.values() if one.request.job_id == job.job_id and one.sealed_at]


def _stages(room: AgentRoom) -> list[Stage]:
    return [state.stage for state in room.job_states()]
