"""An agent that is told to stop is gone soon, whatever hangs; captures and renderers go on without it."""

import os
import signal
from collections.abc import Iterator

import pytest

from reelkeeper.faultkit import proxy as networks
from reelkeeper.faultkit.proxy import Proxy
from tests.agent_room import AgentRoom, controller_and_room, job_settings, wait_for
from tests.integration.fake_controller import FakeController

Place = tuple[FakeController, AgentRoom]
FAR_BEYOND_THE_LIMIT = 30.0
"""What hangs here hangs for ten minutes."""
HANGING_DISK = """
import os, pathlib, time
sync, home = os.fsync, pathlib.Path(os.environ["REELKEEPER_HOME"])
def hang(number):
    if (home / "hang").exists():
        (home / "hung").touch()
        time.sleep(600)
    return sync(number)
os.fsync = hang
"""
HANGING_NAMES = """
import socket, time
socket.getaddrinfo = lambda *names, **more: time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Place]:
    with controller_and_room(time_scale=0.3) as made:
        yield made


def _capturing(place: Place, **how: str) -> int:
    """The pid of an agent with a recording that runs."""
    controller, room = place
    agent = room.start_agent(**how)  # type: ignore[arg-type]
    job = controller.add_job(job_settings())
    controller.wait_for_audio(job, 50_000)
    return agent.pid


def _stops(room: AgentRoom) -> None:
    owners, renderers = room.owner_pids(), room.renderer_pids()
    (agent,) = room.agents
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(FAR_BEYOND_THE_LIMIT) == 0
    assert (room.owner_pids(), room.renderer_pids()) == (owners, renderers)


def test_with_nothing_that_hangs(place: Place) -> None:
    _capturing(place)
    _stops(place[1])


def test_without_a_controller(place: Place) -> None:
    controller, room = place
    _capturing(place)
    controller.stop()
    _stops(room)


def test_while_the_controller_hangs(place: Place) -> None:
    controller, room = place
    with Proxy(controller.port) as proxy:
        _capturing(place, url=f"http://127.0.0.1:{proxy.port}")
        proxy.become(networks.SILENCE)
        _stops(room)


def test_while_the_owner_hangs(place: Place) -> None:
    _capturing(place)
    (owner,) = place[1].owner_pids()
    os.kill(owner, signal.SIGSTOP)
    try:
        _stops(place[1])
    finally:
        os.kill(owner, signal.SIGCONT)


def test_while_the_disk_hangs(place: Place) -> None:
    controller, room = place
    _capturing(place, before=HANGING_DISK)
    (room.settings.home / "hang").touch()
    controller.add_job(job_settings("tone"))
    wait_for("the disk to hang", (room.settings.home / "hung").exists)
    _stops(room)


def test_while_names_are_not_resolved(place: Place) -> None:
    controller, room = place
    room.start_agent(url=f"http://localhost:{controller.port}", before=HANGING_NAMES)
    wait_for("the agent to miss its controller", lambda: "controller is not available" in room.log)
    _stops(room)


def test_renderer_ends_at_once_when_it_is_told_to(place: Place) -> None:
    _capturing(place)
    (renderer,) = place[1].renderer_pids()
    place[1].agents[0].kill()
    place[1].agents[0].wait()
    os.kill(renderer, signal.SIGTERM)
    wait_for("the renderer to end", lambda: place[1].renderer_pids() == [])
