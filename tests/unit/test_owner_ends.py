"""Stop, limit, plan, a dead device and a signal at the same moment: one end mark, and the first end stays."""

import json
import random
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from agent.owner.takes import RefusedError
from core_rs import AudioError
from tests.unit.test_owner_takes import Bench

FRAMES = 4_800


def test_fifty_times_all_ends_at_once_are_one(tmp_path: Path) -> None:
    end_at_once(tmp_path, 50)


@pytest.mark.long
def test_a_thousand_times_all_ends_at_once_are_one(tmp_path: Path) -> None:
    end_at_once(tmp_path, 1_000)


def end_at_once(folder: Path, rounds: int) -> None:
    draw = random.Random(38)
    for number in range(rounds):
        end_one(folder / str(number), draw)


def end_one(folder: Path, draw: random.Random) -> None:
    folder.mkdir()
    bench = Bench(folder)
    bench.feed(FRAMES)
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(FRAMES)
    bound: list[int] = []

    def end(**where: int | None) -> None:
        asked = {"boottime_ns": None, "frame": None, **where}
        with suppress(RefusedError, AudioError):
            bound.append(bench.takes.end("a", **asked, instant=None))

    acts: list[Callable[[], None]] = [
        lambda: end(boottime_ns=bench.instant(2 * FRAMES)),
        lambda: end(frame=begun.start_frame + 1_000),
        lambda: end(frame=begun.start_frame + 2_000),
        lambda: bench.takes.interrupted("device_lost"),
        lambda: bench.feed(100),
        lambda: bench.takes.shut("node stopped"),
        lambda: bench.takes.shut("disarmed"),
    ]
    draw.shuffle(acts)
    together = threading.Barrier(len(acts))

    def at_once(act: Callable[[], None]) -> None:
        together.wait()
        act()

    threads = [threading.Thread(target=at_once, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(bound)) <= 1
    take = bench.take(begun.take_id)
    assert take.end is not None
    assert (take.end.reason in {"node stopped", "disarmed"}, take.end.drained) == (True, True)
    entries = [entry for line in (Path(take.folder) / "ledger").read_text().splitlines() for entry in parsed(line)]
    assert [entry["entry"] for entry in entries].count("end") == 1
    ends = [entry["frame"] for entry in entries if entry.get("key") == "end:a"]
    # Closed before anybody bound an end, the take itself is the end.
    assert ends == bound[:1] or (ends == [] and set(bound) <= {take.end.end_frame})


def parsed(line: str) -> list[dict[str, object]]:
    entries = json.loads(line[9:])
    return entries if isinstance(entries, list) else [entries]
