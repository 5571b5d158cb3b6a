"""X8: stop → playable in the library, by length of the recording, hours of which are made faster than real time.

The take of a running recording is replaced by one that was written before, as if the capture had begun hours ago;
owner, renderer and upload take it over as after a crash. Once they have caught up with what is heard now, the stop is
measured. `1 60 600` are the lengths of the claim, in minutes.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

import soundfile

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import measure
from core_rs import Take, TakeWriter
from reelkeeper.faultkit.system import System, running, wait_for
from tests import profiles

ROOT = Path(__file__).parents[1]
INTERFACE = "speech"
PROFILES = {"mp3": profiles.VOICE, "flac": profiles.FLAC_16, "wav": profiles.WAV}
GOAL_SECONDS = 2.0
GOAL_RATIO = 1.5
BEHIND_SECONDS = 2.0
SETTLE_SECONDS = 5.0
_RING_SECONDS = 120
_PUSH_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="*", type=float, default=[1.0, 10.0])
    parser.add_argument("--codec", choices=[*PROFILES], default="mp3")
    parser.add_argument("--stops", type=int, default=3, help="recordings of each length")
    asked = parser.parse_args()
    seconds = {minutes: stops_of(minutes, asked.codec, asked.stops) for minutes in sorted(asked.minutes)}
    medians = {minutes: statistics.median(found) for minutes, found in seconds.items()}
    shortest, longest = min(medians), max(medians)
    claims = [
        *(
            measure.at_most(f"{minutes:g} min {asked.codec}: seconds", medians[minutes], GOAL_SECONDS)
            for minutes in medians
        ),
        measure.at_most(f"{longest:g} min ÷ {shortest:g} min", medians[longest] / medians[shortest], GOAL_RATIO),
    ]
    figures = {f"{minutes:g} min, each": json.dumps([round(one, 2) for one in seconds[minutes]]) for minutes in seconds}
    measure.report(f"stop_to_playable_{asked.codec}", claims, figures)


def stops_of(minutes: float, codec: str, stops: int) -> list[float]:
    """Seconds from the stop to the sealed file. The recordings run side by side, and are stopped one by one."""
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    try:
        with running(System(home=home)) as system:
            recordings = [system.record(INTERFACE, profile=PROFILES[codec]) for _ in range(stops)]
            for recording in recordings:
                system.wait_capturing(recording, 48_000)
            begin_earlier(system, recordings, minutes * 60)
            for recording in recordings:
                wait_for("renderer and upload to catch up", lambda one=recording: has_caught_up(system, one), 3600)
            time.sleep(SETTLE_SECONDS)
            return [stop(system, recording, minutes) for recording in recordings]
    finally:
        shutil.rmtree(home)


def stop(system: System, recording: str, minutes: float) -> float:
    stopped = time.monotonic()
    system.stop_recording(recording)
    found = system.wait_state(recording, "completed", 600)
    seconds = time.monotonic() - stopped
    assert found["duration_ms"] >= minutes * 60_000 - 3_000, found
    return seconds


def begin_earlier(system: System, recordings: list[str], seconds: float) -> None:
    """Makes it so that the capture began that long ago."""
    folders = [system.job_folder(recording) for recording in recordings]
    take = Path(json.loads((folders[0] / "render.json").read_text())["take_folder"])
    longer = take.with_name(take.name + ".longer")
    write_take(longer, Take.open(take), seconds)
    assert system.agent is not None
    system.agent.send_signal(signal.SIGKILL)
    system.agent.wait()
    for pid in [*system.renderers(), *system.owners()]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for("renderers and owner to end", lambda: not (system.renderers() or system.owners()))
    shutil.rmtree(take)
    longer.rename(take)
    for folder in folders:  # what was rendered is of another take: as after a change of the encoder
        task = json.loads((folder / "render.json").read_text())
        (folder / "render.json").write_text(json.dumps(task | {"encoder_version": "another"}))
    system.start_agent()


def write_take(folder: Path, like: Take, seconds: float) -> None:
    """A take of speech that ends now and has no end mark, with the marks of another."""
    rate = like.format.sample_rate_hz
    speech, _ = soundfile.read(ROOT / "agent" / "owner" / "speech.flac", dtype="int16", frames=_PUSH_SECONDS * rate)
    writer = TakeWriter.create(
        folder, like.format, facts=like.facts, ring_seconds=_RING_SECONDS, flush_interval_ms=50, waveform=False
    )
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - round(seconds * 1e9)
    frame, wanted = 0, round(seconds * rate)
    pcm = speech.tobytes()
    while frame < wanted:
        wait_for("the disk", lambda: writer.next_frame - writer.durable_frame < _RING_SECONDS * rate // 2)
        count = min(len(speech), wanted - frame)
        taken = writer.push(pcm[: count * 2], began_ns + frame * 1_000_000_000 // rate)
        assert taken == count
        frame += count
    for name, at in like.marks.items():
        writer.mark(name, at)
    wait_for("the take to be durable", lambda: writer.durable_frame >= wanted)


def has_caught_up(system: System, recording: str) -> bool:
    """Whether all but the newest seconds are drawn, and what is encoded is at the controller."""
    folder = system.job_folder(recording)
    state = system.spooled_job(recording)
    if not (folder / "waveform.dat").exists() or state.get("cache_file_id") is None:
        return False
    take = Take.open(json.loads((folder / "render.json").read_text())["take_folder"])
    drawn = ((folder / "waveform.dat").stat().st_size - 24) // 2 * 512
    part = system.home / "cache" / "incoming" / str(UUID(state["cache_file_id"])) / "audio"
    behind = take.durable_frame - state["start_frame"] - drawn
    sent = part.stat().st_size if part.exists() else 0
    audio = next(folder.glob("audio*"))
    return behind < BEHIND_SECONDS * 48_000 and audio.stat().st_size - sent < 256 * 1024


if __name__ == "__main__":
    main()
