"""One owner as a real process: start, capture, find again, end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.config import Capture, Interface
from agent.owner.handle import (
    Owner,
    OwnerGoneError,
    OwnerRefusedError,
    OwnerStartError,
    attach,
    list_states,
    start_owner,
)
from core_rs import Take, counter_pcm
from tests.owner_room import (
    QUICK,
    Room,
    assert_every_frame_is_accounted_for,
    captured,
    counter_values,
    now_ns,
    room,
    told,
    until,
    wait_for,
)


@pytest.fixture
def place() -> Iterator[Room]:
    with room() as made:
        yield made


def new_recording() -> str:
    return str(uuid.uuid4())


def test_recording_holds_exactly_the_frames_between_start_and_stop(place: Room) -> None:
    async def record() -> None:
        owner = await place.start()
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        await captured(owner, 24_000)
        pressed_ns = now_ns()
        end_frame = await owner.end(recording, boottime_ns=pressed_ns)
        await until("the take to close", owner, lambda status: status.take_id is None)
        take = Take.open(begun.take_folder)
        assert take.marks == {f"start:{recording}": begun.start_frame, f"end:{recording}": end_frame}
        assert take.end
        assert take.end.reason == "no longer needed"
        assert take.end.drained
        assert take.gaps == []
        assert take.verify() == []
        assert_every_frame_is_accounted_for(take)
        first = int(counter_values(take, 0, 1)[0])
        assert take.read(0, end_frame) == counter_pcm(first, end_frame)

    place.run(record())


def test_two_recordings_that_meet_share_one_frame_and_a_third_overlaps(place: Room) -> None:
    async def record() -> None:
        owner = await place.start()
        instant = "2026-05-01T10:00:00.000000Z"
        whole, first, second = new_recording(), new_recording(), new_recording()
        await owner.begin(whole, now_ns())
        await owner.begin(first, now_ns())
        await captured(owner, 9_600)
        seam_ns = now_ns()
        seam = await owner.end(first, boottime_ns=seam_ns, instant=instant)
        begun = await owner.begin(second, seam_ns + 3_000_000, instant)
        await captured(owner, 9_600)
        await owner.end(second)
        await owner.end(whole)
        await owner.disarm("node stopped")
        assert begun.start_frame == seam
        assert_every_frame_is_accounted_for(place.take())

    place.run(record())


def test_sixteen_concurrent_starts_make_one_owner(place: Room) -> None:
    async def start() -> None:
        owners = await asyncio.gather(*(start_owner(place.config()) for _ in range(16)))
        pids = set()
        for owner in owners:
            pids.add((await owner.status()).pid)
            owner.disconnect()
        assert len(pids) == 1
        assert place.owner_pids == list(pids)

    place.run(start())


def test_owner_outlives_its_agent_and_its_process_group(place: Room) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, place.config().to_json()], stdout=subprocess.PIPE, start_new_session=True
    )
    assert agent.stdout
    pid = int(agent.stdout.readline())
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    agent.stdout.close()

    async def find() -> None:
        (state,) = list_states(place.home / "run")
        owner = place.agent_of(await attach(state.folder, QUICK))
        status = await owner.status()
        assert status.pid == pid
        assert status.interface == Interface("synthetic", "counter")
        assert os.getsid(pid) != os.getsid(0)
        await owner.disarm("node stopped")

    place.run(find())


AGENT = """
import asyncio, sys, time
from agent.owner.config import OwnerConfig
from agent.owner.handle import start_owner

