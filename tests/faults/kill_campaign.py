"""Kills what writes a store, or cuts the power of its disk, at random instants: nothing acknowledged may be lost.

An interpreter without threads forks a child for every round; the child works on the store and says what it was told is
durable. Then comes the kill, or the power cut, and another child looks at what is left, as an agent or a controller
that starts again. The next round goes on with that.

`python -m tests.faults.kill_campaign STORE ROUNDS SEED [--power] [--results FILE]`: stores are in `STORES`. Prints what
it counted as JSON. Rounds run in batches of 100 on fresh disks; with a file of results, finished batches are kept there
and not run again, so that a long campaign can be stopped and taken up.
"""

import json
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from reelkeeper.faultkit.volume import Cut, PowerVolume, power_volume
from tests.faults.store_cache import CacheStore
from tests.faults.store_spool import SpoolStore
from tests.faults.store_takes import PacedTakes, PushedTakes

BATCH_ROUNDS = 100
STARTED_SHARE = 0.7
"""So many rounds count from the first word, so that a slow machine has something to lose; the others from the start."""
START_SECONDS = 30.0

Known = dict[str, Any]
"""What must be there, and under `counts` and `most` what was seen so far; JSON."""
Tell = Callable[[Any], None]


class Store(Protocol):
    """A store and how it is worked on. Everything is done in processes of its own."""

    seconds: tuple[float, float]
    """The least and the longest life of a child."""

    def prepare(self, home: Path) -> None:
        """Makes what the work needs, beside the disk."""

    def work(self, disk: Path, known: Known, rng: random.Random, tell: Tell) -> None:
        """Works until it is killed, or the power goes."""

    def check(self, disk: Path, known: Known, told: list[Any]) -> Known:
        """Raises AssertionError when something is missing that `known` or `told` promise."""


STORES: dict[str, Store] = {
    "takes": PushedTakes(),
    "paced": PacedTakes(),
    "spool": SpoolStore(),
    "cache": CacheStore(),
}


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("store", choices=STORES)
    parser.add_argument("rounds", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--power", action="store_true")
    parser.add_argument("--results", type=Path)
    wanted = parser.parse_args()
    done = [json.loads(line) for line in wanted.results.read_text().splitlines()] if _exists(wanted.results) else []
    started = time.monotonic()
    for batch in range(len(done), -(-wanted.rounds // BATCH_ROUNDS)):
        rounds = min(BATCH_ROUNDS, wanted.rounds - batch * BATCH_ROUNDS)
        done.append(run_batch(STORES[wanted.store], rounds, f"{wanted.seed}/{batch}", with_power=wanted.power))
        if wanted.results:
            with wanted.results.open("a") as file:
                file.write(json.dumps(done[-1]) + "\n")
    print(json.dumps({**total(done), "seconds": round(time.monotonic() - started, 1)}))


def run_batch(store: Store, rounds: int, seed: str, *, with_power: bool) -> Known:
    """So many rounds on a fresh disk; what was counted. Exits with a sentence when something was lost."""
    rng = random.Random(seed)
    known: Known = {}
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="campaign-")))
        volume = stack.enter_context(power_volume(home)) if with_power else None
        disk = volume.path if volume else home / "disk"
        disk.mkdir(exist_ok=True)
        in_a_child(lambda: store.prepare(home))
        for turn in range(rounds):
            told = broken_off(store, disk, known, rng, volume)
            if volume:
                volume.restart()
            known = _checked(store, disk, known, told, f"round {turn} of seed {seed}")
        if volume:
            volume.check()
    counts = {"rounds": rounds, **known.get("counts", {})}
    return {"seed": seed, "counts": counts, "most": known.get("most", {})}


def broken_off(store: Store, disk: Path, known: Known, rng: random.Random, volume: PowerVolume | None) -> list[Any]:
    """What the child said before its end."""
    life, seed, cut = rng.uniform(*store.seconds), rng.random(), rng.choice(list(Cut))
    is_counted_from_first_word = rng.random() < STARTED_SHARE
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _work(store, disk, known, random.Random(seed), writer, is_power_cut=volume is not None)
    os.close(writer)
    said, deadline = b"", time.monotonic() + (START_SECONDS if is_counted_from_first_word else life)
    while (left := deadline - time.monotonic()) > 0 and select.select([reader], [], [], left)[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            break
        if is_counted_from_first_word and not said:
            deadline = time.monotonic() + life
        said += part
    if volume:
        volume.cut_power(cut)
    os.kill(child, signal.SIGKILL)
    while part := os.read(reader, 1 << 16):
        said += part
    os.close(reader)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) == 1:
        sys.exit(f"the child of seed {seed} failed by itself")
    return [json.loads(line) for line in said.split(b"\n")[:-1]]


def total(batches: list[Known]) -> Known:
    """Sums of the counts, and the most of what is largest, over batches."""
    counts: dict[str, int] = {}
    most: dict[str, float] = {}
    for batch in batches:
        for name, value in batch["counts"].items():
            counts[name] = counts.get(name, 0) + value
        for name, value in batch["most"].items():
            most[name] = max(most.get(name, value), value)
    return {**counts, **most}


class ChildError(Exception):
    """What went wrong in a child."""


def in_a_child(do: Callable[[], Any]) -> Any:
    """The answer of a function that runs in a process of its own. Raises ChildError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            said = {"answer": do()}
        except BaseException:
            said = {"fault": traceback.format_exc()}
        with os.fdopen(writer, "wb") as file:
            file.write(json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    os.waitpid(child, 0)
    answer = json.loads(text)
    if "fault" in answer:
        raise ChildError(answer["fault"])
    return answer["answer"]


def _work(store: Store, disk: Path, known: Known, rng: random.Random, writer: int, *, is_power_cut: bool) -> None:
    """Never returns. Exit code 1: the work itself failed, which only a power cut excuses."""
    try:
        store.work(disk, known, rng, lambda said: _tell(writer, said))
    except BaseException as fault:
        if not (is_power_cut and _is_of_a_dead_disk(fault)):
            traceback.print_exc()
            os._exit(1)
    os._exit(2)


def _is_of_a_dead_disk(fault: BaseException) -> bool:
    """Whether the power was cut, and this is what the work met then."""
    seen: BaseException | None = fault
    while seen is not None:
        if isinstance(seen, OSError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _tell(writer: int, said: Any) -> None:
    os.write(writer, json.dumps(said).encode() + b"\n")


def _checked(store: Store, disk: Path, known: Known, told: list[Any], where: str) -> Known:
    try:
        found: Known = in_a_child(lambda: store.check(disk, known, told))
    except ChildError as fault:
        sys.exit(f"{where}: {fault}\nthe last words: {told[-5:]}")
    return found


def _exists(path: Path | None) -> bool:
    return path is not None and path.exists()


if __name__ == "__main__":
    main()
