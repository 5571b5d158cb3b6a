"""A sound server of one test, without a sound card: its own folders, sources that carry what is written into them."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from core_rs import counter_pcm

RATE = 48_000
PERIOD_FRAMES = 120
_ASOUNDRC = """
pcm.pipe { type pulse device "pipe" }
pcm.lectern { type pulse device "lectern.monitor" }
"""


@dataclass(frozen=True)
class PulseRig:
    home: Path
    began: float = field(default_factory=time.monotonic)
    """When the clock of what comes and goes had its frame 1."""

    @property
    def environment(self) -> dict[str, str]:
        """For whoever shall hear this server instead of that of the machine."""
        return {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run")}

    def load_pipe(self, name: str = "pipe", *, runs_on: bool = False, rate_hz: int = RATE) -> str:
        """A source that carries the counter as long as it is loaded; its module.

        The counter begins with frame 1, or with `runs_on` where a clock has come to that runs on without listeners.
        """
        fifo = self.home / f"{name}.fifo"
        fifo.unlink(missing_ok=True)
        made = f"source_name={name} file={fifo} format=s16le rate={rate_hz} channels=2"
        module = self._pactl("load-module", "module-pipe-source", *made.split())
        Feeder(fifo, rate_hz, self.began if runs_on else time.monotonic()).start()
        return module

    def load_sink(self, name: str, channels: int = 2, rate_hz: int = RATE) -> str:
        """A source `<name>.monitor` that carries silence; its module."""
        made = f"sink_name={name} rate={rate_hz} channels={channels}"
        return self._pactl("load-module", "module-null-sink", *made.split())

    def unload(self, module: str) -> None:
        """The device is gone."""
        self._pactl("unload-module", module)

    def _pactl(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pactl", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()


PIPE_FRAMES = 64 * 1024 // 4
"""What a pipe holds while nobody listens who did so before."""


class Feeder(threading.Thread):
    """Writes the counter into a pipe at the pace of a device, as long as the pipe is there.

    The server takes nothing out before somebody listens, and a device keeps nothing for that long: so until then what
    stands in the pipe is replaced by what is newer.
    """

    def __init__(self, fifo: Path, rate_hz: int, began: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self._fifo = fifo
        self._pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        self._rate_hz = rate_hz
        self._began = began
        self._never = threading.Event()

    def run(self) -> None:
        pipe = self._pipe
        inode, waiting, is_heard = os.fstat(pipe).st_ino, 0, False
        frame = 1 + int((time.monotonic() - self._began) * self._rate_hz) // PERIOD_FRAMES * PERIOD_FRAMES
        while self._is_there(inode):
            self._never.wait(max(0.0, self._began + (frame + PERIOD_FRAMES) / self._rate_hz - time.monotonic()))
            left = _bytes_in(pipe)
            is_heard = is_heard or left < waiting
            if not is_heard and left:
                with suppress(BlockingIOError):  # the server has just begun to listen
                    os.read(pipe, left)
            with suppress(BlockingIOError):
                os.write(pipe, counter_pcm(frame, PERIOD_FRAMES))
                frame += PERIOD_FRAMES
            waiting = _bytes_in(pipe)
        os.close(pipe)

    def _is_there(self, inode: int) -> bool:
        with suppress(FileNotFoundError):
            return self._fifo.stat().st_ino == inode
        return False


def _bytes_in(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@contextmanager
def pulse_rig() -> Iterator[PulseRig]:
    home = Path(tempfile.mkdtemp(prefix="rk-pulse-"))
    (home / "run").mkdir(mode=0o700)
    (home / ".asoundrc").write_text(_ASOUNDRC)
    rig = PulseRig(home)
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--load=module-native-protocol-unix"],
            env={**os.environ, **rig.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(rig, server)
        yield rig
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(home)


def _wait_until_it_answers(rig: PulseRig, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < end:
        with suppress(subprocess.CalledProcessError):
            rig._pactl("info")
            return
        time.sleep(0.05)
    raise AssertionError((rig.home / "log").read_text(errors="replace"))
