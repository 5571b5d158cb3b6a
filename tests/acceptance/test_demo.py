"""The one command that a newcomer types."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.acceptance.system import System, breaks_of, counter_of, free_port, is_alive, wait_for

RATE = 48_000


@dataclass
class Demo(System):
    """A system started by the demo, which makes its own processes."""

    python: str = sys.executable
    folder: Path = field(default_factory=Path.cwd)
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    def launch(self) -> None:
        self.process = subprocess.Popen(
            [self.python, "-m", "reelkeeper", "demo"],
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read, args=(self.process,))
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.lines.append(line)

    def launch_to_console(self) -> None:
        self.launch()
        assert self.process is not None

        def console() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"the demo ended: {self.lines}"
            return any(line.startswith(f"Console  {self.url}/") for line in self.lines)

        wait_for("the Console line", console, 60)

    def processes(self) -> list[int]:
        """Every live process that belongs to this home, by environment, arguments, working folder or open files."""
        mark, found = str(self.home).encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    traces = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                    links = [entry / "cwd", *(entry / "fd").iterdir()]
                    traces += b"".join(bytes(link.readlink()) for link in links)
                    if mark in traces and is_alive(int(entry.name)):
                        found.append(int(entry.name))
        return found

    def end(self) -> None:
        for _ in range(2):
            for pid in self.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        if self.process is not None:
            self.process.wait(10)
            self._reader.join(10)


@pytest.fixture
def demo() -> Iterator[Demo]:
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    made = Demo(home=home)
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(home)


def test_stop_is_orderly_and_what_ran_is_delivered_at_the_next_start(demo: Demo, tmp_path: Path) -> None:
    demo.launch_to_console()
    demo.token = demo.run("token", "create", "me")
    recording = demo.record()
    demo.wait_capturing(recording, 2 * RATE)
    assert demo.process is not None
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(10) == 0
    wait_for("every process to be gone", lambda: demo.processes() == [], 1)

    demo.launch_to_console()
    found = demo.wait_state(recording, "completed")
    assert found["mark"] == "truncated"
    assert demo.ledger(recording)["end_reason"] == "node stopped"
    numbers = counter_of(demo.download(recording, tmp_path / "one.wav"))
    assert len(numbers) >= 2 * RATE
    assert breaks_of(numbers) == []
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(10) == 0
    wait_for("every process to be gone", lambda: demo.processes() == [], 1)


def test_start_after_a_kill_of_everything_goes_on(demo: Demo, tmp_path: Path) -> None:
    demo.launch_to_console()
    demo.token = demo.run("token", "create", "me")
    recording = demo.record()
    demo.wait_capturing(recording, 2 * RATE)
    for pid in demo.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert demo.process is not None
    demo.process.wait(10)

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
    wait_for("controller, agent and database to leave", lambda: demo.processes() == demo.owners(), 10)
    demo.launch_to_console()


def test_busy_port_is_one_clear_line(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        demo.port = taken.getsockname()[1]
        demo.launch()
        assert demo.process is not None
        assert demo.process.wait(20) == 1
    demo.port = free_port()
    wait_for("its words", lambda: demo.lines, 5)
    assert len(demo.lines) == 1
    assert "REELKEEPER_PORT" in demo.lines[0]


def test_home_that_cannot_be_written_is_one_clear_line(demo: Demo) -> None:
    whole = demo.home
    demo.home = Path("/proc/reelkeeper")
    demo.launch()
    assert demo.process is not None
    assert demo.process.wait(20) == 1
    demo.home = whole
    wait_for("its words", lambda: demo.lines, 5)
    assert len(demo.lines) == 1
    assert "REELKEEPER_HOME" in demo.lines[0]


def test_second_demo_in_one_home_is_refused(demo: Demo) -> None:
    demo.launch_to_console()
    second = Demo(home=demo.home)
    second.launch()
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert demo.process is not None
    assert demo.process.poll() is None


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
    assert "Reelkeeper runs" in httpx.get(f"{demo.url}/").text
    demo.wait_state(demo.record("speech", duration_ms=2000), "completed")
