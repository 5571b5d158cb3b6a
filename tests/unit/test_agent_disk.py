"""Room is looked after: what goes first, who may start, how long it lasts, and what operators are told."""

import asyncio
import errno
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.conditions import Conditions
from agent.disk import Disk, FillingRate, Rules
from agent.health import Health
from agent.owner.handle import OwnerStartError
from agent.settings import AgentSettings
from agent.spool import Spool
from agent.states import EndWithoutContent, JobState, Stage
from core_rs import disk_room
from protocol.ids import new_id
from protocol.messages import EventReport
from protocol.timeouts import Timeouts
from tests.agent_room import job_settings
from tests.unit.test_agent_spool import claimed

PLENTY = Rules(scarce_reserves=0, full_bytes=1, foresight=1e18)
SCARCE = Rules(scarce_reserves=1e12)
FULL = Rules(full_bytes=1 << 60)
MIB = 1 << 20


@dataclass
class FakeTakes:
    """Sweeps away what it is given."""

    unneeded: list[str] = field(default_factory=list)
    sweeps: int = 0
    on_sweep: Callable[[], None] = lambda: None

    async def sweep(self) -> list[str]:
        self.sweeps += 1
        self.on_sweep()
        removed, self.unneeded = self.unneeded, []
        return removed


class Killed(BaseException):
    """The agent is gone."""


class DyingHealth(Health):
    """Its agent dies right after it told something."""

    async def tell(self, *args: Any, **more: Any) -> None:
        await super().tell(*args, **more)
        raise Killed


class Node:
    """A spool whose disks are looked after by rules of the test."""

    def __init__(self, home: Path, rules: Rules = PLENTY) -> None:
        self.settings = AgentSettings(home=home, run_folder=home / "run", reserve_bytes=MIB)
        self.spool = Spool.open(self.settings.node_folder)
        self.takes = FakeTakes()
        self.health = Health(self.spool, Timeouts())
        self.disk = self.looked_after(rules)

    def looked_after(self, rules: Rules) -> Disk:
        return Disk(self.settings, self.spool, self.takes, self.health, rules)  # type: ignore[arg-type]

    async def add(self, stage: Stage, **changes: object) -> JobState:
        state = JobState.of(claimed()).model_copy(update={"stage": stage, "take_id": new_id(), **changes})
        await self.spool.add_job(state)
        folder = self.spool.job_folder(state.job_id)
        folder.rendition.write_text("{}")
        folder.audio.write_bytes(b"audio")
        return state

    async def events(self) -> list[EventReport]:
        return [stored.event for stored in await self.spool.events(100)]

    async def kinds(self) -> list[str]:
        return [event.kind for event in await self.events()]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


def test_forecast_of_a_steady_load_is_within_a_twentieth() -> None:
    draw, rate = random.Random(1), FillingRate(120.0)
    now, room = 0.0, 10**12
    for look in range(300):
        now += draw.uniform(1.5, 2.5)
        written = 192_000 * now
        rate.note(now, int(room - written))
        if look > 2:
            assert rate.bytes_per_second == pytest.approx(192_000, rel=0.05)


def test_forecast_follows_another_load_and_counts_what_is_released() -> None:
    rate = FillingRate(120.0)
    room = 10**12
    for second in range(0, 600, 2):
        rate.note(second, room)
        room -= 2 * 100_000
    for second in range(600, 1800, 2):
        rate.note(second, room)
        room -= 2 * 400_000 - 2 * 100_000
    assert rate.bytes_per_second == pytest.approx(300_000, rel=0.05)


def test_reserve_is_kept_beside_the_takes_and_disks_are_reported_in_order(home: Path, tmp_path: Path) -> None:
    node = Node(home)
    spill = tmp_path / "spill"
    node.settings = node.settings.model_copy(update={"spill_folders": (spill,)})
    node.disk = node.looked_after(PLENTY)
    asyncio.run(node.disk.look())
    assert disk_room(node.settings.takes_folder, MIB).reserved_bytes == MIB
    reports = node.disk.reports()
    assert [(Path(one.path), one.standing) for one in reports] == [
        (node.settings.takes_folder, "usable"),
        (spill, "usable"),
    ]
    assert node.disk.seconds_left is None


def test_start_is_refused_on_a_full_disk_and_says_what_helps(home: Path) -> None:
    node = Node(home, FULL)
    with pytest.raises(OwnerStartError, match="make room") as refused:
        asyncio.run(node.disk.check_start(job_settings().capture))
    assert refused.value.code == "disk_full"
    asyncio.run(node.looked_after(PLENTY).check_start(job_settings().capture))


