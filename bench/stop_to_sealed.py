"""Stop → verified file in the library, by length of the recording, and the memory of every process.

Records the stereo counter in real time, all lengths at once from one interface; `1 10 60` takes an hour.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, rss_bytes, running

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="*", type=float, default=[0.25, 1.0])
    minutes = sorted(parser.parse_args().minutes)
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    try:
        with running(System(home=home)) as system:
            rows = measure(system, minutes, home)
    finally:
        shutil.rmtree(home)
    print(f"{'minutes':>8} {'stop→sealed s':>14} {'stop→checksum s':>16} {'frames':>12} {'breaks':>7}  RSS in MiB")
    for row in rows:
        memory = "  ".join(f"{name} {size / 2**20:.1f}" for name, size in row["rss_bytes"].items())
        print(
            f"{row['minutes']:8g} {row['sealed_seconds']:14.2f} {row['checksum_seconds']:16.2f}"
            f" {row['frames']:12d} {row['breaks']:7d}  {memory}"
        )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "stop_to_sealed.json").write_text(json.dumps(rows, indent=1))


def measure(system: System, minutes: list[float], folder: Path) -> list[dict[str, object]]:
    recordings = [system.record() for _ in minutes]
    began = time.monotonic()
    rows = []
    for length, recording in zip(minutes, recordings, strict=True):
        time.sleep(max(0.0, began + length * 60 - time.monotonic()))
        memory = memory_of(system)
        stopped = time.monotonic()
        system.stop_recording(recording)
        system.wait_state(recording, "completed", 120)
        sealed = time.monotonic() - stopped
        checksum = system.wait_checksum(recording, 120)
        known = time.monotonic() - stopped
        file = system.download(recording, folder / "download.wav")
        with file.open("rb") as content:
            assert hashlib.file_digest(content, "sha256").hexdigest() == checksum
        numbers = counter_of(file)
        rows.append(
            {
                "minutes": length,
                "sealed_seconds": sealed,
                "checksum_seconds": known,
                "frames": len(numbers),
                "breaks": len(breaks_of(numbers)),
                "gaps": system.ledger(recording)["gaps"],
                "rss_bytes": memory,
            }
        )
        file.unlink()
    return rows


def memory_of(system: System) -> dict[str, int]:
    assert system.controller is not None
    assert system.agent is not None
    return {
        "owner": rss_bytes(system.owners()[0]),
        "renderer": max(rss_bytes(pid) for pid in system.renderers()),
        "agent": rss_bytes(system.agent.pid),
        "controller": rss_bytes(system.controller.pid),
    }


if __name__ == "__main__":
    main()
