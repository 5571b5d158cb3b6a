"""X7: memory over a simulated day: a take that is written, metered, released and rendered, faster than real time.

`--hours H` shortens it. The writer's process is a Python with what an owner loads for its take; the renderer is the
product's own process. Both are looked at every ten minutes of sound.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from agent.files import write_model
from agent.job_folder import JobFolder
from agent.renderer.encoders import encoder_version
from agent.states import RenderTask
from bench import measure
from core_rs import LevelMeter, PcmFormat, TakeWriter, tone_pcm
from protocol.ids import new_id
from protocol.messages import CaptureFormat, EndReason, FlacEncoding

RATE = 48_000
FORMAT = PcmFormat(2, RATE, "s16")
LOOK_SECONDS = 600
MOST_BEHIND_SECONDS = 300
"""The renderer is waited for: what it has not read cannot be released."""
RING_SECONDS = 10
RING_MIB = RING_SECONDS * RATE * FORMAT.frame_bytes / 2**20
FIRST_FRAME_NS = 1_000_000_000


@dataclass
class Seen:
    """What was seen of one process, at each look."""

    rss_mib: list[float] = field(default_factory=list)

    def slope_mib_an_hour(self) -> float:
        """Over the last 80 % of the run, per hour of sound."""
        last = self.rss_mib[len(self.rss_mib) // 5 :]
        hours = [number * LOOK_SECONDS / 3600 for number in range(len(last))]
        return statistics.linear_regression(hours, last).slope if len(last) > 1 else 0.0

    def long_to_short(self) -> float:
        """After ten hours, or at the end of a shorter run, against after ten minutes."""
        return self.rss_mib[min(10 * 3600 // LOOK_SECONDS, len(self.rss_mib)) - 1] / self.rss_mib[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    hours = parser.parse_args().hours
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        began = time.monotonic()
        writer, renderer, ring_seconds, behind_seconds = run(Path(folder), round(hours * 3600))
    owner_mib = max(writer.rss_mib) - RING_MIB
    measure.report(
        "memory",
        [
            measure.at_most("RSS of the writer, MiB an hour of sound", writer.slope_mib_an_hour(), 1.0),
            measure.at_most("RSS of the renderer, MiB an hour of sound", renderer.slope_mib_an_hour(), 1.0),
            measure.at_most("RSS of the writer, 10 h ÷ 10 min", writer.long_to_short(), 1.05),
            measure.at_most("RSS of the renderer, 10 h ÷ 10 min", renderer.long_to_short(), 1.05),
            measure.at_most("most RSS of the writer without its ring, MiB", owner_mib, 64.0),
        ],
        {
            "hours of sound": hours,
            "seconds it took": round(time.monotonic() - began, 1),
            "looks": len(writer.rss_mib),
            "writer, first and most MiB": [writer.rss_mib[0], max(writer.rss_mib)],
            "renderer, first and most MiB": [renderer.rss_mib[0], max(renderer.rss_mib)],
            "most seconds of sound in the ring": ring_seconds,
            "most seconds that the renderer was behind": behind_seconds,
        },
    )


def run(folder: Path, seconds: int) -> tuple[Seen, Seen, float, float]:
    """The writer, the renderer, the most seconds in the ring, and the most that the renderer was behind."""
    take = folder / str(new_id())
    writer = TakeWriter.create(take, FORMAT, facts="{}", flush_interval_ms=500, ring_seconds=RING_SECONDS)
    meter, second_of_sound = LevelMeter(FORMAT), tone_pcm(0, RATE, FORMAT, 440.0, -12.0)
    job = JobFolder(folder / "job")
    job.path.mkdir()
    task = _task(take)
    write_model(job.render, task)
    seen, rendered = Seen(), Seen()
    most_in_ring = most_behind = 0.0
    with _renderer(job) as renderer:
        for second in range(1, seconds + 1):
            while writer.next_frame - writer.durable_frame > RING_SECONDS * RATE // 4:
                time.sleep(0.001)
            meter.push(second_of_sound)
            assert writer.push(second_of_sound, second * FIRST_FRAME_NS) == RATE
            most_in_ring = max(most_in_ring, (writer.next_frame - writer.durable_frame) / RATE)
            if second % 60 == 0:
                meter.levels()
                writer.note_clock(second * FIRST_FRAME_NS, second * FIRST_FRAME_NS)
                behind = _wait_for_renderer(job, second, renderer)
                most_behind = max(most_behind, behind)
                writer.release(int((second - behind - 60) * RATE) if second > behind + 60 else 0)
            if second % LOOK_SECONDS == 0:
                seen.rss_mib.append(_rss_mib(os.getpid()))
                rendered.rss_mib.append(_rss_mib(renderer.pid))
        writer.close("stopped")
        write_model(job.render, task.model_copy(update={"end_frame": seconds * RATE, "end_reason": EndReason.STOPPED}))
        assert renderer.wait() == 0
    rendition = job.read_rendition()
    assert rendition is not None
    assert (rendition.facts.frames, rendition.facts.gaps) == (seconds * RATE, [])
    return seen, rendered, round(most_in_ring, 2), most_behind


@contextmanager
def _renderer(job: JobFolder) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-m", "agent.renderer", str(job.path)]) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def _wait_for_renderer(job: JobFolder, second: int, renderer: "subprocess.Popen[bytes]") -> float:
    """How many seconds it is behind, once that is little enough."""
    while (behind := second - _rendered_seconds(job)) > MOST_BEHIND_SECONDS:
        assert renderer.poll() is None, "the renderer died"
        time.sleep(0.02)
    return behind


def _rendered_seconds(job: JobFolder) -> int:
    """The seek index has an entry for each second that begins in what is rendered."""
    return job.seek.stat().st_size // 16 if job.seek.exists() else 0


def _rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2)


def _task(take: Path) -> RenderTask:
    encoding = FlacEncoding(bits=16)
    return RenderTask(
        recording_id=new_id(),
        take_id=UUID(take.name),
        take_folder=str(take),
        start_frame=0,
        capture=CaptureFormat(channels=2, sample_rate_hz=RATE, sample_type="s16"),
        channel_map=[[1.0, 0.0], [0.0, 1.0]],
        encoding=encoding,
        encoder_version=encoder_version(encoding),
        poll_ms=20,
    )


if __name__ == "__main__":
    main()
