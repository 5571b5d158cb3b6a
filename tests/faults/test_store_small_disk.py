"""A whole spool on a disk of 64 MiB, a recording that goes beyond it, and no network: what is kept, what is told."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.owner.synthetic import COUNTER_KEY
from core_rs import Take, keyed_pcm
from protocol.messages import WavEncoding, Wish
from reelkeeper.faultkit.volume import small_volume, why_no_power_cuts
from tests.agent_room import HEAD_BYTES, AgentRoom, controller_and_room, job_settings, wait_for
from tests.integration.fake_controller import FakeController

MIB = 1 << 20
RATE = 48_000
CHANNELS = 32
"""6 MiB a second: the disk is full within ten seconds."""
WITHOUT_ROOM_SECONDS = 14
"""More than memory holds."""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(why_no_power_cuts() is not None, reason="only root can mount a small disk"),
]


@contextmanager
def node_on(disk: Path, size: int) -> Iterator[tuple[FakeController, AgentRoom]]:
    """A node whose spool, all of it, lies on a small disk."""
    with controller_and_room(0.1) as (controller, room), small_volume(disk, size):
        spool = room.settings.node_folder
        shutil.copytree(spool, disk, dirs_exist_ok=True)
        subprocess.run(["mount", "--bind", disk, spool], check=True)
        try:
            yield controller, room
        finally:
            subprocess.run(["umount", "--lazy", spool], check=True)


def test_recording_beyond_the_disk_without_a_network_keeps_all_that_fitted_and_is_told(tmp_path: Path) -> None:
    with node_on(tmp_path / "disk", 64 * MIB) as (controller, room):
        room.start_agent()
        controller.wait_until("inventory", lambda: controller.inventory)
        first_channel = [[1.0] + [0.0] * (CHANNELS - 1)]
        job = controller.add_job(job_settings("counter-32", channel_map=first_channel, encoding=WavEncoding()))
        controller.wait_for_audio(job, 100_000)
        controller.stop()
        events = room.settings.node_folder / "events"
        wait_for("the alarm", lambda: any('"disk_full"' in path.read_text() for path in events.glob("*.json")), 60)
        time.sleep(WITHOUT_ROOM_SECONDS)
        [folder] = room.settings.takes_folder.glob("[!.]*")
        durable = Take.open(folder).durable_frame
        controller.start()
        controller.wait_until("the alarm", lambda: "disk_full" in {event.kind for event in controller.events}, 30)
        controller.wish(job, Wish.STOP)
        sealed = controller.wait_until("seal", lambda: controller.sealed(job), 60)

        samples = np.frombuffer(bytes(sealed.parts["audio"])[HEAD_BYTES:], "<i4")
        facts = sealed.facts
        is_gap = np.zeros(len(samples), bool)
        for gap in facts.gaps:
            is_gap[gap.start_frame : gap.start_frame + gap.frames] = True
        assert len(samples) == facts.frames
        assert durable > 5 * RATE, "little was kept"
        assert {gap.cause for gap in facts.gaps} <= {"disk_full"}
        assert (~is_gap).sum() >= durable - facts.start_frame
        assert np.array_equal(samples[~is_gap], _delivered(samples, facts.frames)[~is_gap])
        told = {event.kind: event.message for event in controller.events}
        print(f"kept {durable / RATE:.1f} s; {sealed.origin.value}; {[(g.cause, g.frames) for g in facts.gaps]}")
        print("\n".join(f"{kind}: {message}" for kind, message in told.items()))


def _delivered(samples: NDArray[np.int32], frames: int) -> NDArray[np.int32]:
    """What the device delivered from the first frame of the recording on, gaps and all."""
    begin = np.frombuffer(keyed_pcm(0, 120 * RATE, CHANNELS, COUNTER_KEY), "<i4")[::CHANNELS]
    [first] = np.flatnonzero(begin == samples[0])
    found: NDArray[np.int32] = begin[first : first + frames]
    assert len(found) == frames
    return found
