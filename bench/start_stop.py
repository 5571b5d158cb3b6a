"""X9: how far from the press a recording begins and ends, and how soon its first frame is on disk.

One recording keeps the interface captured; others are started and stopped on it through the API, one after another.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import at_most, report
from core_rs import Take
from reelkeeper.faultkit.system import System, running, wait_for

RATE = 48_000
HELD_SECONDS = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rounds", nargs="?", type=int, default=20)
    rounds = parser.parse_args().rounds
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    try:
        with running(System(home=home)) as system:
            keeper = system.record()
            system.wait_capturing(keeper, RATE)
            found = [one_round(system) for _ in range(rounds)]
    finally:
        shutil.rmtree(home)
    starts, stops, disks = zip(*found, strict=True)
    report(
        "start_stop",
        [
            at_most("X9 start press → first frame, p95 s", p95(starts), 0.5),
            at_most("X9 stop press → last frame, p95 s", p95(stops), 0.5),
            at_most("X9 start press → first frame on disk, p95 s", p95(disks), 1.0),
        ],
        {
            "rounds": rounds,
            "median start s": statistics.median(starts),
            "median stop s": statistics.median(stops),
            "median on disk s": statistics.median(disks),
        },
    )


def one_round(system: System) -> tuple[float, float, float]:
    """Seconds between press and first frame, between press and last frame, and until the first frame was durable."""
    request = system.start_request()
    pressed_ns, pressed = time.time_ns(), time.monotonic()
    recording = system.post("/recordings", request)["id"]
    folder = wait_for("the take", lambda: begun(system, recording))
    take = Take.open(folder)
    start_frame = take.marks[f"start:{recording}"]
    while take.refresh() <= start_frame:
        time.sleep(0.005)
    on_disk = time.monotonic() - pressed
    time.sleep(HELD_SECONDS)
    stopped_ns = time.time_ns()
    system.stop_recording(recording)
    system.wait_state(recording, "completed")
    facts = system.ledger(recording)
    return (
        abs(utc_of(facts, 0) - pressed_ns) / 1e9,
        abs(utc_of(facts, facts["frames"]) - stopped_ns) / 1e9,
        on_disk,
    )


def begun(system: System, recording: str) -> Path | None:
    """The folder of the take, once its start is bound."""
    for folder in (system.home / "node" / "takes").glob("[!.]*"):
        if (folder / "ledger").exists() and f"start:{recording}" in Take.open(folder).marks:
            return folder
    return None


def utc_of(facts: dict[str, Any], frame: int) -> int:
    """Nanoseconds; by the clock pair nearest to the frame."""
    pair = min(facts["clock_pairs"], key=lambda pair: abs(pair["frame"] - frame))
    return int(pair["utc_ns"] + (frame - pair["frame"]) * 1_000_000_000 // RATE)


def p95(values: tuple[float, ...]) -> float:
    return statistics.quantiles(values, n=20)[18]


if __name__ == "__main__":
    main()
