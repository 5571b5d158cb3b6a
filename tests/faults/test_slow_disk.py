"""A disk that stands still and memory that is short: whoever captures never waits, and what is lost is counted."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from core_rs import Take

REPOSITORY = Path(__file__).parents[2]
STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None, reason="strace makes the disk slow")
def test_capture_does_not_wait_for_a_disk_that_stands_still_and_counts_what_is_lost(tmp_path: Path) -> None:
    program = """
        from core_rs import PcmFormat, TakeWriter, counter_pcm
        writer = TakeWriter.create("take", PcmFormat(2, 8_000, "s16"), facts="{}", flush_interval_ms=1, ring_seconds=1)
        taken = sum(
            writer.push(counter_pcm(1 + writer.next_frame, 800), writer.next_frame * 125_000) for _ in range(100)
        )
        assert (writer.durable_frame, writer.fault) == (0, None)
        end = writer.close("stopped", drain_seconds=60)
        print(taken, writer.next_frame, end.gap_frames, end.drained)
        """
    slow = (str(STRACE), "-f", "-qq", "-o", "/dev/null", "-e", "inject=fdatasync:delay_enter=3000000:when=4")
    done = run(program, tmp_path, *slow)
    assert done.returncode == 0, done.stderr
    taken, pushed, gap_frames, drained = done.stdout.split()
    assert int(taken) + int(gap_frames) == int(pushed)
    assert (int(gap_frames) > 0, drained) == (True, "True")
    take = Take.open(tmp_path / "take")
    assert {gap.cause for gap in take.gaps} == {"ring_full"}
    assert take.verify() == []


def test_ring_that_memory_does_not_hold_is_refused_and_a_smaller_one_goes_on(tmp_path: Path) -> None:
    program = """
        import resource
        from core_rs import PcmFormat, TakeWriter
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
        try:
            TakeWriter.create("big", PcmFormat(64, 192_000, "f32"), facts="{}")
        except OSError as refused:
            print(refused)
        writer = TakeWriter.create("take", PcmFormat(2, 8_000, "s16"), facts="{}")
        writer.push(bytes(4_000), 0)
        print(writer.close("stopped").end_frame)
        """
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cannot find memory for a ring" in done.stdout
    assert done.stdout.endswith("1000\n")
    assert not (tmp_path / "big").exists()


def run(program: str, folder: Path, *before: str) -> "subprocess.CompletedProcess[str]":
    command = [*before, sys.executable, "-c", textwrap.dedent(program)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
