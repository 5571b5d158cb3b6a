"""Kills writers of takes, or cuts the power of their disk, at random instants: nothing acknowledged may be lost.

One interpreter without threads forks a child for every kill: it begins or resumes a take, pushes a counter as fast as
the disk allows and says what it was told is durable.

`python -m tests.faults.kill_campaign FOLDER KILLS SEED [IMAGE]`: with the image of a file system, which is mounted at
the folder, its power is cut before each kill: whatever was not synced is gone.
"""

import fcntl
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from core_rs import AudioError, PcmFormat, Take, TakeWriter, counter_pcm

RATE = 48_000
FRAME_NS = 1_000_000_000 / RATE
BLOCK_FRAMES = 960
FLUSH_MS = 20
KILLS_PER_TAKE = 10
FS_IOC_SHUTDOWN = 0x8004587D
WITHOUT_JOURNAL = 2
FORMAT = PcmFormat(2, RATE, "s16")


def main() -> None:
    home, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    image = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    rng = random.Random(seed)
    durable_frames = gaps = 0
    for turn in range(kills):
        folder = home / f"take-{turn // KILLS_PER_TAKE}"
        if turn % KILLS_PER_TAKE:
            gaps += 1
        if image:
            mount(image, home)
        acknowledged = kill_one(folder, rng.uniform(0.002, 0.13), cut_power_of=home if image else None)
        if image:
            subprocess.run(["umount", home], check=True)
            mount(image, home)
        durable_frames += check(folder, acknowledged)
        if image:
            subprocess.run(["umount", home], check=True)
    print(json.dumps({"kills": kills, "durable_frames": durable_frames, "resumes": gaps}))


def mount(image: Path, at: Path) -> None:
    subprocess.run(["mount", "-o", "loop", image, at], check=True)


def cut_power(mounted: Path) -> None:
    """Lets a file system forget what was not synced and refuse everything from here on; its journal is not written."""
    folder = os.open(mounted, os.O_RDONLY)
    fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", WITHOUT_JOURNAL))
    os.close(folder)


def kill_one(folder: Path, after_seconds: float, cut_power_of: Path | None = None) -> int:
    """The last frame that the child reported durable before it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        capture(folder, writer)
    os.close(writer)
    select.select([], [], [], after_seconds)
    if cut_power_of:
        cut_power(cut_power_of)
    os.kill(child, signal.SIGKILL)
    said = b""
    while part := os.read(reader, 1 << 16):
        said += part
    os.close(reader)
    os.waitpid(child, 0)
    words = said[: len(said) // 8 * 8]
    return int.from_bytes(words[-8:], "little")


def capture(folder: Path, tell: int) -> None:
    """Never returns. Frame n of the take is counter n + 1, so silence is only ever a gap."""
    try:
        frame = 0
        if (folder / "ledger").exists():
            frame = Take.open(folder).durable_frame + RATE
            writer = TakeWriter.resume(folder, cause="owner_died", flush_interval_ms=FLUSH_MS, segment_seconds=1)
            frame = frame if writer.next_frame else 0
        else:
            writer = TakeWriter.create(folder, FORMAT, facts="{}", flush_interval_ms=FLUSH_MS, segment_seconds=1)
        told = 0
        while True:
            if frame - told < 2 * RATE:
                assert writer.push(counter_pcm(frame + 1, BLOCK_FRAMES), round(frame * FRAME_NS)) == BLOCK_FRAMES
                frame += BLOCK_FRAMES
                assert writer.next_frame == frame
            else:
                time.sleep(0.001)
            if writer.durable_frame > told:
                told = writer.durable_frame
                os.write(tell, told.to_bytes(8, "little"))
    except BaseException as fault:
        print(f"{folder}: {fault!r}", file=sys.stderr, flush=True)
    os._exit(1)


def check(folder: Path, acknowledged: int) -> int:
    """The durable frames of the take as it lies there; exits with a sentence when one is missing."""
    try:
        take = Take.open(folder)
    except (OSError, AudioError) as fault:
        if acknowledged == 0:
            # Killed before the first entry was durable: an owner begins another take.
            for file in folder.glob("*"):
                file.unlink()
            if folder.exists():
                folder.rmdir()
            return 0
        sys.exit(f"{folder} had {acknowledged} frames: {fault}")
    durable = take.durable_frame
    if durable < acknowledged:
        sys.exit(f"{folder}: {acknowledged} frames were acknowledged, {durable} are there")
    expected = bytearray(counter_pcm(1, durable))
    for gap in take.gaps:
        expected[gap.start_frame * 4 : (gap.start_frame + gap.frames) * 4] = bytes(gap.frames * 4)
    if take.read(0, durable) != expected:
        sys.exit(f"{folder}: frames below {durable} are not what was pushed")
    tears = {(tear.path, tear.byte) for tear in take.tears}
    faults = [fault for fault in take.verify() if not any(f"{p} at byte {b}:" in fault for p, b in tears)]
    if faults:
        sys.exit(f"{folder}: {faults}")
    return durable


if __name__ == "__main__":
    main()
