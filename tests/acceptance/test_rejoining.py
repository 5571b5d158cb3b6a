"""A node loses its right to speak while it captures, and gets it back: nothing is lost, and no clone is heard."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.identity import read_identity
from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, wait_for

RATE = 48_000


@pytest.mark.long
def test_revoked_node_captures_on_joins_again_and_delivers_every_frame(
    start_system: Callable[..., System], tmp_path: Path
) -> None:
    system = start_system(scale=0.5)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    node_id, owners = system.node()["id"], system.owners()
    before = read_identity(system.node_folder)
    assert system.request("DELETE", f"/nodes/{node_id}/tokens").status_code == 204
    wait_for("the agent to be refused", lambda: "the controller refuses this node" in system.log_of("agent"))
    assert "Join again" in system.log_of("agent")

    code = system.post(f"/nodes/{node_id}/enrolment-codes", {})["code"]
    assert "Joined as “Room”" in system.run("agent", "--code", code, "--join-only")
    again = read_identity(system.node_folder)
    assert (again.node_id, again.node_run) == (before.node_id, before.node_run + 1)
    frames = system.job_of(recording)["frames"]
    system.wait_capturing(recording, frames + RATE)
    assert system.owners() == owners

    system.stop_recording(recording)
    found = system.wait_state(recording, "completed", 60)
    system.wait_checksum(recording)
    numbers = counter_of(system.download(recording, tmp_path / "whole.wav"))
    assert (found["mark"], breaks_of(numbers), system.ledger(recording)["gaps"]) == (None, [], [])
    assert len(numbers) == system.ledger(recording)["frames"] > frames + RATE
    assert before.token not in system.log_of("agent") + system.log_of("controller")
    assert again.token not in system.log_of("agent") + system.log_of("controller")
