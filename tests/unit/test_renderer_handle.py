"""Renderers are ended by the lock that they hold, and nobody else is."""

import fcntl
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.job_folder import JobFolder
from agent.renderer.handle import kill_renderer, stop_renderer

ENDS = pytest.mark.parametrize(
    ("end", "number"), [(stop_renderer, signal.SIGTERM), (kill_renderer, signal.SIGKILL)], ids=["stop", "kill"]
)


class Held:
    """A folder whose lock is held, with the pid of a process that has it open or not."""

    def __init__(self, path: Path) -> None:
        self.folder = JobFolder(path)
        self._lock = self.folder.lock.open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.process: subprocess.Popen[bytes]

    def begin(self, *, is_renderer: bool) -> None:
        stdin = self._lock if is_renderer else subprocess.DEVNULL
        self.process = subprocess.Popen(["sleep", "60"], stdin=stdin)
        self._lock.write(f"{self.process.pid}\n")
        self._lock.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._lock.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path)
    yield held
    held.close()


@ENDS
def test_renderer_ends(held: Held, end: Callable[[JobFolder], None], number: int) -> None:
    held.begin(is_renderer=True)
    end(held.folder)
    assert held.process.wait(30) == -number


@ENDS
def test_process_that_has_the_pid_of_an_earlier_renderer_is_left_alone(
    held: Held, end: Callable[[JobFolder], None], number: int
) -> None:
    held.begin(is_renderer=False)
    end(held.folder)
    held.process.send_signal(signal.SIGUSR1)
    assert held.process.wait(30) == -signal.SIGUSR1
