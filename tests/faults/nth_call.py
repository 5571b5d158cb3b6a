"""Lets every write, sync, rename and open of a store fail: once, and from then on, at each call in turn.

A scenario runs in a forked child under strace, which answers the Nth call of a kind with an error in its place; N rises
until the scenario passes untouched. After each run another child, on a disk that works again, looks at what is left.

`python -m tests.faults.nth_call SCENARIO [--most POINTS] [--seed SEED]`: prints what it counted as JSON. With a number
of points it takes a sample of them. Calls are counted thread by thread, as strace does.
"""

import ctypes
import json
import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from tests.faults.kill_campaign import ChildError, in_a_child
from tests.faults.nth_scenarios import CacheSeal, SpoolLife, ThreeSegments

KINDS = {
    "write": ("write,pwrite64,writev,pwritev,ftruncate", ("EIO", "ENOSPC")),
    "sync": ("fsync,fdatasync", ("EIO",)),
    "rename": ("rename,renameat,renameat2,link,linkat", ("EIO",)),
    "open": ("open,openat,creat,mkdir,mkdirat", ("EIO", "ENOSPC")),
}
"""Calls that strace counts together, and what they answer."""
WATCHED = ",".join([*(calls for calls, _ in KINDS.values()), "unlink", "unlinkat"])
RUN_SECONDS = 60.0
MOST_MISSES = 4
_PR_SET_PTRACER = 0x59616D61
_ANYBODY = ctypes.c_ulong(-1)
_TOLD_BYTES = 4 << 20


class Scenario(Protocol):
    """A piece of a store's life."""

    def prepare(self, home: Path) -> None:
        """Makes what the runs need, in a folder that no fault reaches."""

    def run(self, home: Path, disk: Path, tell: Callable[[Any], None]) -> None:
        """The life itself. Says what was acknowledged; raises what it cannot go on with."""

    def check(self, home: Path, disk: Path, told: list[Any], *, is_whole: bool) -> None:
        """Raises AssertionError when something acknowledged is missing; `is_whole`: nothing was raised."""


SCENARIOS: dict[str, Scenario] = {"take": ThreeSegments(), "spool": SpoolLife(), "cache": CacheSeal()}


@dataclass(frozen=True)
class Point:
    """One fault."""

    kind: str
    error: str
    number: int
    is_lasting: bool

    @property
    def injection(self) -> str:
        return f"inject={KINDS[self.kind][0]}:error={self.error}:when={self.number}{'+' if self.is_lasting else ''}"

    def __str__(self) -> str:
        return f"{self.kind} number {self.number} answers {self.error}{' for good' if self.is_lasting else ''}"


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    told: list[Any]
    fault: str | None
    calls: list[tuple[str, str]]
    """What strace saw, in order: thread and call."""

    @property
    def was_hit(self) -> bool:
        return any("(INJECTED)" in call for _, call in self.calls)

    def most_calls(self, kind: str) -> int:
        """Of the thread that has most of them."""
        names = KINDS[kind][0].split(",")
        threads = Counter(thread for thread, call in self.calls if call.split("(")[0] in names)
        return max(threads.values(), default=1)


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--most", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=KINDS, help="only calls of this kind")
    wanted = parser.parse_args()
    scenario = SCENARIOS[wanted.scenario]
    kinds = [wanted.kind] if wanted.kind else list(KINDS)
    with tempfile.TemporaryDirectory(prefix="nth-call-") as folder:
        home = Path(folder)
        in_a_child(lambda: scenario.prepare(home))
        if wanted.most is None:
            counted = _all(scenario, home, kinds)
        else:
            counted = _some(scenario, home, kinds, wanted.most, wanted.seed)
    print(json.dumps(counted))


def _all(scenario: Scenario, home: Path, kinds: list[str]) -> dict[str, int]:
    counted = {"points": 0, "survived": 0, "told": 0}
    for kind in kinds:
        for error in KINDS[kind][1]:
            for is_lasting in (False, True):
                number = 1
                while _is_hit(scenario, home, Point(kind, error, number, is_lasting), counted):
                    number += 1
    return counted


def _some(scenario: Scenario, home: Path, kinds: list[str], most: int, seed: int) -> dict[str, int]:
    """A sample of what `_all` would try; a number beyond the last call counts for nothing."""
    counted = {"points": 0, "survived": 0, "told": 0}
    rng = random.Random(seed)
    untouched = run(scenario, home, home / "disk", None)
    shutil.rmtree(home / "disk")
    for _ in range(most * MOST_MISSES):
        kind = rng.choice(kinds)
        point = Point(kind, rng.choice(KINDS[kind][1]), rng.randint(1, untouched.most_calls(kind)), rng.random() < 0.5)
        if _is_hit(scenario, home, point, counted) and counted["points"] == most:
            break
    return counted


def _is_hit(scenario: Scenario, home: Path, point: Point, counted: dict[str, int]) -> bool:
    """Runs with this fault and judges what is left. Exits with a sentence when a promise was broken."""
    disk = home / "disk"
    outcome = run(scenario, home, disk, point)
    try:
        assert outcome.was_hit or outcome.fault is None, f"it failed untouched: {outcome.fault}"
        twice = list(synced_again([call for _, call in outcome.calls]))
        assert not twice, f"synced again after a failed sync: {twice}"
        early = list(renamed_unsynced([call for _, call in outcome.calls]))
        assert not early, f"given its name before it was synced: {early}"
        in_a_child(lambda: scenario.check(home, disk, outcome.told, is_whole=outcome.fault is None))
    except (AssertionError, ChildError) as broken:
        sys.exit(f"{point}: {broken}\nit said {outcome.fault}; its last words: {outcome.told[-4:]}")
    finally:
        shutil.rmtree(disk, ignore_errors=True)
    if outcome.was_hit:
        counted["points"] += 1
        counted["survived" if outcome.fault is None else "told"] += 1
    return outcome.was_hit