def test_what_can_be_had_again_goes_first_and_what_was_not_delivered_never(home: Path) -> None:
    node = Node(home, SCARCE)

    async def run() -> None:
        node.takes.unneeded = [str(new_id())]
        cancelled = EndWithoutContent(outcome="cancelled", reason="cancelled", message="")
        failed = EndWithoutContent(outcome="failed", reason="lost", message="")
        older = await node.add(Stage.KEPT, ending=cancelled)
        newer = await node.add(Stage.KEPT, ending=cancelled)
        untouched = [await node.add(Stage.KEPT, ending=failed), await node.add(Stage.CAPTURING)]
        waiting = await node.add(Stage.UPLOADING)
        sealing = await node.add(Stage.UPLOADING, seal_sent=True)
        unread = await node.add(Stage.SEALED, seal_sent=True)
        await node.disk.look()
        assert await node.kinds() == [
            "delivered_given_up",
            "rendition_given_up",
            "rendition_given_up",
            "cancelled_given_up",
            "cancelled_given_up",
        ]
        messages = [event.message for event in await node.events()]
        assert str(older.recording_id) in messages[3]
        assert str(newer.recording_id) in messages[4]
        assert not node.spool.job_folder(waiting.job_id).audio.exists()
        assert unread.needs_take
        assert not node.spool.job_folder(unread.job_id).audio.exists()
        assert node.spool.job_folder(sealing.job_id).audio.exists()
        kept = {waiting.job_id, sealing.job_id, unread.job_id, *(one.job_id for one in untouched)}
        assert set(node.spool.jobs) == kept
        assert all(node.spool.job_folder(one.job_id).audio.exists() for one in untouched)
        assert older.take_id is not None
        assert node.spool.released(older.take_id) == {older.capture_name}

    asyncio.run(run())


@pytest.mark.parametrize("is_verified", [False, True])
def test_file_that_was_sealed_goes_first_only_once_it_was_read_back(home: Path, is_verified: bool) -> None:
    node = Node(home, SCARCE)

    async def run() -> None:
        node.takes.unneeded = [str(new_id())]
        sealed = await node.add(Stage.SEALED, seal_sent=True, is_verified=is_verified)
        node.spool.watch([])
        await node.disk.look()
        assert node.spool.job_folder(sealed.job_id).audio.exists() == (not is_verified)

    asyncio.run(run())


def test_files_that_are_being_delivered_stay_while_the_controller_is_heard(home: Path) -> None:
    node = Node(home, SCARCE)

    async def run() -> None:
        waiting = await node.add(Stage.UPLOADING)
        node.spool.watch([])
        await node.disk.look()
        assert node.disk.is_scarce
        assert node.spool.job_folder(waiting.job_id).audio.exists()

    asyncio.run(run())


def test_nothing_more_goes_once_a_sweep_has_made_room_without_removing_a_whole_take(home: Path) -> None:
    node = Node(home, SCARCE)

    async def run() -> None:
        cancelled = EndWithoutContent(outcome="cancelled", reason="cancelled", message="")
        kept = await node.add(Stage.KEPT, ending=cancelled)
        node.takes.on_sweep = lambda: setattr(node.disk, "rules", PLENTY)
        await node.disk.look()
        assert node.takes.sweeps == 1
        assert kept.job_id in node.spool.jobs

    asyncio.run(run())


def test_failing_disk_is_told_also_when_nothing_can_be_removed_from_it(home: Path, tmp_path: Path) -> None:
    node = Node(home, SCARCE)
    in_the_way = tmp_path / "no folder"
    in_the_way.write_text("")
    node.settings = node.settings.model_copy(update={"spill_folders": (in_the_way,)})
    node.disk = node.looked_after(SCARCE)

    def refuse() -> None:
        raise OSError("read-only")

    async def run() -> None:
        node.takes.on_sweep = refuse
        with pytest.raises(OSError, match="read-only"):
            await node.disk.look()
        assert await node.kinds() == ["disk_failing"]

    asyncio.run(run())


def test_nothing_goes_while_there_is_room(home: Path) -> None:
    node = Node(home)

    async def run() -> None:
        await node.add(Stage.UPLOADING)
        await node.disk.look()
        assert (node.disk.is_scarce, await node.kinds(), node.takes.sweeps) == (False, [], 0)

    asyncio.run(run())


def test_full_disk_is_told_once_when_it_begins_and_once_when_it_is_over_also_by_another_agent(home: Path) -> None:
    node = Node(home, FULL)

    async def run() -> None:
        await node.disk.look()
        assert node.disk.standings == ["full"]
        assert node.disk.changed.is_set()
        await node.disk.look()
        [begun] = await node.events()
        assert (begun.kind, begun.severity, begun.lasts) == ("disk_full", "critical", True)
        await node.looked_after(PLENTY).look()
        [over] = await node.events()
        assert (over.id, over.lasts, over.ended_age_ms) == (begun.id, False, 0)

    asyncio.run(run())


def test_folder_that_cannot_be_looked_at_is_failing_and_the_others_go_on(home: Path, tmp_path: Path) -> None:
    node = Node(home)
    in_the_way = tmp_path / "no folder"
    in_the_way.write_text("")
    node.settings = node.settings.model_copy(update={"spill_folders": (in_the_way,)})
    node.disk = node.looked_after(PLENTY)

    async def run() -> None:
        await node.disk.look()
        assert node.disk.standings == ["usable", "failing"]
        [event] = await node.events()
        assert (event.kind, event.lasts) == ("disk_failing", True)
        assert str(in_the_way) in event.message
        await node.disk.check_start(job_settings().capture)

    asyncio.run(run())


