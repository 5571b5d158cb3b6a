"""The agent's side of its renderers: started detached, found by the lock that each holds."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import agent
from agent.job_folder import JobFolder

NOT_WRITTEN = "not written: "
"""What the last words of a renderer begin with that a disk did not let go on."""
_PACKAGES = Path(agent.__file__).parents[1]


class Renderers:
    """Starts renderers. They outlive this agent; while it lives it collects their exit codes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._started: dict[Path, subprocess.Popen[bytes]] = {}

    def start(self, folder: JobFolder) -> None:
        """Starts a renderer; one that finds the folder's lock taken ends by itself."""
        with folder.log.open("ab") as output:
            self._started[folder.path] = subprocess.Popen(
                [sys.executable, "-m", "agent.renderer", str(folder.path)],
                cwd=_PACKAGES,
                env=dict(self._environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def is_rendering(self, folder: JobFolder) -> bool:
        """Whether a renderer works on this folder, or is about to."""
        self.collect()
        return folder.path in self._started or renderer_pid(folder) is not None

    def collect(self) -> None:
        """Forgets those that have ended."""
        self._started = {path: process for path, process in self._started.items() if process.poll() is None}


def renderer_pid(folder: JobFolder) -> int | None:
    """The process that holds the lock of this folder, or None when nobody does."""
    try:
        descriptor = os.open(folder.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 20, 0).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)


def stop_renderer(folder: JobFolder) -> int | None:
    """Asks the renderer of this folder to end; what it wrote is made again by the next. Its pid, if there was one."""
    pid = renderer_pid(folder)
    if pid is not None:
        _signal(pid, folder, signal.SIGTERM)
    return pid


def kill_renderer(folder: JobFolder) -> None:
    """Ends one that hangs; the next makes anew what it wrote."""
    if (pid := renderer_pid(folder)) is not None:
        _signal(pid, folder, signal.SIGKILL)


def _signal(pid: int, folder: JobFolder, number: signal.Signals) -> None:
    """Only if it is this renderer: one that has just begun has not yet replaced the pid of the last, which may be
    anybody's by now."""
    lock = str(folder.lock.resolve())
    with contextlib.suppress(OSError):
        if any(str(entry.readlink()) == lock for entry in Path(f"/proc/{pid}/fd").iterdir()):
            os.kill(pid, number)


def last_words(folder: JobFolder) -> str:
    """The last line of the renderer's log that says something."""
    with contextlib.suppress(FileNotFoundError):
        lines = folder.log.read_bytes()[-4096:].decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return "it said nothing"
