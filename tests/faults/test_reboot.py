"""The machine of a node dies in the middle of recordings and starts again: another boot, whose clock begins anew."""

import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.owner.state import list_states
from protocol.messages import EndReason, GapReport, Origin, RecordingFacts, Wish
from tests.agent_room import AgentRoom, controller_and_room, counter_values, job_settings, wait_for

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process another boot"),
]
RATE = 48_000
WINDOW_SECONDS = 25


def boot(folder: Path, name: str, seconds_up: int) -> tuple[str, ...]:
    """Runs a command as if the machine had started so long before it did, under a name of its own."""
    boot_id = folder / name
    boot_id.write_text(f"{name}\n")
    mount = f'mount --bind {boot_id} /proc/sys/kernel/random/boot_id && exec "$@"'
    return ("unshare", "--mount", "--time", "--boottime", str(seconds_up), "sh", "-c", mount, "sh")


def cut_power(room: AgentRoom) -> None:
    """Nothing of the node has time for a word."""
    (owner,) = list_states(room.settings.private_run_folder())
    for pid in (room.agents[-1].pid, owner.process.pid, *room.renderer_pids()):
        os.kill(pid, signal.SIGKILL)
    room.agents[-1].wait()


def test_unfinished_recordings_go_on_after_a_reboot_with_a_gap_by_utc(tmp_path: Path) -> None:
    with controller_and_room() as (controller, room):
        ends_at = datetime.now(UTC) + timedelta(seconds=WINDOW_SECONDS)
        room.start_agent(within=boot(tmp_path, "first", 100_000))
        planned = controller.add_job(job_settings(ends_at=ends_at), ends_in=WINDOW_SECONDS)
        open_ended = controller.add_job(job_settings())
        for job in (planned, open_ended):
            controller.wait_for_audio(job, 300_000)
        cut_power(room)
        cut_at = time.monotonic()
        wait_for("a second to go by", lambda: time.monotonic() - cut_at > 1)
        room.start_agent(within=boot(tmp_path, "second", 50_000))

        sealed = controller.wait_until("the planned end", lambda: controller.sealed(planned), seconds=60)
        assert sealed.origin is Origin.NORMAL
        assert sealed.facts.end_reason is EndReason.PLANNED_END
        assert sealed.facts.frames / RATE < WINDOW_SECONDS + 0.5
        controller.wish(open_ended, Wish.STOP)
        sealed = controller.wait_until("the stop", lambda: controller.sealed(open_ended), seconds=60)
        (gap,) = sealed.facts.gaps
        assert gap.cause == "owner_died"
        assert gap.frames > RATE
        assert gap.uncertainty_frames > 0
        assert (counter_values(sealed.parts["audio"]) == 0).sum() == gap.frames
        assert abs(frames_too_many(sealed.facts, gap)) <= gap.uncertainty_frames
        kinds = [event.kind for event in controller.events if event.job_id == open_ended.job_id]
        assert "capture_died" in kinds


def frames_too_many(facts: RecordingFacts, gap: GapReport) -> float:
    """Between two clock pairs on either side of the gap, by their UTC."""
    before = [pair for pair in facts.clock_pairs if pair.frame <= gap.start_frame][-1]
    after = [pair for pair in facts.clock_pairs if pair.frame >= gap.start_frame + gap.frames][-1]
    return after.frame - before.frame - (after.utc_ns - before.utc_ns) * RATE / 1e9
