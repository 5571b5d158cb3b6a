"""A signal ends a process in time, wherever its event loop stands."""

import signal
import subprocess
import sys

import pytest

FAR_BEYOND_THE_LIMIT = 30.0
"""What hangs here hangs for ten minutes."""
PROGRAM = """
import asyncio, ctypes, signal, time, uvloop
from protocol.stopping import stop_by_signal

mutex = ctypes.create_string_buffer(64)

async def main():
    with stop_by_signal({seconds}) as stop:
        print("ready", flush=True)
        {work}
    print("in order", flush=True)

{before}
{runner}.run(main())
"""
HANGS = {
    "a call that goes on after a signal": "time.sleep(600)",
    "a computation": "while True: pass",
    "a call that no signal ends": "[ctypes.CDLL(None).pthread_mutex_lock(mutex) for _ in range(2)]",
    "a call that holds the interpreter": "[ctypes.PyDLL(None).pthread_mutex_lock(mutex) for _ in range(2)]",
}
MASKED = "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"


def ended(work: str, *, runner: str = "asyncio", before: str = "", seconds: float = 0.2) -> tuple[int, str]:
    """Exit code and last words of a process that was told to stop while it was at this work."""
    program = PROGRAM.format(work=work, runner=runner, before=before, seconds=seconds)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            words, _ = process.communicate(timeout=FAR_BEYOND_THE_LIMIT)
        finally:
            process.kill()
    return process.returncode, words


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
def test_loop_that_goes_on_hears_of_it(runner: str) -> None:
    assert ended("await stop.wait()", runner=runner, seconds=60) == (0, "in order\n")


@pytest.mark.parametrize("work", HANGS.values(), ids=HANGS.keys())
def test_loop_that_hangs_is_left_behind(work: str) -> None:
    assert ended(work) == (0, "")


def test_another_loop_that_hangs_is_left_behind() -> None:
    assert ended("time.sleep(600)", runner="uvloop") == (0, "")


def test_signal_that_the_kernel_holds_back_is_heard_of() -> None:
    assert ended("time.sleep(600)", before=MASKED) == (0, "")
