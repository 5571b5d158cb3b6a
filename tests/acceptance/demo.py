"""The demo as a newcomer starts it: real processes in a folder of their own."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from reelkeeper.faultkit.system import System, is_alive, wait_for


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

        wait_for("the Console line", console, 180)

    def sign_in_link(self) -> str:
        """What the Console line says: an address that signs in once."""
        found = [re.match(r"Console  (\S+)", line) for line in self.lines]
        return next(match[1] for match in reversed(found) if match)

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
            self.process.wait(60)
            self._reader.join(60)
