"""A minute from a sound device to a FLAC in the library, with the timeouts of the product as they ship."""

import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, wait_for
from tests import profiles
from tests.acceptance.conftest import start_system  # noqa: F401
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
