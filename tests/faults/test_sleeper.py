"""Suspends of a node's machine, as its processes see them."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.settings import child_environment
from reelkeeper.faultkit.sleeper import Sleeper, why_no_sleep

pytestmark = pytest.mark.skipif(why_no_sleep() is not None, reason="it takes Linux and a virtual environment")

TELL = """
import sys, time
clocks = time.CLOCK_BOOTTIME, time.CLOCK_REALTIME, time.CLOCK_MONOTONIC
for _ in range(2):
    print(*(time.clock_gettime_ns(clock) for clock in clocks), time.time_ns(), flush=True)
    sys.stdin.readline()
"""


def test_process_that_runs_hears_of_a_suspend_and_so_does_what_it_starts(tmp_path: Path) -> None:
    sleeper = Sleeper(tmp_path / "python")
    starts_another = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {TELL!r}], check=True)"
    with subprocess.Popen(
        [sleeper.python, "-c", starts_another],
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        before = [int(word) for word in process.stdout.readline().split()]
        sleeper.sleep(5_000.0)
        process.stdin.write("\n")
        process.stdin.flush()
        after = [int(word) for word in process.stdout.readline().split()]
        process.communicate("\n")
    boottime, realtime, monotonic, utc = ((late - early) / 1e9 for early, late in zip(before, after, strict=True))
    assert monotonic < 4_000
    assert [gained - monotonic for gained in (boottime, realtime, utc)] == pytest.approx([5_000] * 3, abs=60)
    assert sleeper.ahead_ns == 5_000 * 10**9


def test_its_python_has_all_packages_of_this_one(tmp_path: Path) -> None:
    command = [Sleeper(tmp_path / "python").python, "-c", "import sys, httpx; print(sys.executable, httpx.__file__)"]
    own = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == own.stdout.split()[1]
    assert done.stdout.split()[0] == command[0]
