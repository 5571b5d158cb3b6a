"""`python -m tests.faults.unit_restarts KILL_MODE`: the unit of an agent is restarted while it records.

Runs beside a systemd, and prints JSON.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reelkeeper.faultkit.system import Json, System, wait_for

UNIT = "reelkeeper-agent.service"
RESTARTS = 3


def restarted(home: Path, kill_mode: str) -> Json:
    """Owners before and after each restart, seconds it took, and the gaps of the recording."""
    system = System(home=home, scale=0.2)
    owners, seconds = [], []
    try:
        system.start_controller()
        system.token = system.run("token", "create", "units")
        system.run("agent", "--code", system.run("node", "add", "Room"), "--join-only")
        _start_unit(system, kill_mode)
        wait_for("the agent to report", lambda: bool(system.node()["interfaces"]), 60)
        recording = system.record()
        system.wait_capturing(recording, 48_000, 60)
        owners.append(system.owners())
        for _ in range(RESTARTS):
            frames = system.job_of(recording)["frames"]
            asked_at = time.monotonic()
            subprocess.run(["systemctl", "restart", UNIT], check=True)
            seconds.append(time.monotonic() - asked_at)
            system.wait_capturing(recording, frames + 24_000, 60)
            owners.append(system.owners())
        system.stop_recording(recording)
        system.wait_state(recording, "completed", 60)
        gaps = system.ledger(recording)["gaps"]
        return {"owners": owners, "seconds": seconds, "gaps": [gap["cause"] for gap in gaps]}
    finally:
        subprocess.run(["systemctl", "stop", UNIT], check=False)
        system.stop()


def _start_unit(system: System, kill_mode: str) -> None:
    environment = [f"--setenv={name}={value}" for name, value in system.environment("agent").items()]
    properties = [f"--property={one}" for one in (f"KillMode={kill_mode}", "DefaultDependencies=no")]
    command = ["systemd-run", f"--unit={UNIT}", "--remain-after-exit", f"--working-directory={Path.cwd()}"]
    subprocess.run(
        [*command, *properties, *environment, sys.executable, "-m", "reelkeeper", "agent"],
        check=True,
        capture_output=True,
    )


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="rku-"))
    folder.chmod(0o755)
    try:
        print(json.dumps(restarted(folder, sys.argv[1])))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
