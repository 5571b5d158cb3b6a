"""X6: CPU from a source that costs nothing to durable segments, against arecord.

Both record the same audio from nothing to a file, faster than real time: arecord from ALSA's `null` device, the core
from one precomputed period that is pushed again and again. The ring is set so that the writer makes every half second
of *audio* durable, as often for an hour of it as in real time; the pusher sleeps until that is done. arecord never
syncs: `floor` is a bare loop that writes the same bytes and syncs as often, which is what durability alone costs here.
`--live MINUTES` adds 64 channels in real time, `--memory` the memory of ten minutes and of ten hours (X7).
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import Claim, Cost, at_most, call, in_turn, not_measured, ratio, report, run
from core_rs import LevelMeter, PcmFormat, Take, TakeWriter, tone_pcm

RATE = 48_000
PERIOD_FRAMES = 4_096
FLUSH_FRAMES = 6 * PERIOD_FRAMES
"""Just over half a second: the quarter of a ring of two seconds that wakes the writer."""


@dataclass(frozen=True)
class Case:
    name: str
    format: PcmFormat
    alsa_format: str
    seconds: int


CASES = {
    "stereo": Case("stereo S16", PcmFormat(2, RATE, "s16"), "S16_LE", 600),
    "many": Case("32 ch S32", PcmFormat(32, RATE, "s32"), "S32_LE", 30),
}
LIVE = PcmFormat(64, RATE, "s32")
LIVE_PERIOD_FRAMES = 1_024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--live", type=float, default=0.0, metavar="MINUTES", help="also 64 channels in real time")
    parser.add_argument("--memory", action="store_true", help="also the memory of a long take")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        key, extras, folder = arguments.child
        print(capture(CASES[key], extras == "on", Path(folder)))
        return
    with tempfile.TemporaryDirectory(prefix="capture-") as home:
        claims: list[Claim] = []
        figures: dict[str, object] = {}
        for key in CASES:
            compare(key, Path(home), arguments.rounds, claims, figures)
        if arguments.live:
            claims.append(live(Path(home), arguments.live * 60, figures))
        if arguments.memory:
            claims.append(memory(Path(home), figures))
    report("X6 capture", claims, figures)


def compare(key: str, home: Path, rounds: int, claims: list[Claim], figures: dict[str, object]) -> None:
    case = CASES[key]
    contenders: dict[str, Callable[[], Cost]] = {
        "on": lambda: ours(key, "on", home),
        "off": lambda: ours(key, "off", home),
        "floor": lambda: call(lambda: write_and_sync(case, home)),
    }
    has_arecord = shutil.which("arecord") is not None
    if has_arecord:
        contenders["arecord"] = lambda: arecord(case, home)
    costs = in_turn(contenders, rounds)
    for extras, goal in (("on", 2.5), ("off", 1.2)):
        what = f"{case.name}, levels, peaks, checksums {extras}: CPU ÷ arecord"
        if has_arecord:
            claims.append(at_most(what, ratio(costs[extras], costs["arecord"], by="cpu_seconds"), goal))
        else:
            claims.append(not_measured(what, f"≤ {goal:g}", "no arecord"))
    for name, runs in costs.items():
        per_hour = statistics.median(cost.cpu_seconds for cost in runs) * 3_600 / case.seconds
        figures[f"{case.name}, {name}: CPU seconds an hour of audio"] = per_hour


def ours(key: str, extras: str, home: Path) -> Cost:
    folder = home / "take"
    command = [sys.executable, __file__, "--child", key, extras, str(folder)]
    start = time.perf_counter()
    cpu_seconds = float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shutil.rmtree(folder)
    return Cost(time.perf_counter() - start, cpu_seconds)


def arecord(case: Case, home: Path) -> Cost:
    file = home / "arecord.wav"
    shape = ["-f", case.alsa_format, "-c", str(case.format.channels), "-r", str(RATE), "-d", str(case.seconds)]
    cost = run(["arecord", "-q", "-D", "null", *shape, file])
    file.unlink()
    return cost


def write_and_sync(case: Case, home: Path) -> None:
    """Two files as a segment and its sums, each synced for every half second of audio."""
    block = bytes(FLUSH_FRAMES * case.format.frame_bytes)
    segment, sums = home / "segment", home / "sums"
    with segment.open("wb", buffering=0) as audio, sums.open("wb", buffering=0) as records:
        for _ in range(case.seconds * RATE // FLUSH_FRAMES):
            audio.write(block)
            os.fdatasync(audio)
            os.pwrite(records.fileno(), bytes(32), 0)
            os.fdatasync(records)
    segment.unlink()
    sums.unlink()


def capture(case: Case, extras: bool, folder: Path) -> float:
    """CPU seconds of this process from the first push to the end mark."""
    period = tone_pcm(0, PERIOD_FRAMES, case.format, 997.0, -12.0)
    writer = TakeWriter.create(folder, case.format, facts="{}", ring_seconds=2, waveform=extras, checksums=extras)
    meter = LevelMeter(case.format)
    before = _cpu_seconds()
    frame, end_frame = 0, case.seconds * RATE
    while frame < end_frame:
        for _ in range(FLUSH_FRAMES // PERIOD_FRAMES):
            if extras:
                meter.push(period, frame * 1_000_000_000 // RATE, frame)
            writer.push(period, frame * 1_000_000_000 // RATE)
            frame += PERIOD_FRAMES
        while writer.durable_frame < frame:
            time.sleep(0.01)
    end = writer.close("measured")
    assert end.gap_frames == 0
    return _cpu_seconds() - before


def live(home: Path, seconds: float, figures: dict[str, object]) -> Claim:
    """64 channels as fast as they come, in periods of a device."""
    period = tone_pcm(0, LIVE_PERIOD_FRAMES, LIVE, 997.0, -12.0)
    writer, meter = TakeWriter.create(home / "live", LIVE, facts="{}"), LevelMeter(LIVE)
    before, began, frame = _cpu_seconds(), time.perf_counter(), 0
    while frame < seconds * RATE:
        meter.push(period)
        writer.push(period, frame * 1_000_000_000 // RATE)
        frame += LIVE_PERIOD_FRAMES
        time.sleep(max(0.0, began + frame / RATE - time.perf_counter()))
        # What was closed is not needed, and ten minutes of it are 7 GB.
        writer.release(writer.durable_frame)
    end = writer.close("measured")
    share = (_cpu_seconds() - before) / (time.perf_counter() - began)
    figures["64 ch S32 live: seconds"] = seconds
    figures["64 ch S32 live: lost frames"] = end.gap_frames
    return at_most("64 ch S32 live: share of a core", share, 0.15)


def memory(home: Path, figures: dict[str, object]) -> Claim:
    """Ten hours of stereo, flushed once for every ten seconds of it, seen by a reader that keeps up."""
    format = CASES["stereo"].format
    block = tone_pcm(0, 10 * RATE, format, 997.0, -12.0)
    writer = TakeWriter.create(home / "long", format, facts="{}", ring_seconds=20)
    take, frame, after_ten_minutes = Take.open(home / "long"), 0, 0
    while frame < 36_000 * RATE:
        writer.push(block, frame * 1_000_000_000 // RATE)
        frame += 10 * RATE
        while writer.durable_frame < frame:
            time.sleep(0.001)
        take.refresh()
        writer.release(frame - 120 * RATE if frame > 120 * RATE else 0)
        if frame == 600 * RATE:
            after_ten_minutes = _resident_bytes()
    after_ten_hours = _resident_bytes()
    writer.close("measured")
    figures["memory: MiB after 10 minutes"] = after_ten_minutes / 2**20
    figures["memory: MiB after 10 hours"] = after_ten_hours / 2**20
    return at_most("memory: 10 h ÷ 10 min", after_ten_hours / after_ten_minutes, 1.05)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
