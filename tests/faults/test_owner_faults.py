"""Owners that are killed, stopped, starved and lied to. The ledger must agree with the counter to the frame."""

import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from agent.owner.handle import (
    Begun,
    Owner,
    OwnerError,
    OwnerGoneError,
    OwnerUnresponsiveError,
    attach,
    start_owner,
)
from agent.owner.paced import BUFFER_SECONDS
from agent.owner.socket import LENGTH_BYTES, MOST_FRAME_BYTES, encode
from agent.owner.state import OwnerState, Process, read_state, write_state
from core_rs import Take
from reelkeeper.faultkit.volume import small_volume
from tests.owner_room import (
    QUICK,
    Room,
    assert_every_frame_is_accounted_for,
    captured,
    counter_values,
    gap_list,
    now_ns,
    room,
    told,
    until,
    wait_for,
)

T = TypeVar("T")
HANG_SECONDS = 30


@pytest.fixture
def place() -> Iterator[Room]:
    with room() as made:
        yield made


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """Takes find no room for audio on it, only for their ledgers, until its file `ballast` goes."""
    with small_volume(tmp_path / "disk", 4 << 20) as disk:
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - (264 << 10)))
        yield disk


def new_recording() -> str:
    return str(uuid.uuid4())


def kill(pid: int) -> None:
    process = Process.of(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(f"{pid} to end", lambda: process is None or not process.is_alive())


def is_alone(place: Room, pid: int) -> bool:
    return place.owner_pids == [pid]


def thread_count(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def sleeping_process() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"])


def launch(place: Room) -> subprocess.Popen[bytes]:
    """What an agent runs to start an owner."""
    command = (sys.executable, "-m", "agent.owner")
    launcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
    assert launcher.stdin
    launcher.stdin.write(place.config().to_json().encode())
    launcher.stdin.close()
    return launcher


# ---- the capture process dies or stands still ----


def test_killed_owner_is_followed_with_one_gap_as_long_as_the_loss(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        before = await captured(owner, 24_000)
        kill(before.pid)
        with pytest.raises(OwnerGoneError):
            await owner.status()
        follower = await place.start()
        status = await captured(follower, 24_000)
        assert status.pid != before.pid
        assert (status.take_id, status.needs) == (begun.take_id, [recording])
        assert await follower.begin(recording, now_ns()) == begun
        died, returned = told(await until("the news", follower, lambda status: len(told(status)) == 2))
        assert (died.kind, died.lasts, returned.kind) == ("capture_died", False, "device_returned")
        end_frame = await follower.end(recording)
        await follower.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert [cause for cause, _, _ in gap_list(take)] == ["owner_died"]
        assert take.gaps[0].start_frame >= before.durable_frame, "a durable frame was lost"
        assert take.marks[f"end:{recording}"] == end_frame
        assert_every_frame_is_accounted_for(take)
        assert take.verify() == []

    place.run(break_it())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_killed_owner_whose_spill_disk_is_away_is_followed_in_the_same_take(
    full_disk: Path, place: Room, tmp_path: Path
) -> None:
    spill, away = tmp_path / "spill", tmp_path / "away"
    config = replace(place.config(), takes_folder=full_disk, spill_folders=(spill,))

    async def break_it() -> None:
        spill.mkdir()
        owner = await place.start(config)
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        await captured(owner, 24_000)
        (full_disk / "ballast").unlink()
        spill.rename(away)
        before = await captured(owner, 24_000)
        kill(before.pid)
        follower = await place.start(config)
        status = await captured(follower, 24_000)
        assert (status.take_id, status.needs) == (begun.take_id, [recording])
        await follower.disarm("node stopped")
        away.rename(spill)
        take = Take.open(begun.take_folder)
        assert [Path(segment.path).parents[1] for segment in take.segments] == [spill, full_disk]
        (gap,) = take.gaps
        assert gap.cause == "owner_died"
        assert gap.start_frame > before.durable_frame - 48_000, "more than a second was lost"
        heard = counter_values(take, 0, gap.start_frame)
        heard_later = counter_values(take, gap.start_frame + gap.frames, take.durable_frame)
        for values in (heard, heard_later):
            assert (values[1:] - values[:-1] == 1).all()
        assert abs(gap.frames - (heard_later[0] - heard[-1] - 1)) <= 1

    place.run(break_it())


def test_owner_killed_again_and_again_accounts_for_every_frame(place: Room) -> None:
    async def break_it() -> None:
        chance = random.Random(4)
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        for _ in range(5):
            await captured(owner, chance.randrange(1, 20_000))
            kill((await owner.status()).pid)
            owner = await place.start()
        await captured(owner, 4_800)
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert len(take.gaps) == 5
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_answers_stay_true_while_owners_are_killed_at_random_moments(place: Room) -> None:
    chance = random.Random(2)
    begun: dict[str, Begun] = {}
    ended: dict[str, int] = {}

    async def asked(ask: Callable[[Owner], Awaitable[T]]) -> T:
        while True:
            try:
                owner = await place.start()
                try:
                    return await ask(owner)
                finally:
                    owner.disconnect()
            except OwnerError as error:
                if not error.retry_helps:
                    raise

    async def kill_eight_times() -> None:
        for _ in range(8):
            await asyncio.sleep(chance.uniform(0.02, 0.6))
            for pid in set(place.owner_pids) - {os.getpid()}:
                os.kill(pid, signal.SIGKILL)

    async def break_it() -> None:
        killer = asyncio.create_task(kill_eight_times())
        while not killer.done() or begun.keys() != ended.keys():
            running = sorted(begun.keys() - ended.keys())
            if not killer.done() and (not running or chance.random() < 0.5):
                recording = new_recording()
                begun[recording] = await asked(partial(Owner.begin, recording_id=recording, boottime_ns=now_ns()))
            else:
                recording = chance.choice(running)
                ended[recording] = await asked(partial(Owner.end, recording_id=recording))
            known = chance.choice(sorted(begun))
            assert await asked(partial(Owner.begin, recording_id=known, boottime_ns=now_ns())) == begun[known]
        await killer
        await asked(partial(Owner.disarm, reason="node stopped"))
        for folder in {each.take_folder for each in begun.values()}:
            take = Take.open(folder)
            assert_every_frame_is_accounted_for(take)
            # What was never flushed is torn off by a kill, and named.
            assert [fault for fault in take.verify() if not fault.endswith("moved aside")] == []
            mine = {recording for recording, each in begun.items() if each.take_folder == folder}
            assert {recording: take.marks[f"start:{recording}"] for recording in mine} == {
                recording: begun[recording].start_frame for recording in mine
            }
            assert {
                take.marks.get(f"end:{recording}", take.durable_frame) - ended[recording] for recording in mine
            } == {0}

    place.run(break_it())


def test_owner_goes_on_even_when_its_run_folder_is_gone(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        kill((await captured(owner, 9_600)).pid)
        shutil.rmtree(owner.state_folder)
        follower = await place.start()
        assert await follower.begin(recording, now_ns()) == begun
        await captured(follower, 4_800)
        await follower.disarm("node stopped")
        assert_every_frame_is_accounted_for(Take.open(begun.take_folder))

    place.run(break_it())


def test_take_that_nobody_needs_is_closed_by_the_next_owner(place: Room) -> None:
    async def break_it() -> None:
        slow_to_close = place.config(timeouts=replace(QUICK, take_linger=60))
        owner = await place.start(slow_to_close)
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        await captured(owner, 9_600)
        end_frame = await owner.end(recording)
        status = await until(
            "the need to end", owner, lambda status: not status.needs and status.durable_frame > end_frame
        )
        kill(status.pid)
        follower = await place.start(slow_to_close)
        assert (await follower.status()).take_id is None
        take = Take.open(begun.take_folder)
        assert take.end
        assert take.end.reason == "capture died"
        assert take.end.end_frame >= end_frame
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


@pytest.mark.parametrize("seconds", [0.5, 3.5])
def test_stopped_owner_counts_what_the_device_could_not_hold(place: Room, seconds: float) -> None:
    async def break_it() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        pid = (await captured(owner, 9_600)).pid
        stopped_at = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(OwnerUnresponsiveError):
            async with asyncio.timeout(30):
                await place.agent_of(Owner(owner.state_folder, replace(QUICK, owner_request=seconds))).status()
        os.kill(pid, signal.SIGCONT)
        await captured(owner, 9_600)
        held_up = time.monotonic() - stopped_at - seconds
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        causes = [cause for cause, _, _ in gap_list(take)]
        # A test that was held up itself has stopped it for longer than it meant to.
        assert causes == (["overrun"] if seconds > BUFFER_SECONDS else []) or held_up > BUFFER_SECONDS - seconds > 0
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_death_of_an_owner_is_heard_without_asking_it(place: Room) -> None:
    async def listen() -> None:
        owner, ended = await place.start(), asyncio.Event()
        owner.on_end(ended.set)
        pid = (await owner.status()).pid
        await asyncio.sleep(0.05)
        assert not ended.is_set()
        os.kill(pid, signal.SIGKILL)
        await ended.wait()
        dead = asyncio.Event()
        owner.on_end(dead.set)
        await dead.wait()

    place.run(listen())


# ---- the device ----


@pytest.mark.first_reliable_recording_baseline
@pytest.mark.parametrize(
    ("hook", "value", "causes"),
    [
        ("overrun", 777, ["overrun"]),
        ("stall", 0.3, []),
        ("stall", 2.5, ["device_stalled"]),
        ("disconnect", 2.0, ["device_lost"]),
    ],
)
def test_fault_of_the_device_is_a_gap_of_exactly_its_length(
    place: Room, hook: str, value: float, causes: list[str]
) -> None:
    async def break_it() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        await captured(owner, 9_600)
        await owner.hook(hook, value)
        await captured(owner, int(value * 48_000) + 9_600 if value < 10 else 9_600)
        kinds = {
            "overrun": ["device_overrun"],
            "disconnect": ["device_lost", "device_returned"],
            "stall": ["device_stalled", "device_step", "device_returned"] if causes else [],
        }
        await until("the device to be back", owner, lambda status: [e.kind for e in told(status)] == kinds[hook])
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert [cause for cause, _, _ in gap_list(take)] == causes
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_stream_that_only_another_process_cures_is_one_condition_over_both(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        before = await captured(owner, 9_600)
        await owner.hook("wedge", 3)
        lost = told(await until("the loss", owner, lambda status: status.device == "stalled"))[0]
        wait_for("the owner to give up", lambda: before.pid not in place.owner_pids, 30)
        follower = await place.start()
        status = await until("the return", follower, lambda status: len(told(status)) == 2)
        stalled, returned = told(status)
        assert (stalled.id, stalled.kind, stalled.began_ns) == (lost.id, "device_stalled", lost.began_ns)
        assert stalled.ended_ns == returned.began_ns
        assert "another capture process opened it" in returned.message
        await captured(follower, 9_600)
        await follower.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert [cause for cause, _, _ in gap_list(take)] == ["device_stalled"]
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_storm_of_overruns_is_counted_to_the_frame(place: Room) -> None:
    async def break_it() -> None:
        chance = random.Random(17)
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        await captured(owner, 4_800)
        lost = [chance.randrange(1, 500) for _ in range(40)]
        for frames in lost:
            await owner.hook("overrun", frames)
            await asyncio.sleep(0.01)
        await captured(owner, sum(lost) + 4_800)
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert sum(gap.frames for gap in take.gaps) == sum(lost)
        assert {(gap.cause, gap.uncertainty_frames) for gap in take.gaps} == {("overrun", 0)}
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_start_on_a_lost_device_is_refused_and_nothing_is_begun(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        await owner.hook("disconnect", 60)
        await until("the loss", owner, lambda status: status.device == "lost")
        recording = new_recording()
        with pytest.raises(Exception, match="delivers nothing"):
            await owner.begin(recording, now_ns())
        await owner.hook("disconnect", 0)
        await until("the return", owner, lambda status: status.device == "capturing")
        assert (await owner.begin(recording, now_ns())).start_frame == 0

    place.run(break_it())


def test_recording_that_is_stopped_while_its_device_is_gone_becomes_durable_to_its_end(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start(place.config(timeouts=replace(QUICK, take_linger=60)))
        recording = new_recording()
        begun = await owner.begin(recording, now_ns())
        await captured(owner, 9_600)
        await owner.hook("disconnect", 30)
        await until("the loss", owner, lambda status: status.device == "lost")
        end_frame = await owner.end(recording)
        await until("the end to be durable", owner, lambda status: status.durable_frame >= end_frame)
        await owner.disarm("node stopped")
        take = Take.open(begun.take_folder)
        assert {gap.cause for gap in take.gaps} == {"device_lost"}
        assert_every_frame_is_accounted_for(take)

    place.run(break_it())


def test_hanging_device_holds_up_neither_its_own_stop_nor_another_interface(place: Room) -> None:
    async def break_it() -> None:
        hanging, healthy = await place.start(), await place.start(place.config("tone"))
        recordings = new_recording(), new_recording()
        begun = await hanging.begin(recordings[0], now_ns())
        await healthy.begin(recordings[1], now_ns())
        await captured(hanging, 9_600)
        await hanging.hook("hang", HANG_SECONDS)
        await hanging.hook("disconnect", HANG_SECONDS)
        await until("the loss", hanging, lambda status: status.device == "lost")
        asked_at = time.monotonic()
        await healthy.end(recordings[1])
        end_frame = await hanging.end(recordings[0])
        assert time.monotonic() - asked_at < HANG_SECONDS / 2
        await hanging.disarm("node stopped")
        assert time.monotonic() - asked_at < HANG_SECONDS
        take = Take.open(begun.take_folder)
        assert take.end
        assert take.marks[f"end:{recordings[0]}"] == end_frame

    place.run(break_it())


# ---- ends that meet ----


def test_stop_limit_signal_and_disarm_at_once_close_the_take_once(place: Room) -> None:
    async def break_it() -> None:
        for turn in range(6):
            owner = await place.start()
            recording = new_recording()
            begun = await owner.begin(recording, now_ns())
            pid = (await captured(owner, 2_000)).pid
            os.kill(pid, signal.SIGTERM) if turn % 2 else None
            ends = await asyncio.gather(
                owner.end(recording),
                owner.disarm("disarmed"),
                place.agent_of(Owner(owner.state_folder, QUICK)).disarm("disarmed by another"),
                return_exceptions=True,
            )
            if not turn % 2:
                assert not isinstance(ends[1], BaseException)
            wait_for("the owner to end", lambda: not place.owner_pids)
            ledger = (begun.take_folder / "ledger").read_text()
            take = Take.open(begun.take_folder)
            assert take.end
            assert take.end.reason in {"node stopped", "disarmed", "disarmed by another"}
            assert ledger.count(take.end.reason) == 1
            assert place.config().state_folder.joinpath("state.json").exists() is False

    place.run(break_it())


def test_owner_that_does_not_end_is_killed_with_its_whole_group(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start(place.config(timeouts=replace(QUICK, owner_drain=0.5, owner_request=0.5)))
        pid = (await owner.status()).pid
        os.kill(pid, signal.SIGSTOP)
        await place.agent_of(Owner(owner.state_folder, replace(QUICK, owner_drain=0.3, owner_request=0.3))).disarm(
            "node stopped"
        )
        wait_for("its group to end", lambda: place.owner_pids == [])
        assert read_state(owner.state_folder) is None

    place.run(break_it())


# ---- what lies on disk is not what it seems ----


def test_state_of_a_dead_owner_is_cleaned_up_by_a_disarm(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        kill((await owner.status()).pid)
        await owner.disarm("node stopped")
        assert read_state(owner.state_folder) is None
        await owner.disarm("node stopped")

    place.run(break_it())


def test_foreign_process_in_the_state_is_neither_adopted_nor_killed(place: Room) -> None:
    async def break_it() -> None:
        folder = place.config().state_folder
        folder.mkdir(mode=0o700)
        foreign = sleeping_process()
        try:
            process = Process.of(foreign.pid)
            assert process
            config = place.config()
            write_state(
                OwnerState(folder, process, "token", config.interface, config.capture)  # type: ignore[arg-type]
            )
            with pytest.raises(OwnerGoneError):
                await attach(folder, QUICK)
            owner = await place.start()
            assert (await owner.status()).pid != foreign.pid
            kill((await owner.status()).pid)
            write_state(
                OwnerState(folder, process, "token", config.interface, config.capture)  # type: ignore[arg-type]
            )
            await owner.disarm("node stopped")
            assert foreign.poll() is None
        finally:
            foreign.kill()
            foreign.wait()

    place.run(break_it())


def test_owner_whose_lock_file_was_removed_is_not_doubled(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        pid = (await owner.status()).pid
        owner.disconnect()
        (owner.state_folder / "lock").unlink()
        (owner.state_folder / "socket").unlink()
        with pytest.raises((OwnerUnresponsiveError, OwnerGoneError)):
            await asyncio.wait_for(start_owner(place.config(timeouts=replace(QUICK, owner_start=1.0))), 60)
        wait_for("the other one to end", lambda: place.owner_pids == [pid])

    place.run(break_it())


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 70_000, b'{"process": {"pid": 1}}'])
def test_damaged_state_of_a_dead_owner_does_not_stop_the_next(place: Room, content: bytes) -> None:
    async def break_it() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        kill((await captured(owner, 4_800)).pid)
        (owner.state_folder / "state.json").write_bytes(content)
        follower = await place.start()
        assert (await captured(follower, 4_800)).take_id == begun.take_id

    place.run(break_it())


def test_agent_that_dies_while_starting_leaves_no_owner_or_one_that_is_adopted(place: Room) -> None:
    async def break_it() -> None:
        chance = random.Random(34)
        for _ in range(6):
            launcher = launch(place)
            await asyncio.sleep(chance.uniform(0.05, 0.3))
            with suppress(ProcessLookupError):
                os.killpg(launcher.pid, signal.SIGKILL)
            launcher.wait()
            owner = await place.start()
            only = (await owner.status()).pid
            wait_for("every other one to end", partial(is_alone, place, only))
            await owner.disarm("node stopped")
            wait_for("the last one to end", lambda: place.owner_pids == [])

    place.run(break_it())


# ---- what comes through the socket ----


def knock(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(str(folder / "socket"))
    client.settimeout(60)
    return client


def in_control(folder: Path, token: str) -> socket.socket:
    """A connection that has the agent's place, which its last holder is about to leave."""
    for _ in range(1000):
        client = knock(folder)
        client.sendall(encode({"do": "status", "token": token}))
        if b'"ok"' in client.recv(65_536):
            return client
        client.close()
        time.sleep(0.01)
    raise AssertionError("the place stays taken")


def answer_of(client: socket.socket) -> bytes:
    """What comes until the owner closes."""
    parts = []
    with suppress(ConnectionResetError):
        while part := client.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def test_hostile_clients_are_shown_out_and_the_capture_does_not_notice(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start(place.config(timeouts=replace(QUICK, owner_first_request=0.3)))
        begun = await owner.begin(new_recording(), now_ns())
        owner.disconnect()
        token = json.loads((owner.state_folder / "state.json").read_text())["token"]
        hostile = [
            encode({"do": "disarm", "reason": "evil", "token": "wrong"}),
            encode({"do": "disarm", "reason": "evil"}),
            encode({"do": "disarm", "reason": "evil", "token": token[:-1]}),
            encode({"do": "disarm", "reason": "evil", "token": None}),
            (MOST_FRAME_BYTES + 1).to_bytes(LENGTH_BYTES, "big") + b"x" * 100,
            b"\xff\xff\xff\xff",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x00\x00\x00\x02[]",
            b"\x00\x00\x00\x00",
            b"\x00\x00\x00\x09not json!",
            b"",
            b"\x00\x00",
            encode({"do": "status", "token": token})[:-3],
        ]
        for message in hostile:
            with knock(owner.state_folder) as client:
                client.sendall(message)
                answer = await asyncio.to_thread(answer_of, client)
                assert b'"ok"' not in answer
        status = await captured(owner, 4_800)
        assert status.take_id == begun.take_id
        await owner.disarm("node stopped")
        assert_every_frame_is_accounted_for(Take.open(begun.take_folder))

    place.run(break_it())


def test_frame_beyond_the_limit_is_refused_after_the_token_too(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        owner.disconnect()
        state = read_state(owner.state_folder)
        assert state
        with await asyncio.to_thread(in_control, owner.state_folder, state.token) as client:
            client.sendall(b"\x7f\xff\xff\xff")
            assert await asyncio.to_thread(answer_of, client) == b""
        assert (await owner.status()).device == "capturing"

    place.run(break_it())


def test_thousand_silent_connections_do_not_keep_the_agent_out_for_long(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start(place.config(timeouts=replace(QUICK, owner_first_request=0.3)))
        pid = (await owner.status()).pid
        owner.disconnect()
        silent = []
        for _ in range(1000):
            with suppress(BlockingIOError):
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.setblocking(False)
                silent.append(client)
                client.connect(str(owner.state_folder / "socket"))
        assert thread_count(pid) < 24
        await asyncio.sleep(0.4)
        assert (await owner.status()).pid == pid
        for client in silent:
            client.close()

    place.run(break_it())


def test_agent_that_goes_away_in_the_middle_of_a_request_frees_its_place(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        owner.disconnect()
        state = read_state(owner.state_folder)
        assert state
        for _ in range(20):
            with knock(owner.state_folder) as client:
                client.sendall(encode({"do": "status", "token": state.token}) + b"\x00\x00")
        assert (await owner.status()).device == "capturing"

    place.run(break_it())


def test_everything_before_the_kill_stays_where_it_was(place: Room) -> None:
    async def break_it() -> None:
        owner = await place.start()
        begun = await owner.begin(new_recording(), now_ns())
        before = await captured(owner, 24_000)
        expected = counter_values(Take.open(begun.take_folder), 0, before.durable_frame).tolist()
        kill(before.pid)
        follower = await place.start()
        await captured(follower, 4_800)
        assert counter_values(Take.open(begun.take_folder), 0, before.durable_frame).tolist() == expected

    place.run(break_it())