def test_folder_that_lost_its_disk_is_not_made_anew_on_another(home: Path, tmp_path: Path) -> None:
    node, spill = Node(home), tmp_path / "spill"
    node.settings = node.settings.model_copy(update={"spill_folders": (spill,)})

    async def standings() -> list[str]:
        disk = node.looked_after(PLENTY)
        await disk.look()
        return list(disk.standings)

    assert asyncio.run(standings()) == ["usable", "usable"]
    spill.rename(tmp_path / "away")
    assert asyncio.run(standings()) == ["usable", "failing"]
    assert not spill.exists()
    (tmp_path / "away").rename(spill)
    assert asyncio.run(standings()) == ["usable", "usable"]


def test_quota_that_leaves_no_room_for_the_reserve_is_full_and_no_failing_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path, reserve_bytes: int) -> bool:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("agent.disk.keep_reserve", refuse)
    node = Node(home)
    asyncio.run(node.disk.look())
    assert node.disk.standings == ["full"]


def test_failing_folder_that_is_configured_no_more_is_no_trouble_any_more(home: Path, tmp_path: Path) -> None:
    node = Node(home)
    in_the_way = tmp_path / "no folder"
    in_the_way.write_text("")
    node.settings = node.settings.model_copy(update={"spill_folders": (in_the_way,)})

    async def run() -> None:
        await node.looked_after(PLENTY).look()
        node.settings = node.settings.model_copy(update={"spill_folders": ()})
        await node.looked_after(PLENTY).look()
        assert [(event.kind, event.lasts) for event in await node.events()] == [("disk_failing", False)]

    asyncio.run(run())


def test_a_burst_is_no_warning_of_tomorrow_but_a_disk_that_is_full_in_a_moment_is(home: Path) -> None:
    node = Node(home)

    async def run() -> None:
        disk = node.looked_after(Rules(scarce_reserves=0, full_bytes=1))
        await node.add(Stage.CAPTURING)
        await disk.look()
        for room_lost, told in ((1_000_000, []), (10**18, ["disk_low"])):
            disk._rate = FillingRate(600.0)
            disk._rate.note(0.0, 10**18)
            disk._rate.note(30.0, 10**18 - room_lost * 30)
            await disk._tell()
            assert await node.kinds() == told

    asyncio.run(run())


def test_a_disk_that_lasts_less_than_a_day_is_told_and_worse_within_the_last_hour(home: Path) -> None:
    node = Node(home)

    async def run() -> None:
        told = []
        # The same disk fills at the same rate; only what counts as little is moved.
        for rules in (
            PLENTY,
            replace(PLENTY, low_seconds=1e18, critical_seconds=1.0),
            replace(PLENTY, low_seconds=1e18, critical_seconds=1e17),
            PLENTY,
        ):
            disk = node.looked_after(rules)
            await node.add(Stage.CAPTURING)
            await disk.look()
            disk._rate = FillingRate(1.0)
            disk._rate.note(0.0, 10**12)
            disk._rate.note(1.0, 10**12 - 50_000)
            await disk._tell()
            told.append([(event.kind, event.severity, event.lasts) for event in await node.events()])
        assert told[0] == []
        assert told[1] == [("disk_low", "warning", True)]
        assert sorted(told[2]) == [("disk_low", "critical", True), ("disk_low", "warning", False)]
        assert sorted(told[3]) == [("disk_low", "critical", False), ("disk_low", "warning", False)]

    asyncio.run(run())


def test_condition_in_the_same_severity_is_not_told_again(home: Path) -> None:
    node = Node(home)

    async def run() -> None:
        conditions = Conditions(home / "lasting.json", node.health)
        for words in ("first", "second"):
            await conditions.begin("x", "disk_low", "warning", words)
        assert [event.message for event in await node.events()] == ["first"]
        await Conditions(home / "lasting.json", node.health).end("x")
        assert [event.lasts for event in await node.events()] == [False]
        assert Conditions(home / "lasting.json", node.health).lasting == set()

    asyncio.run(run())


def test_condition_that_was_told_when_its_agent_died_is_ended_by_the_next(home: Path) -> None:
    node = Node(home)

    async def run() -> None:
        told: list[set[UUID]] = []
        for _ in range(2):
            dies = Conditions(home / "lasting.json", DyingHealth(node.spool, Timeouts()))
            with pytest.raises(Killed):
                await dies.begin("x", "disk_low", "warning", "words")
            told.append({event.id for event in await node.events()})
        await Conditions(home / "lasting.json", node.health).end("x")
        assert len(told[0]) == 1
        assert told[1] == told[0]
        assert [event.lasts for event in await node.events()] == [False]

    asyncio.run(run())
