"""Mistakes of other recorders that only show with processes at work."""

import os
from collections.abc import Iterator

import pytest

from protocol.messages import Phase
from tests.agent_room import controller_and_room, job_settings, wait_for
from tests.owner_room import Room, room


@pytest.fixture
def place() -> Iterator[Room]:
    with room() as made:
        yield made


def test_nobody_has_to_drain_the_output_of_an_owner(place: Room) -> None:
    """A pipe that nobody reads is full one day, and then a word in a log stops the capture."""

    async def look() -> None:
        owner = await place.start()
        pid = (await owner.status()).pid
        outputs = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]  # noqa: PTH115
        assert outputs == ["/dev/null", str(owner.state_folder / "log"), str(owner.state_folder / "log")]
        await owner.disarm("node stopped")

    place.run(look())


def test_nothing_stands_between_a_planned_instant_and_its_first_frame_but_the_device() -> None:
    """With the controller away, any call to it would hold the start up for ever."""
    with controller_and_room() as (controller, agents):
        agents.start_agent()
        controller.wait_until("inventory", lambda: controller.inventory)
        instants = {"starts_at": "2030-01-01T10:00:00Z", "ends_at": "2030-01-01T11:00:00Z"}
        job = controller.add_job(job_settings(**instants), starts_in=5.0, ends_in=6.0)
        wait_for("the claim", lambda: [state.job_id for state in agents.job_states()] == [job.job_id])
        controller.stop()
        assert job.phase in {None, Phase.STARTING}
        wait_for("the end", lambda: [state.end_frame is not None for state in agents.job_states()] == [True])
        controller.start()
        sealed = controller.wait_until("seal", lambda: controller.sealed(job), 90)
        assert sealed.facts.frames > 0
        assert sealed.facts.end_reason == "planned end"
