"""Conditions that last: told when they begin and again when they are over, by nodes and by the controller itself."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from protocol.messages import ClaimedJob, EventReport, EventsRequest, Phase
from tests.integration.room import COUNTER, SOMEBODY, Room, make_room
from web.domain.access import EVERYTHING
from web.domain.health import HealthEvent
from web.domain.standing import Concern
from web.domain.states import Health
from web.runners import absence, own_disk
from web.runners.leases import OutageWatch
from web.services.content.cache_content import ROOM_BYTES, CacheContent, ContentLimits
from web.services.recorders import standing
from web.services.work import jobs
from web.store import health_events
from web.store import recordings as stored_recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio

SILENT = "UPDATE node_seen SET last_seen_at = clock_timestamp() - interval '42 seconds'"


@pytest.fixture
async def room(db: Database) -> Room:
    return await make_room(db)


def report(event_id: UUID, **said: Any) -> EventReport:
    return EventReport(
        **{
            "id": event_id,
            "kind": "exact_zeros",
            "severity": "warning",
            "message": "It delivers exact zeros.",
            "age_ms": 60_000,
            "interface": COUNTER,
            **said,
        }
    )


def begun(event_id: UUID, job: ClaimedJob | None = None, **said: Any) -> EventReport:
    return report(event_id, lasts=True, job_id=None if job is None else job.job_id, **said)


def over(event_id: UUID, job: ClaimedJob | None = None, **said: Any) -> EventReport:
    told = {"message": "It delivers sound again.", "ended_age_ms": 20_000, **said}
    return report(event_id, job_id=None if job is None else job.job_id, **told)


async def tell(room: Room, *reports: EventReport) -> None:
    for one in reports:
        await jobs.record_events(room.db, EventsRequest(node_run=room.node_run, events=[one]), node=room.node)


async def kept(db: Database) -> list[HealthEvent]:
    return await health_events.latest(db, scope=EVERYTHING)


async def concerns(db: Database) -> list[Concern]:
    found = await standing.concerns(db, by=SOMEBODY)
    assert (await standing.bar(db, by=SOMEBODY)).attention == found.total
    return found.newest


def seconds(event: HealthEvent) -> float:
    assert event.ended_at is not None
    return (event.ended_at - event.happened_at).total_seconds()


async def test_a_condition_lasts_until_it_is_told_again_under_its_id(db: Database, room: Room) -> None:
    event_id = new_id()
    await tell(room, begun(event_id), begun(event_id))
    (lasting,) = await kept(db)
    assert (lasting.lasts, lasting.state, lasting.ended_at) == (True, "open", None)
    await tell(room, over(event_id))
    (ended,) = await kept(db)
    assert (ended.lasts, ended.state, ended.message) == (False, "resolved", "It delivers sound again.")
    assert ended.happened_at == lasting.happened_at
    assert seconds(ended) == pytest.approx(40, abs=15)


@pytest.mark.parametrize("order", [(0, 1, 1), (1, 0), (1, 1, 0, 0)], ids=["in order", "turned round", "repeated"])
async def test_the_order_of_the_two_tellings_and_their_copies_change_nothing(
    db: Database, room: Room, order: tuple[int, ...]
) -> None:
    event_id = new_id()
    first, second = begun(event_id), over(event_id)
    await tell(room, *((first, second)[which] for which in order))
    (event,) = await kept(db)
    assert (event.lasts, event.state, event.message) == (False, "resolved", second.message)
    assert seconds(event) == pytest.approx(40, abs=15)


async def test_the_first_end_stays_when_another_is_told_much_later(db: Database, room: Room) -> None:
    event_id = new_id()
    await tell(room, over(event_id))
    (before,) = await kept(db)
    await tell(room, over(event_id, ended_age_ms=0, message="Another end."))
    assert await kept(db) == [before]


async def test_another_node_ends_nothing(db: Database, room: Room) -> None:
    event_id, other = new_id(), await make_room(db, "Court 3")
    await tell(room, begun(event_id))
    await tell(other, over(event_id))
    (event,) = await kept(db)
    assert event.lasts


async def test_a_condition_that_is_over_keeps_the_worse_of_its_severities(db: Database, room: Room) -> None:
    event_id = new_id()
    await tell(room, begun(event_id, severity="critical"), over(event_id, severity="info"))
    assert [event.severity for event in await kept(db)] == ["critical"]


@pytest.mark.parametrize("is_late", [False, True], ids=["before the end", "after the end"])
async def test_a_recording_is_no_better_than_a_condition_that_was_over_in_it(
    db: Database, room: Room, is_late: bool
) -> None:
    job, event_id = await room.claimed(), new_id()
    told = [begun(event_id, job), over(event_id, job)]
    await tell(room, *([] if is_late else told))
    await room.seal(job, await room.open_file(job))
    await tell(room, *(told if is_late else []))
    assert (await stored_recordings.get(db, job.recording_id, scope=EVERYTHING)).health is Health.WARNING


async def test_what_lasts_is_listed_first_with_since_when_however_long_ago(
    db: Database, room: Room, owner: Any
) -> None:
    event_id = new_id()
    await tell(room, begun(event_id), report(new_id(), kind="hiccup", interface=None))
    await owner.execute("UPDATE health_event SET happened_at = happened_at - interval '9 days' WHERE is_condition")
    lasting, happened = await concerns(db)
    assert (lasting.lasts, happened.lasts) == (True, False)
    assert lasting.at < happened.at
    await tell(room, over(event_id))
    assert [concern.lasts for concern in await concerns(db)] == [False]


async def test_a_condition_of_a_recording_lasts_no_longer_than_that(db: Database, room: Room) -> None:
    job = await room.claimed()
    await tell(room, begun(new_id(), job))
    assert [concern.lasts for concern in await concerns(db)] == [True]
    await room.seal(job, await room.open_file(job))
    assert [(concern.lasts, concern.events) for concern in await concerns(db)] == [(False, 1)]
    assert not any(event.lasts for event in await kept(db))


async def test_pages_hear_of_both_tellings_and_of_no_copy(db: Database, room: Room, owner: Any) -> None:
    heard: list[str] = []
    await owner.add_listener("reelkeeper_page", lambda *said: heard.append(said[-1]))
    event_id = new_id()
    await tell(room, begun(event_id), begun(event_id), over(event_id), over(event_id))
    async with asyncio.timeout(30):
        while len(heard) < 2:
            await owner.execute("SELECT")
            await asyncio.sleep(0.02)
    assert ["open" in heard[0], "resolved" in heard[1], len(heard)] == [True, True, 2]


# ---- of the controller itself ----


async def reachable(db: Database) -> OutageWatch:
    """Knows that agents could reach us for long."""
    watch = OutageWatch()
    row = await db.row("server_uptime")
    assert row is not None
    for seconds_ago in range(40, 0, -10):
        watch.database_answered(row["uptime"].total_seconds() - seconds_ago, db.timeouts.presence)
    return watch


async def test_a_node_that_falls_silent_is_told_once_since_it_was_heard_and_until_it_is_heard_again(
    db: Database, room: Room, owner: Any
) -> None:
    watch = await reachable(db)
    await absence.tick(db, watch)
    assert await kept(db) == []
    await owner.execute(SILENT)
    await absence.tick(db, watch)
    await absence.tick(db, watch)
    (event,) = await kept(db)
    assert (event.kind, event.lasts, event.severity) == ("node_not_seen", True, "warning")
    assert [concern.node_name for concern in await concerns(db)] == ["Town hall"]
    await room.heartbeat()
    await absence.tick(db, watch)
    (event,) = await kept(db)
    assert (event.lasts, event.state) == (False, "resolved")
    assert seconds(event) == pytest.approx(42, abs=20)
    assert await concerns(db) == []


async def test_a_node_that_falls_silent_while_it_captures_is_critical(db: Database, room: Room, owner: Any) -> None:
    await room.heartbeat(await room.claimed(), phase=Phase.CAPTURING)
    await owner.execute(SILENT)
    await absence.tick(db, await reachable(db))
    (event,) = await kept(db)
    assert event.severity == "critical"
    assert "goes on with the recording" in event.message


async def test_a_node_that_was_shut_out_is_not_looked_for_in_its_network(db: Database, room: Room, owner: Any) -> None:
    await owner.execute("UPDATE node_token SET ended_at = clock_timestamp(), ended_by = 'revocation'")
    await owner.execute(SILENT)
    await absence.tick(db, await reachable(db))
    (event,) = await kept(db)
    assert "join again" in event.message
    assert "network" not in event.message


async def test_after_an_outage_of_our_own_nodes_get_the_time_to_be_heard(db: Database, room: Room, owner: Any) -> None:
    await owner.execute(SILENT)
    await absence.tick(db, OutageWatch())
    assert await kept(db) == []


async def test_a_node_that_was_never_seen_is_no_concern(db: Database, room: Room, owner: Any) -> None:
    await owner.execute("DELETE FROM node_seen")
    await absence.tick(db, await reachable(db))
    assert await kept(db) == []


class Disk:
    """As far as the runner asks."""

    def __init__(self) -> None:
        self.is_full = True

    async def has_room(self) -> bool:
        return not self.is_full


async def test_a_full_disk_of_the_controller_is_a_condition_of_no_node(db: Database) -> None:
    disk: Any = Disk()
    await own_disk.tick(db, disk)
    await own_disk.tick(db, disk)
    (concern,) = await concerns(db)
    assert (concern.lasts, concern.node_id, concern.severity) == (True, None, "critical")
    disk.is_full = False
    await own_disk.tick(db, disk)
    assert await concerns(db) == []
    assert [event.state for event in await kept(db)] == ["resolved"]


class Folder:
    """As far as its disk is asked about."""

    def __init__(self, free_bytes: int) -> None:
        self._free_bytes = free_bytes

    def free_bytes(self) -> int:
        return self._free_bytes


@pytest.mark.parametrize(("missing_bytes", "has_room"), [(1, False), (0, True)])
async def test_a_disk_is_full_as_soon_as_uploads_could_be_refused(missing_bytes: int, has_room: bool) -> None:
    limits = ContentLimits(
        request_bytes=1 << 34, cache_file_bytes=1 << 40, disk_reserve_bytes=1_000, workers=1, stall_seconds=1.0
    )
    folder: Any = Folder(1_000 + ROOM_BYTES - missing_bytes)
    assert await CacheContent(folder, limits).has_room() is has_room