def run(scenario: Scenario, home: Path, disk: Path, point: Point | None) -> Outcome:
    """One run of the scenario in a child under strace, with a fault or without."""
    disk.mkdir()
    board, (reader, writer) = mmap.mmap(-1, _TOLD_BYTES), os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(scenario, home, disk, board, reader)
    with tempfile.TemporaryDirectory(prefix="strace-") as logs:
        tracer = _attach(child, Path(logs), point)
        os.write(writer, b"go")
        os.close(reader)
        os.close(writer)
        _wait(child, str(point))
        tracer.wait()
        calls = _merged(Path(logs))
    told, fault = _read(board)
    return Outcome(told, fault, calls)


def synced_again(calls: list[str]) -> Iterator[str]:
    """Files that were synced after a sync of them had failed.

    The kernel may have dropped what it could not write, and then says that all is well. A file that was emptied, or
    replaced, is another one; so is a ledger that was written again from its first byte. A folder holds no content.
    """
    failed: set[str] = set()
    for call in calls:
        name, path = _call_and_path(call)
        if "O_TRUNC" in call or name in {"unlink", "unlinkat", "rename", "renameat", "renameat2"}:
            failed -= {one for one in failed if f'"{one}"' in call}
        elif _begins_anew(name, path, call):
            failed.discard(path)
        elif name in {"fsync", "fdatasync"} and not any(f"{path}/" in other for other in calls):
            if path in failed:
                yield path
            if "(INJECTED)" in call:
                failed.add(path)


def renamed_unsynced(calls: list[str]) -> Iterator[str]:
    """Files that got another name while what was written to them was not on disk yet."""
    unsynced: set[str] = set()
    for call in calls:
        name, path = _call_and_path(call)
        if name in {"write", "pwrite64", "writev", "pwritev"}:
            unsynced.add(path)
        elif name in {"fsync", "fdatasync"} and call.endswith(" = 0"):
            unsynced.discard(path)
        elif name in {"rename", "renameat", "renameat2"} and call.endswith(" = 0"):
            source = call.split('"')[1]
            if source in unsynced:
                yield source
            unsynced.discard(source)


def _begins_anew(name: str, path: str, call: str) -> bool:
    """Whether a file is written again from its start: a ledger is, and a drawing that was cut to its head."""
    if name == "pwrite64":
        return path.endswith("/ledger") and ", 0) = " in call
    return name == "ftruncate" and path.endswith("/waveform.dat") and ", 24) = 0" in call


def _run_child(scenario: Scenario, home: Path, disk: Path, board: mmap.mmap, reader: int) -> None:
    """Never returns. What it says goes through memory, so that no fault meets it."""
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    told: list[Any] = []
    fault = None
    os.read(reader, 2)
    try:
        scenario.run(home, disk, lambda said: _write(board, told, said))
    except BaseException:
        fault = traceback.format_exc(limit=-3)
    _write(board, told, None, fault)
    os._exit(0)


def _write(board: mmap.mmap, told: list[Any], said: Any, fault: str | None = None) -> None:
    if said is not None:
        told.append(said)
    text = json.dumps({"told": told, "fault": fault}).encode()
    board.seek(0)
    board.write(len(text).to_bytes(8, "little") + text)


def _read(board: mmap.mmap) -> tuple[list[Any], str | None]:
    length = int.from_bytes(board[:8], "little")
    if length == 0:
        return [], None
    said = json.loads(board[8 : 8 + length])
    return said["told"], said["fault"]


def _attach(child: int, logs: Path, point: Point | None) -> "subprocess.Popen[str]":
    command = ["strace", "-f", "-ff", "-ttt", "-y", "-s", "0", "-o", str(logs / "log"), "-e", f"trace={WATCHED}"]
    if point:
        command += ["-e", point.injection]
    tracer = subprocess.Popen([*command, "-p", str(child)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    first = tracer.stderr.readline()
    if "attached" not in first:
        os.kill(child, signal.SIGKILL)
        sys.exit(f"strace: {first}{tracer.stderr.read()}")
    return tracer


def _wait(child: int, words: str) -> None:
    """A child that hangs is killed, and has then told no end."""
    deadline = time.monotonic() + RUN_SECONDS
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            sys.exit(f"{words}: the run did not end within {RUN_SECONDS:.0f} s")
        time.sleep(0.002)


def _merged(logs: Path) -> list[tuple[str, str]]:
    """The calls of all threads in the order of their instants."""
    lines = [(line, log.suffix) for log in logs.iterdir() for line in log.read_text().splitlines() if "(" in line]
    return [(thread, line.split(" ", 1)[1]) for line, thread in sorted(lines)]


def _call_and_path(call: str) -> tuple[str, str]:
    found = re.match(r"(\w+)\((?:\d+<([^>]*)>)?", call)
    return (found[1], found[2] or "") if found else ("", "")


if __name__ == "__main__":
    main()
