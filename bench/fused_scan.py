"""X1: SHA-256 and waveform of a file in one pass, against openssl, sha256sum and audiowaveform."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import measure, sources
from core_rs import scan_wav, sha256_file

if TYPE_CHECKING:
    from core_rs import SampleType

FRAMES_PER_BIN = 512
AUDIOWAVEFORM_CHANNELS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 h of stereo and 10 min of 32 channels")
    full = parser.parse_args().full
    claims: list[measure.Claim] = []
    figures: dict[str, object] = {}
    files: list[tuple[int, SampleType, int]] = [(2, "s16", 3600 if full else 600), (32, "s32", 600 if full else 20)]
    for channels, sample_type, seconds in files:
        with tempfile.TemporaryDirectory() as folder:
            path = sources.noise_wav(Path(folder) / "noise.wav", channels, sample_type, seconds)
            compare(path, channels, sample_type, claims, figures)
    measure.report("fused_scan", claims, figures)


def compare(
    path: Path,
    channels: int,
    sample_type: SampleType,
    claims: list[measure.Claim],
    figures: dict[str, object],
) -> None:
    name = f"{channels} ch {sample_type}"
    drawn_elsewhere = path.with_suffix(".dat")
    contenders = {
        "scan": lambda: measure.call(lambda: scan_wav(path, frames_per_bin=FRAMES_PER_BIN)),
        "digest": lambda: measure.call(lambda: sha256_file(path)),
        "hashlib": lambda: measure.call(lambda: file_digest(path)),
        "openssl": lambda: measure.run(["openssl", "dgst", "-sha256", path]),
        "sha256sum": lambda: measure.run(["sha256sum", path]),
    }
    has_audiowaveform = shutil.which("audiowaveform") is not None and channels <= AUDIOWAVEFORM_CHANNELS
    if has_audiowaveform:
        contenders["audiowaveform"] = lambda: measure.run(audiowaveform(path, drawn_elsewhere))
    costs = measure.in_turn(contenders)

    scan = scan_wav(path, frames_per_bin=FRAMES_PER_BIN)
    assert scan.sha256 == file_digest(path)
    assert scan.waveform == dat_by_numpy(path, channels, sample_type), "the waveform is not that of its layout"
    claims.append(measure.at_most(f"{name}: scan ÷ openssl", measure.ratio(costs["scan"], costs["openssl"]), 1.1))
    claims.append(measure.at_most(f"{name}: scan ÷ digest alone", measure.ratio(costs["scan"], costs["digest"]), 1.15))
    for peer, goal in (("openssl", 3.0), ("sha256sum", 6.0)):
        what = f"{name}: (audiowaveform + {peer}) ÷ scan"
        if not has_audiowaveform:
            claims.append(measure.not_measured(what, f"≥ {goal:g}", "audiowaveform"))
            continue
        assert scan.waveform == drawn_elsewhere.read_bytes(), "the waveform is not that of audiowaveform"
        rounds = zip(costs["audiowaveform"], costs[peer], strict=True)
        both = [measure.Cost(a.wall_seconds + b.wall_seconds, a.cpu_seconds + b.cpu_seconds) for a, b in rounds]
        claims.append(measure.at_least(what, measure.ratio(both, costs["scan"]), goal))
    for contender, runs in costs.items():
        figures[f"{name}: {contender}, GB/s"] = scan.bytes / 1e9 / min(cost.wall_seconds for cost in runs)


def audiowaveform(path: Path, target: Path) -> list[str | Path]:
    options = ["--split-channels", "-b", "8", "-z", str(FRAMES_PER_BIN)]
    return ["audiowaveform", "-i", path, "-o", target, *options]


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dat_by_numpy(path: Path, channels: int, sample_type: SampleType) -> bytes:
    """A `.dat` file by its published layout; integers only."""
    samples = np.memmap(path, {"s16": "<i2", "s32": "<i4"}[sample_type], "r", sources.HEAD_BYTES)
    frames = samples.reshape(-1, channels)
    starts = np.arange(0, len(frames), FRAMES_PER_BIN)
    extremes = (np.minimum.reduceat(frames, starts), np.maximum.reduceat(frames, starts))
    shift = 0 if sample_type == "s16" else 16
    pairs = np.stack([np.trunc((extreme >> shift) / 256) for extreme in extremes], axis=-1).astype(np.int8)
    return struct.pack("<6I", 2, 1, sources.SAMPLE_RATE_HZ, FRAMES_PER_BIN, len(starts), channels) + pairs.tobytes()


if __name__ == "__main__":
    main()
