"""X5: integrated loudness (R 128) of a file, against ffmpeg's ebur128."""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench import measure, sources
from core_rs import scan_wav


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="1 h of stereo instead of 5 min")
    seconds = 3600 if parser.parse_args().full else 300
    with tempfile.TemporaryDirectory() as folder:
        compare(sources.noise_wav(Path(folder) / "noise.wav", 2, "s16", seconds))


def compare(path: Path) -> None:
    faster, nearer = "ffmpeg ebur128 ÷ scan with loudness", "difference, LU"
    ours = scan_wav(path, loudness=True).integrated_lufs
    assert ours is not None
    contenders = {
        "scan with loudness": lambda: measure.call(lambda: scan_wav(path, loudness=True)),
        "scan": lambda: measure.call(lambda: scan_wav(path)),
    }
    if shutil.which("ffmpeg"):
        contenders["ffmpeg"] = lambda: measure.run(ebur128(path))
    costs = measure.in_turn(contenders)
    if "ffmpeg" in costs:
        claims = [
            measure.at_least(faster, measure.ratio(costs["ffmpeg"], costs["scan with loudness"]), 6.0),
            measure.at_most(nearer, abs(ours - lufs_of_ffmpeg(path)), 0.1),
        ]
    else:
        claims = [measure.not_measured(faster, "≥ 6", "ffmpeg"), measure.not_measured(nearer, "≤ 0.1", "ffmpeg")]
    figures: dict[str, object] = {f"{name}, s": min(c.wall_seconds for c in runs) for name, runs in costs.items()}
    if "ffmpeg" in costs:
        pairs = zip(costs["scan with loudness"], costs["scan"], strict=True)
        added = [measure.Cost(a.wall_seconds - b.wall_seconds, a.cpu_seconds - b.cpu_seconds) for a, b in pairs]
        name = "ffmpeg ebur128 ÷ what loudness adds to a scan, by CPU"
        figures[name] = measure.ratio(costs["ffmpeg"], added, by="cpu_seconds")
    measure.report("loudness", claims, figures)


def ebur128(path: Path) -> list[str | Path]:
    return ["ffmpeg", "-nostats", "-i", path, "-filter_complex", "ebur128", "-f", "null", "-"]


def lufs_of_ffmpeg(path: Path) -> float:
    report = subprocess.run(list(map(str, ebur128(path))), capture_output=True, text=True, check=True).stderr
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", report)[-1])


if __name__ == "__main__":
    main()
