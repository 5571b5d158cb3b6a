"""Parts of Reelkeeper as child processes: started, watched, started again, stopped in order."""

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1


class Part:
    """One child process, started again when it dies until it is stopped or ends with an exit code that is final.

    It gets SIGTERM when this process dies, so that nothing is left behind by a kill.
    """

    def __init__(
        self, name: str, arguments: list[str], log_file: Path, final_codes: frozenset[int] = frozenset()
    ) -> None:
        self.name = name
        self._arguments = arguments
        self._log_file = log_file
        self._final_codes = final_codes
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        with self._log_file.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "reelkeeper",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )

    async def keep_running(self, pause: float) -> None:
        """Starts the child again `pause` seconds after each death; returns once it is not to be started again."""
        while True:
            code = await self.exited()
            if self._stopping:
                return
            if code in self._final_codes:
                log.error("part ended for good", part=self.name, exit_code=code, last_words=self.last_words())
                return
            log.warning("part died, starting it again", part=self.name, exit_code=code)
            await asyncio.sleep(pause)
            if not self._stopping:
                await self.start()

    async def exited(self) -> int:
        """The exit code, negative for a signal, once the child is gone."""
        assert self._process is not None
        return await self._process.wait()

    def last_words(self) -> str:
        """The last line of its log that says something."""
        lines = self._log_file.read_text(errors="replace").splitlines() if self._log_file.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    async def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL when it takes longer than this."""
        self._stopping = True
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            log.error("part did not stop in time and is killed", part=self.name, seconds=seconds)
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def _die_with_parent() -> Callable[[], None]:
    libc = ctypes.CDLL(None)

    def arm() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    return arm
