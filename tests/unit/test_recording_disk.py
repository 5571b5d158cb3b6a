"""A recording is not cut short for good because a disk is missing for a while."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from agent.health import Health
from agent.job_folder import JobFolder
from agent.recording.absence import Absence
from agent.recording.capturing import Capturing
from agent.recording.ending import Ending
from agent.recording.finishing import Finishing
from agent.recording.part import Means
from agent.recording.rendering import Rendering
from agent.spool import Spool
from agent.states import Instant, JobState, Rendition, Stage
from core_rs import PcmFormat, TakeWriter, counter_pcm
from protocol.ids import new_id
from protocol.messages import EndReason
from protocol.timeouts import Timeouts
from tests.owner_room import wait_for
from tests.unit.test_agent_spool import claimed

FRAMES = 1_000
RATE = 48_000
TIMEOUTS = replace(Timeouts(), owner_drain=0.0, owner_request=0.0)


def _instant(frame: int) -> int:
    return 1_000_000_000 + frame * 1_000_000_000 // RATE


class KeepsUp:
    """A renderer that has not finished."""

    async def keep_up(self) -> None: ...


class Elsewhere:
    """An owner that works for other takes, and the owners that know it."""

    async def held(self, interface: object) -> "Elsewhere":
        return self

    async def status(self) -> SimpleNamespace:
        return SimpleNamespace(take_id="another", needs=[])


class Node:
    """A node whose owner died while a recording was in its spill folder, which can be taken away."""

    def __init__(self, home: Path, timeouts: Timeouts = TIMEOUTS) -> None:
        self.spool = Spool.open(home / "node")
        self.spill, self._away = home / "spill", home / "away"
        self.spill.mkdir()
        self.health = Health(self.spool, timeouts)
        settings = SimpleNamespace(
            timeouts=timeouts, disk_full_ends_after_seconds=None, spill_folders=(self.spill.absolute(),)
        )
        fields = {"settings": settings}
        means = SimpleNamespace(spool=self.spool, health=self.health, owners=Elsewhere(), **fields)
        self.means = cast(Means, means)

    def record(self) -> UUID:
        take_id = new_id()
        self._folder = folder = self.spool.takes_folder / str(take_id)
        self._writer = writer = TakeWriter.create(
            folder, PcmFormat(2, RATE, "s16"), facts="{}", spill_folders=[self.spill]
        )
        (folder / "000000-00000000000000.wav").write_bytes(b"in the way")
        writer.push(counter_pcm(1, FRAMES), _instant(0))
        wait_for("the second folder", lambda: writer.durable_frame == FRAMES)
        return take_id

    async def add_job(self, **changes: Any) -> JobState:
        state = JobState.of(claimed())
        await self.spool.add_job(state)
        return await self.spool.update_job(state.job_id, take_id=self.record(), start_frame=0, **changes)

    def lose(self, frames: int) -> None:
        """A gap in the segment that is open, and as much as before it behind it."""
        writer = self._writer
        writer.lost(frames, "overrun")
        back = writer.next_frame
        writer.push(counter_pcm(back + 1, FRAMES), _instant(back))
        wait_for("what follows the gap", lambda: writer.durable_frame == back + FRAMES)

    def close_take(self) -> None:
        self._writer.close("test")

    def go_on(self, frames: int) -> None:
        """As another owner, a second after the first one died."""
        folder, died_at = self._folder, self._writer.next_frame
        self._writer.note_clock(_instant(died_at), 0)
        del self._writer
        self._writer = writer = TakeWriter.resume(folder, cause="owner_died", spill_folders=[self.spill])
        back = died_at + RATE
        writer.push(counter_pcm(back + 1, frames), _instant(back))
        wait_for("the disk that is there", lambda: writer.durable_frame == back + frames)

    def unplug(self) -> None:
        self.spill.rename(self._away)

    def plug_in(self) -> None:
        self._away.rename(self.spill)

    async def kinds(self) -> list[str]:
        return [stored.event.kind for stored in await self.spool.events(10)]

    async def capture(self, state: JobState, steps: int) -> JobState:
        capturing = Capturing(self.means, state.job_id, cast(Ending, None), cast(Rendering, KeepsUp()))
        with self.spool.listening() as listener:
            for _ in range(steps):
                listener.ring()
                await capturing.step(listener)
        return self.spool.jobs[state.job_id]

    async def finish(self, state: JobState) -> JobState:
        rendering = cast(Rendering, KeepsUp())
        with self.spool.listening() as listener:
            listener.ring()
            await Finishing(self.means, state.job_id, cast(Ending, None), rendering).step(listener)
        return self.spool.jobs[state.job_id]


def test_capture_that_died_ends_with_all_its_frames_once_its_disk_is_back(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path)
        state = await node.add_job(stage=Stage.CAPTURING)
        node.unplug()
        waiting = await node.capture(state, 3)
        assert (waiting.stage, await node.kinds()) == (Stage.CAPTURING, ["disk_missing"])
        node.plug_in()
        ended = await node.capture(state, 3)
        assert (ended.stage, ended.end_frame, ended.end_reason) == (Stage.FINISHING, FRAMES, EndReason.CAPTURE_DIED)

    asyncio.run(run())


def test_end_that_was_bound_is_not_cut_while_the_disk_before_it_is_missing(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path)
        state = await node.add_job(stage=Stage.FINISHING, end_frame=2 * FRAMES, ended_at=Instant.in_ms(-1_000))
        node.unplug()
        assert (await node.finish(state)).cut_frame is None
        node.plug_in()
        assert (await node.finish(state)).cut_frame == FRAMES

    asyncio.run(run())


def test_disk_with_the_end_of_a_take_is_waited_for_no_longer_than_its_time(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.5))
        state = await node.add_job(stage=Stage.FINISHING, end_frame=2 * FRAMES, ended_at=Instant.in_ms(-1_000))
        node.unplug()
        state = await node.finish(state)
        assert (state.cut_frame, len(state.given_up)) == (0, 1)
        assert await node.kinds() == ["disk_missing", "part_given_up"]

    asyncio.run(run())


def test_part_on_a_disk_that_stays_away_is_given_up_and_delivered_once_the_disk_is_back(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path)
        state = await node.add_job(stage=Stage.FINISHING, end_frame=FRAMES, ended_at=Instant.in_ms(0))
        node.close_take()
        absence = Absence(node.means, state.job_id)
        assert not await absence.hinders()
        node.unplug()
        assert await absence.hinders()
        away_since = Instant.in_ms(-round(TIMEOUTS.disk_away * 1000) - 1)
        await node.spool.update_job(state.job_id, away_since=away_since)
        assert not await absence.hinders()
        assert await node.kinds() == ["disk_missing", "part_given_up"]
        (segment,) = node.spool.jobs[state.job_id].given_up
        assert segment.startswith(str(node.spill))

        delivered = await node.spool.update_job(state.job_id, stage=Stage.SEALED, is_verified=True)
        assert not await absence.is_over()
        assert delivered.needs_take
        node.plug_in()
        assert not await absence.is_over()
        again = node.spool.jobs[state.job_id]
        assert (again.stage, again.given_up, again.is_verified) == (Stage.FINISHING, (), False)
        await node.spool.update_job(state.job_id, stage=Stage.SEALED, is_verified=True)
        assert await absence.is_over()

    asyncio.run(run())


def test_part_that_is_back_is_delivered_also_when_its_spill_folder_is_configured_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        state = await node.add_job(stage=Stage.FINISHING, end_frame=FRAMES, ended_at=Instant.in_ms(0))
        node.close_take()
        absence = Absence(node.means, state.job_id)
        node.unplug()
        while await absence.hinders():
            pass
        await node.spool.update_job(state.job_id, stage=Stage.SEALED, is_verified=True)
        node.means.settings.spill_folders = ()
        assert await absence.is_over()
        node.plug_in()
        assert not await absence.is_over()
        assert node.spool.jobs[state.job_id].stage is Stage.FINISHING

    asyncio.run(run())


def test_recording_of_which_all_is_on_a_disk_that_is_away_does_not_end_without_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = Rendition.model_construct(captured_bytes=0, facts=SimpleNamespace(end_frame=FRAMES))

    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        state = await node.add_job(stage=Stage.FINISHING, end_frame=FRAMES, ended_at=Instant.in_ms(0))
        node.close_take()
        node.unplug()
        while await Absence(node.means, state.job_id).hinders():
            pass
        monkeypatch.setattr(JobFolder, "read_rendition", lambda _: nothing)
        waiting = await node.finish(state)
        assert (waiting.stage, len(waiting.given_up), waiting.needs_take) == (Stage.FINISHING, 1, True)
        node.plug_in()
        again = await node.finish(state)
        assert (again.stage, again.given_up, again.end_frame) == (Stage.FINISHING, (), FRAMES)

    asyncio.run(run())


def test_capture_that_died_with_its_disk_is_delivered_anew_with_all_its_frames(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        state = await node.add_job(stage=Stage.CAPTURING)
        node.unplug()
        ended = await node.capture(state, 3)
        assert (ended.stage, ended.end_frame) == (Stage.FINISHING, 0)
        await node.spool.update_job(state.job_id, stage=Stage.SEALED, is_verified=True)
        node.plug_in()
        assert not await Absence(node.means, state.job_id).is_over()
        assert node.spool.jobs[state.job_id].end_frame == FRAMES

    asyncio.run(run())


def test_capture_that_died_with_its_disk_is_delivered_anew_up_to_its_last_frame_behind_a_gap(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        state = await node.add_job(stage=Stage.CAPTURING)
        node.lose(700)
        node.unplug()
        await node.capture(state, 3)
        await node.spool.update_job(state.job_id, stage=Stage.SEALED, is_verified=True)
        node.plug_in()
        assert not await Absence(node.means, state.job_id).is_over()
        assert node.spool.jobs[state.job_id].end_frame == 2 * FRAMES + 700

    asyncio.run(run())


def test_capture_that_went_on_without_its_disk_is_delivered_whole_once_the_disk_is_back(tmp_path: Path) -> None:
    drawn = FRAMES // 512 * 512

    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        end_frame = FRAMES + RATE + 500
        state = await node.add_job(stage=Stage.FINISHING, end_frame=end_frame, ended_at=Instant.in_ms(0))
        node.unplug()
        node.go_on(500)
        node.close_take()
        absence = Absence(node.means, state.job_id)
        while await absence.hinders():
            pass
        assert await node.kinds() == ["disk_missing", "part_given_up"]
        await node.spool.update_job(state.job_id, stage=Stage.SEALED)
        node.plug_in()
        assert not await absence.is_over()
        take = await absence.take_of(state)
        assert [(gap.start_frame, gap.frames) for gap in take.gaps] == [(drawn, FRAMES + RATE - drawn)]
        assert take.read(0, drawn) == counter_pcm(1, drawn)
        assert take.read(end_frame - 500, end_frame) == counter_pcm(end_frame - 499, 500)

    asyncio.run(run())


def test_part_that_is_back_is_delivered_although_another_one_is_waited_for_no_longer(tmp_path: Path) -> None:
    gone = str(tmp_path / "another" / "take" / "000007-00000000001000.wav")

    async def run() -> None:
        node = Node(tmp_path, replace(TIMEOUTS, disk_away=0.0))
        state = await node.add_job(stage=Stage.FINISHING, end_frame=FRAMES, ended_at=Instant.in_ms(0))
        node.close_take()
        absence = Absence(node.means, state.job_id)
        node.unplug()
        while await absence.hinders():
            pass
        (part,) = node.spool.jobs[state.job_id].given_up
        await node.spool.update_job(state.job_id, stage=Stage.SEALED, given_up=(part, gone))
        node.plug_in()
        assert not await absence.is_over()
        again = node.spool.jobs[state.job_id]
        assert (again.stage, again.given_up) == (Stage.FINISHING, (gone,))
        await node.spool.update_job(state.job_id, stage=Stage.SEALED)
        assert await absence.is_over()

    asyncio.run(run())


def test_take_without_a_segment_lacks_none(tmp_path: Path) -> None:
    async def run() -> None:
        node = Node(tmp_path)
        take_id = new_id()
        TakeWriter.create(node.spool.takes_folder / str(take_id), PcmFormat(2, RATE, "s16"), facts="{}")
        state = JobState.of(claimed())
        await node.spool.add_job(state)
        await node.spool.update_job(state.job_id, stage=Stage.CAPTURING, take_id=take_id, start_frame=0)
        assert not await Absence(node.means, state.job_id).hinders()

    asyncio.run(run())
