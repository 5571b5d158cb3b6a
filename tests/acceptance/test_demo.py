"""The one command that a newcomer types."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import free_port, wait_for
from tests.acceptance.demo import Demo
from tests.folders import remove

RATE = 48_000
ENDED_SECONDS = 5.0
"""Who was ended before the demo itself is gone so soon; what goes on by itself lives longer."""


@pytest.fixture
def demo() -> Iterator[Demo]:
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    made = Demo(home=home)
    try:
        yield made
    finally:
        made.end()
        remove(home)


def test_stop_is_orderly_and_what_ran_is_delivered_at_the_next_start(demo: Demo, tmp_path: Path) -> None:
    demo.launch_to_console()
    demo.token = demo.run("token", "create", "me")
    recording = demo.record()
    demo.wait_capturing(recording, 2 * RATE)
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    wait_for("every process to be gone", lambda: demo.processes() == [], ENDED_SECONDS)

    demo.launch_to_console()
    found = demo.wait_state(recording, "completed")
    assert found["mark"] == "truncated"
    assert demo.ledger(recording)["end_reason"] == "node stopped"
    numbers = counter_of(demo.download(recording, tmp_path / "one.wav"))
    assert len(numbers) >= 2 * RATE
    assert breaks_of(numbers) == []
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(60) == 0
    wait_for("every process to be gone", lambda: demo.processes() == [], ENDED_SECONDS)


@pytest.mark.long
def test_start_after_a_kill_of_everything_goes_on(demo: Demo, tmp_path: Path) -> None:
    demo.launch_to_console()
    demo.token = demo.run("token", "create", "me")
    recording = demo.record()
    demo.wait_capturing(recording, 2 * RATE)
    for pid in demo.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert demo.process is not None
    demo.process.wait(60)

    demo.launch_to_console()
    before = demo.job_of(recording)["frames"] or 0
    demo.wait_capturing(recording, before + 2 * RATE)
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")
    (gap,) = demo.ledger(recording)["gaps"]
    numbers = counter_of(demo.download(recording, tmp_path / "one.wav"))
    start, end = gap["start_frame"], gap["start_frame"] + gap["frames"]
    assert breaks_of(numbers[:start]) == breaks_of(numbers[end:]) == []


def test_killed_demo_leaves_no_controller_and_no_agent_behind(demo: Demo) -> None:
    demo.launch_to_console()
    assert demo.process is not None
    demo.process.kill()
    demo.process.wait()
    wait_for("controller, agent and database to leave", lambda: set(demo.processes()) == set(demo.owners()))
    demo.launch_to_console()


def test_busy_port_is_one_clear_line(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo.port = taken.getsockname()[1]
        demo.launch()
        assert demo.process is not None
        assert demo.process.wait(60) == 1
    demo.port = free_port()
    wait_for("its words", lambda: demo.lines)
    assert len(demo.lines) == 1
    assert "REELKEEPER_PORT" in demo.lines[0]


def test_home_that_cannot_be_written_is_one_clear_line(demo: Demo) -> None:
    whole = demo.home
    demo.home = Path("/proc/reelkeeper")
    demo.launch()
    assert demo.process is not None
    assert demo.process.wait(60) == 1
    demo.home = whole
    wait_for("its words", lambda: demo.lines)
    assert len(demo.lines) == 1
    assert "REELKEEPER_HOME" in demo.lines[0]


def test_second_demo_in_one_home_is_refused(demo: Demo) -> None:
    demo.launch_to_console()
    second = Demo(home=demo.home)
    second.launch()
    assert second.process is not None
    assert second.process.wait(60) == 1
    assert demo.process is not None
    assert demo.process.poll() is None


@pytest.mark.timeout(1_200)  # where no build went before, this is one from nothing
def test_wheel_holds_everything(demo: Demo, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    uv = shutil.which("uv")
    assert uv is not None
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    maturin = Path(sys.executable).parent / "maturin"
    run = [str(maturin), "build", "--release", "--locked", "--quiet", "--out", str(wheels)]
    subprocess.run(run, cwd=root, check=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = str(environment / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--python", python]
    subprocess.run([*install, "--require-hashes", "-r", str(root / "requirements.txt")], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)

    demo.python, demo.folder = python, tmp_path
    demo.launch_to_console()
    demo.token = subprocess.run(
        [python, "-m", "reelkeeper", "token", "create", "me"],
        env=demo.environment(),
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    where = subprocess.run(
        [python, "-c", "import core_rs, web; print(core_rs.__file__, web.__file__)"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert str(root) not in where
    page = httpx.get(f"{demo.url}/sign-in").text
    assets = set(re.findall(r"/static/[^\"#]+", page))
    assert {path.rpartition("/")[2].partition("?")[0] for path in assets} >= {
        "htmx.min.js",
        "reelkeeper.css",
        "live.js",
    }
    for path in (*assets, "/static/vendor/icons.svg"):
        assert httpx.get(demo.url + path).is_success, path
    demo.wait_state(demo.record("speech", duration_ms=2000), "completed")