async def main():
    owner = await start_owner(OwnerConfig.from_json(sys.argv[1]))
    print((await owner.status()).pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_owner_knows_no_secret_of_its_agent_and_no_heavy_library(place: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELKEEPER_CANARY", "canary-3f9a")

    async def look() -> None:
        owner = await place.start()
        pid = (await owner.status()).pid
        process = Path(f"/proc/{pid}")
        (state,) = list_states(place.home / "run")
        for secret in (b"canary-3f9a", state.token.encode()):
            assert secret not in (process / "environ").read_bytes()
            assert secret not in (process / "cmdline").read_bytes()
        mapped = maps(pid)
        assert "_core.abi3.so" in mapped
        assert "pydantic" not in mapped
        assert "numpy" not in mapped
        assert "sndfile" not in mapped
        opened = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
        assert not [name for name in opened if name.startswith("pipe:")]

    place.run(look())


def test_state_folder_is_private(place: Room) -> None:
    async def look() -> None:
        await place.start()
        folder = place.config().state_folder
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in folder.iterdir()} == {"lock", "state.json", "socket", "log"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())

    place.run(look())


def test_signal_ends_the_owner_with_an_end_mark(place: Room) -> None:
    async def end() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        status = await captured(owner, 9_600)
        os.kill(status.pid, signal.SIGTERM)
        wait_for("the state to go", lambda: not list_states(place.home / "run"))
        wait_for("the owner to end", lambda: not place.owner_pids)
        mark = Take.open(begun.take_folder).end
        assert mark
        assert (mark.reason, mark.drained) == ("node stopped", True)
        with pytest.raises(OwnerGoneError):
            await owner.status()

    place.run(end())


def test_disarm_is_confirmed_repeatable_and_names_its_reason(place: Room) -> None:
    async def end() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        await captured(owner, 4_800)
        await asyncio.gather(owner.disarm("drained for an upgrade"), owner.disarm("another reason"))
        assert place.owner_pids == []
        assert list_states(place.home / "run") == []
        mark = Take.open(begun.take_folder).end
        assert mark
        assert mark.reason == "drained for an upgrade"
        await owner.disarm("once more")

    place.run(end())


def test_next_owner_after_a_disarm_still_knows_what_was_recorded(place: Room) -> None:
    async def record() -> None:
        recording = new_recording()
        owner = await place.start()
        begun = await owner.begin(recording, now_ns())
        await captured(owner, 4_800)
        end_frame = await owner.end(recording)
        await owner.disarm("node stopped")
        follower = await place.start()
        assert await follower.begin(recording, now_ns()) == begun
        assert await follower.end(recording) == end_frame
        assert (await follower.status()).take_id is None

    place.run(record())


def test_second_agent_is_refused_until_the_first_lets_go(place: Room) -> None:
    async def contend() -> None:
        first = await place.start()
        await first.status()
        second = place.agent_of(Owner(first.state_folder, replace(QUICK, owner_request=0.3)))
        with pytest.raises(Exception, match="in time"):
            await second.status()
        first.disconnect()
        third = place.agent_of(Owner(first.state_folder, QUICK))
        assert (await third.status()).pid == place.owner_pids[0]

    place.run(contend())


def test_start_that_cannot_work_fails_in_words_and_leaves_nothing_running(place: Room) -> None:
    async def start() -> None:
        config = place.config()
        with pytest.raises(OwnerStartError, match="no synthetic input") as gone:
            await start_owner(replace(config, interface=Interface("synthetic", "default")))
        assert gone.value.code == "device_gone"
        with pytest.raises(OwnerStartError) as refused:
            await start_owner(replace(config, capture=Capture(64, 48_000, "s16")))
        assert refused.value.code == "format_refused"
        with pytest.raises(OwnerStartError):
            await start_owner(replace(config, run_folder=place.home / "missing"))
        assert place.owner_pids == []
        assert list_states(place.home / "run") == []

    place.run(start())


def test_state_that_cannot_be_written_fails_the_start(place: Room) -> None:
    async def start() -> None:
        (place.config().state_folder / "state.json").mkdir(parents=True, mode=0o700)
        place.config().state_folder.chmod(0o700)
        with pytest.raises(OwnerStartError) as failure:
            await place.start()
        assert failure.value.code == "owner_failed"
        assert place.owner_pids == []
        assert not (place.home / "synthetic").exists(), "the device was opened"

    place.run(start())


def test_refusals_are_answers(place: Room) -> None:
    async def ask() -> None:
        owner = await place.start()
        with pytest.raises(OwnerRefusedError) as unknown:
            await owner.end(new_recording())
        assert unknown.value.code == "unknown_recording"
        with pytest.raises(OwnerRefusedError) as closed:
            await owner.release(new_recording(), 5)
        assert closed.value.code == "take_closed"
        with pytest.raises(OwnerRefusedError) as invalid:
            await owner.begin("", now_ns())
        assert invalid.value.code == "invalid"

    place.run(ask())


def test_speech_is_captured_without_a_codec_in_the_owner(place: Room) -> None:
    async def record() -> None:
        owner = await place.start(place.config("speech"))
        await owner.begin(new_recording(), now_ns())
        status = await captured(owner, 48_000)
        assert "sndfile" not in maps(status.pid)
        assert status.take_folder
        assert json.loads(Take.open(status.take_folder).facts)["name"] == "speech"

    place.run(record())


def test_32_channels_are_captured_in_little_memory(place: Room) -> None:
    async def record() -> None:
        owner = await place.start(place.config("counter-32"))
        await owner.begin(new_recording(), now_ns())
        status = await captured(owner, 96_000)
        assert resident_mib(status.pid) < 96
        while not (levels := await owner.levels()):  # empty when nothing came since the last asking
            pass
        assert len(levels) == 32

    place.run(record())


def test_owner_meters_without_writing_anything_and_from_the_same_capture_while_it_records(place: Room) -> None:
    async def watch() -> None:
        owner = await place.start(place.config("tone"))
        assert await heard(owner) == [(-18, -21)] * 2
        assert not (place.home / "takes").exists()
        await owner.begin(new_recording(), now_ns())
        assert await heard(owner) == [(-18, -21)] * 2
        assert (await owner.status()).pid == place.owner_pids[0]

    place.run(watch())


def test_owner_that_delivers_nothing_gives_no_levels_rather_than_silence(place: Room) -> None:
    async def watch() -> None:
        owner = await place.start(place.config("tone"))
        await heard(owner)
        await owner.hook("stall", 60)
        await until("the stall", owner, lambda status: status.device != "capturing")
        await owner.levels()  # what came before the stall
        assert await owner.levels() == []

    place.run(watch())


def test_owner_retires_only_when_nothing_is_recorded(place: Room) -> None:
    async def retire() -> None:
        owner = await place.start()
        recording = new_recording()
        await owner.begin(recording, now_ns())
        assert not await owner.retire("nobody needs it")
        await owner.end(recording)
        await until("the take to close", owner, lambda status: status.take_id is None)
        assert await owner.retire("nobody needs it")
        assert place.owner_pids == []
        assert list_states(place.home / "run") == []

    place.run(retire())


def test_owner_of_a_stereo_input_stays_below_64_mib(place: Room) -> None:
    async def record() -> None:
        owner = await place.start()
        await owner.begin(new_recording(), now_ns())
        status = await captured(owner, 48_000)
        assert resident_mib(status.pid) < 64

    place.run(record())


async def heard(owner: Owner) -> list[tuple[int, int]]:
    """Peak and RMS of each channel, once there are any."""
    while not (levels := await owner.levels()):
        pass
    return [(round(level.peak_dbfs or 0), round(level.rms_dbfs or 0)) for level in levels]


def maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def resident_mib(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_input_can_be_broken_while_its_agent_is_in_control(place: Room) -> None:
    async def break_it() -> None:
        agent = await place.start()
        await agent.begin(new_recording(), now_ns())
        await captured(agent, 4_800)
        await place.agent_of(Owner(agent.state_folder, QUICK)).hook("overrun", 777)
        await until("the overrun", agent, lambda status: [each.kind for each in told(status)] == ["device_overrun"])

    place.run(break_it())
