"""Takes as stores of a campaign: pushed as fast as the disk allows, or in the time of a real device."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core_rs import AudioError, PcmFormat, Take, TakeWriter, counter_pcm

RATE = 48_000
FRAME_NS = 1_000_000_000 / RATE
FORMAT = PcmFormat(2, RATE, "s16")
ROUNDS_PER_TAKE = 10

Known = dict[str, Any]


class PushedTakes:
    """One take after the other, resumed after every kill but each tenth. Flushes are 20 ms apart."""

    seconds = (0.002, 0.13)
    block_frames = 960

    def prepare(self, home: Path) -> None:
        """Nothing is needed."""

    def work(self, disk: Path, known: Known, rng: random.Random, tell: Callable[[Any], None]) -> None:
        """Frame n of the take is counter n + 1, so silence is only ever a gap."""
        folder = disk / f"take-{known.get('take', 0)}"
        options: dict[str, Any] = {"flush_interval_ms": 20, "segment_seconds": 1}
        frame = 0
        if (folder / "ledger").exists():
            frame = Take.open(folder).durable_frame + RATE
            writer = TakeWriter.resume(folder, cause="owner_died", **options)
            frame = frame if writer.next_frame else 0
        else:
            writer = TakeWriter.create(folder, FORMAT, facts="{}", **options)
        durable = 0
        while True:
            if frame - durable < 2 * RATE:
                taken = writer.push(counter_pcm(frame + 1, self.block_frames), round(frame * FRAME_NS))
                assert taken == self.block_frames
                frame += self.block_frames
                assert writer.next_frame == frame
            else:
                time.sleep(0.001)
            if writer.durable_frame > durable:
                durable = writer.durable_frame
                tell(durable)

    def check(self, disk: Path, known: Known, told: list[Any]) -> Known:
        number, turn = known.get("take", 0), known.get("turn", 0) + 1
        folder = disk / f"take-{number}"
        acknowledged = max([known.get("durable", 0), *told])
        durable = durable_frames(folder, acknowledged)
        counts = dict(known.get("counts", {}))
        counts["acknowledged_frames"] = counts.get("acknowledged_frames", 0) + acknowledged
        counts["resumes"] = counts.get("resumes", 0) + int(turn > 1)
        if turn == ROUNDS_PER_TAKE:
            shutil.rmtree(folder, ignore_errors=True)
            return {"take": number + 1, "counts": counts}
        return {"take": number, "turn": turn, "durable": durable, "counts": counts}


class PacedTakes:
    """Eight takes at once with the flush of the product and the periods of a device, to measure what a fault costs."""

    seconds = (0.3, 2.4)
    takes = 8
    period_frames = 1024

    def prepare(self, home: Path) -> None:
        """Nothing is needed."""

    def work(self, disk: Path, known: Known, rng: random.Random, tell: Callable[[Any], None]) -> None:
        begun = time.monotonic()
        writers = [TakeWriter.create(disk / f"take-{n}", FORMAT, facts="{}") for n in range(self.takes)]
        frame, durable = 0, [0] * self.takes
        while True:
            time.sleep(max(0.0, begun + (frame + self.period_frames) / RATE - time.monotonic()))
            block = counter_pcm(frame + 1, self.period_frames)
            for writer in writers:
                assert writer.push(block, round(frame * FRAME_NS)) == self.period_frames
            frame += self.period_frames
            tell(["captured", frame])
            for n, writer in enumerate(writers):
                if writer.durable_frame > durable[n]:
                    durable[n] = writer.durable_frame
                    tell(["durable", n, durable[n]])

    def check(self, disk: Path, known: Known, told: list[Any]) -> Known:
        captured = max([said[1] for said in told if said[0] == "captured"], default=0)
        counts, most = dict(known.get("counts", {})), dict(known.get("most", {}))
        for n in range(self.takes):
            folder = disk / f"take-{n}"
            acknowledged = max([said[2] for said in told if said[:2] == ["durable", n]], default=0)
            lost_ms = round((captured - durable_frames(folder, acknowledged)) * 1000 / RATE, 1)
            counts["takes"] = counts.get("takes", 0) + 1
            counts["acknowledged_frames"] = counts.get("acknowledged_frames", 0) + acknowledged
            most["lost_ms"] = max(most.get("lost_ms", 0.0), lost_ms)
            shutil.rmtree(folder, ignore_errors=True)
        return {"counts": counts, "most": most}


def durable_frames(folder: Path, acknowledged: int) -> int:
    """How far the take reaches as it lies there. Raises AssertionError when a frame is missing or wrong."""
    try:
        take = Take.open(folder)
    except (OSError, AudioError) as fault:
        # Killed before the first entry was durable: an owner begins another take.
        if acknowledged:
            raise AssertionError(f"{folder} had {acknowledged} frames") from fault
        shutil.rmtree(folder, ignore_errors=True)
        return 0
    durable = take.durable_frame
    assert durable >= acknowledged, f"{folder}: {acknowledged} frames were acknowledged, {durable} are there"
    expected = bytearray(counter_pcm(1, durable))
    for gap in take.gaps:
        expected[gap.start_frame * 4 : (gap.start_frame + gap.frames) * 4] = bytes(gap.frames * 4)
    assert take.read(0, durable) == expected, f"{folder}: frames below {durable} are not what was pushed"
    tears = {(tear.path, tear.byte) for tear in take.tears}
    faults = [fault for fault in take.verify() if not any(f"{p} at byte {b}:" in fault for p, b in tears)]
    assert not faults, f"{folder}: {faults}"
    return durable
