"""The unit of an agent is restarted by systemd, as an upgrade of its package does it."""

import json
import subprocess
import sys

import pytest

from agent.settings import child_environment
from protocol.timeouts import Timeouts
from reelkeeper.faultkit.system import Json
from reelkeeper.faultkit.units import own_systemd, why_no_units
from tests.faults.unit_restarts import RESTARTS

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(why_no_units() is not None, reason="no systemd can be started in namespaces of its own"),
]


def restarts(kill_mode: str) -> Json:
    with own_systemd() as beside:
        done = subprocess.run(
            [*beside, sys.executable, "-m", "tests.faults.unit_restarts", kill_mode],
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    found: Json = json.loads(done.stdout)
    return found


def test_owner_survives_restarts_of_a_unit_that_ends_only_its_process() -> None:
    found = restarts("process")
    assert found["owners"] == [found["owners"][0]] * (RESTARTS + 1)
    assert len(found["owners"][0]) == 1
    assert found["gaps"] == []
    assert max(found["seconds"]) < Timeouts().agent_stop + 30
