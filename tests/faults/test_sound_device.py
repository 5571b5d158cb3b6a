"""A minute of a sound device, or without it, with the timeouts of the product as they ship."""

import asyncio
import hashlib
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.config import Capture, Interface
from agent.owner.handle import start_owner
from core_rs import Take
from protocol.timeouts import Timeouts
from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, wait_for
from tests import profiles
from tests.acceptance.conftest import start_system  # noqa: F401
from tests.owner_room import captured, gap_error, now_ns, room, until
from tests.pulse_rig import PulseRig, pulse_rig

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

RATE = 48_000
INPUT = {"backend": "portaudio", "name": "PulseAudio: pipe"}


@pytest.fixture
def rig() -> Iterator[PulseRig]:
    with pulse_rig() as made:
        yield made


@pytest.mark.parametrize("is_agent_killed", [False, True])
def test_a_minute_of_a_sound_device_is_delivered_to_the_frame(
    start_system: Callable[..., System],  # noqa: F811
    rig: PulseRig,
    tmp_path: Path,
    is_agent_killed: bool,
) -> None:
    rig.load_pipe()
    system = start_system(sound=rig.environment)
    wait_for("the input", lambda: INPUT["name"] in [one["name"] for one in system.node()["interfaces"]], 20)
    request = {**system.start_request(profile=profiles.FLAC_16, duration_ms=60_000), "interface": INPUT}
    recording = system.post("/recordings", request)["id"]
    if is_agent_killed:
        system.wait_capturing(recording, 20 * RATE, 40)
        assert system.agent
        os.killpg(system.agent.pid, signal.SIGKILL)
        system.agent.wait()
        system.start_agent()
    system.wait_state(recording, "completed", 90)
    file = system.download(recording, tmp_path / "one.flac")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == system.wait_checksum(recording)
    numbers = counter_of(file)
    assert len(numbers) == 60 * RATE
    assert breaks_of(numbers) == []
    assert system.ledger(recording)["gaps"] == []


@pytest.mark.parametrize("seconds", [1, 10, 60])
def test_gap_of_a_source_that_was_away_is_as_long_as_what_is_missing(rig: PulseRig, seconds: int) -> None:
    with room() as place:
        config = replace(
            place.config(timeouts=Timeouts()),
            interface=Interface("portaudio", INPUT["name"]),
            capture=Capture(2, RATE, "s16"),
        )

        async def lose_it() -> None:
            pipe = rig.load_pipe(runs_on=True)
            owner = place.agent_of(await start_owner(config, rig.environment))
            begun = await owner.begin(str(uuid.uuid4()), now_ns())
            await captured(owner, RATE)
            rig.unload(pipe)
            await asyncio.sleep(seconds)
            rig.load_pipe(runs_on=True)
            await until("the return", owner, lambda status: status.events[-1].kind == "device_returned", 30)
            await captured(owner, RATE)
            await owner.disarm("node stopped")
            assert abs(gap_error(Take.open(begun.take_folder))) <= 480

        asyncio.run(lose_it())
