"""X2 and X3: channel maps from file to file, against sox, ffmpeg and numpy."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench import measure, sources
from core_rs import ChannelMap

if TYPE_CHECKING:
    from core_rs import SampleType

BLOCK_FRAMES = 2048
DTYPES: dict[SampleType, str] = {"s16": "<i2", "s32": "<i4"}


@dataclass(frozen=True)
class Case:
    """One map, its work and the least ratios to each peer; `steps` is how far peers may round apart."""

    name: str
    inputs: int
    source: SampleType
    target: SampleType
    rows: list[list[float]]
    goals: dict[str, float]
    steps: int


GAINS = [[(1 + (channel * 7 + row * 13) % 32) / 1024 for channel in range(32)] for row in range(2)]
CASES = [
    Case("32 → 2 with gains", 32, "s32", "s16", GAINS, {"sox": 5, "ffmpeg": 12, "numpy": 5}, 1),
    Case("stereo → mono", 2, "s16", "s16", [[0.5, 0.5]], {"sox": 4}, 1),
    Case(
        "2 of 32",
        32,
        "s32",
        "s32",
        ChannelMap.select([4, 17], inputs=32).rows,
        {"sox": 2.8, "ffmpeg": 6.5},
        0,
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 h of stereo and 10 min of 32 channels")
    full = parser.parse_args().full
    claims: list[measure.Claim] = []
    figures: dict[str, object] = {}
    for case in CASES:
        seconds = (600 if full else 20) if case.inputs == 32 else (3600 if full else 600)
        with tempfile.TemporaryDirectory() as folder:
            compare(case, seconds, Path(folder), claims, figures)
    measure.report("channel_map", claims, figures)


def compare(case: Case, seconds: int, folder: Path, claims: list[measure.Claim], figures: dict[str, object]) -> None:
    source = sources.noise_wav(folder / "in.wav", case.inputs, case.source, seconds)
    targets = {name: folder / f"{name}.raw" for name in ("core", "sox", "ffmpeg", "numpy")}
    contenders: dict[str, Callable[[], measure.Cost]] = {
        "core": lambda: measure.call(lambda: map_by_core(case, source, targets["core"])),
        "numpy": lambda: measure.call(lambda: map_by_numpy(case, source, targets["numpy"])),
        "sox": lambda: measure.run(sox(case, source, targets["sox"])),
        "ffmpeg": lambda: measure.run(ffmpeg(case, source, targets["ffmpeg"])),
    }
    contenders = {name: work for name, work in contenders.items() if name in ("core", "numpy") or shutil.which(name)}
    costs = measure.in_turn(contenders)

    ours = np.memmap(targets["core"], DTYPES[case.target], "r").astype(np.int64)
    for peer in contenders:
        difference = np.abs(ours - np.memmap(targets[peer], DTYPES[case.target], "r"))
        allowed = 0 if peer == "numpy" else case.steps
        assert difference.max() <= allowed, f"{case.name}: {peer} differs by {difference.max()} steps"
    for peer, goal in case.goals.items():
        what = f"{case.name}: {peer} ÷ core"
        if peer not in costs:
            claims.append(measure.not_measured(what, f"≥ {goal:g}", peer))
        else:
            claims.append(measure.at_least(what, measure.ratio(costs[peer], costs["core"]), goal))
    for name, runs in costs.items():
        figures[f"{case.name}: {name}, s"] = min(cost.wall_seconds for cost in runs)
        if name != "core":
            by_cpu = measure.ratio(runs, costs["core"], by="cpu_seconds")
            figures[f"{case.name}: {name} ÷ core by CPU"] = by_cpu


def map_by_core(case: Case, source: Path, target: Path) -> None:
    channel_map = ChannelMap(case.rows)
    with source.open("rb", buffering=0) as pcm, target.open("r+b" if target.exists() else "wb", buffering=0) as out:
        pcm.seek(sources.HEAD_BYTES)
        block = bytearray(BLOCK_FRAMES * case.inputs * np.dtype(DTYPES[case.source]).itemsize)
        while read := pcm.readinto(block):
            out.write(channel_map.apply(memoryview(block)[:read], case.source, case.target))


def map_by_numpy(case: Case, source: Path, target: Path) -> None:
    """The same arithmetic: sums in double precision, rounded half to even, saturated."""
    scale = float(2 ** (8 * (np.dtype(DTYPES[case.target]).itemsize - np.dtype(DTYPES[case.source]).itemsize)))
    gains = np.array(case.rows).T * scale
    copied = [row.index(1.0) for row in case.rows] if case.steps == 0 else None
    bounds = np.iinfo(DTYPES[case.target])
    with source.open("rb", buffering=0) as pcm, target.open("r+b" if target.exists() else "wb", buffering=0) as out:
        pcm.seek(sources.HEAD_BYTES)
        while block := pcm.read(BLOCK_FRAMES * case.inputs * np.dtype(DTYPES[case.source]).itemsize):
            frames: NDArray[np.signedinteger] = np.frombuffer(block, DTYPES[case.source]).reshape(-1, case.inputs)
            if copied is not None:
                out.write(np.ascontiguousarray(frames[:, copied]).data)
                continue
            mixed = np.clip(np.rint(frames @ gains), bounds.min, bounds.max)
            out.write(mixed.astype(DTYPES[case.target]).data)


def sox(case: Case, source: Path, target: Path) -> list[str | Path]:
    mixes = [",".join(f"{channel + 1}v{gain!r}" for channel, gain in enumerate(row) if gain) for row in case.rows]
    bits = str(8 * np.dtype(DTYPES[case.target]).itemsize)
    raw = ["-t", "raw", "-e", "signed-integer", "-b", bits]
    return ["sox", "-V1", "-D", source, *raw, target, "remix", "-m", *mixes]


def ffmpeg(case: Case, source: Path, target: Path) -> list[str | Path]:
    layout = {1: "mono", 2: "stereo"}[len(case.rows)]
    sums = [
        f"c{output}=" + "+".join(f"{gain!r}*c{channel}" for channel, gain in enumerate(row) if gain)
        for output, row in enumerate(case.rows)
    ]
    pan = f"pan={layout}|" + "|".join(sums)
    kind = f"{case.target}le"
    return ["ffmpeg", "-v", "error", "-y", "-i", source, "-af", pan, "-f", kind, "-c:a", f"pcm_{kind}", target]


if __name__ == "__main__":
    main()
