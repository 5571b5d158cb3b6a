"""Events outlive outages, keep their age, and are told once."""

import asyncio
import time
from pathlib import Path

import pytest

from agent.errors import ControllerFault, UnreachableError
from agent.health import Health
from agent.owner import clock
from agent.spool import Spool
from agent.states import Instant, NodeIdentity
from protocol.ids import new_id
from protocol.messages import EventReport, EventsRequest
from protocol.timeouts import Timeouts

QUICK = Timeouts(retry_first=0.01, retry_longest=0.02)


class FakeClient:
    """Is away for the first few requests."""

    def __init__(self, faults: int = 0, poison: str = "nothing") -> None:
        self.faults = faults
        self.poison = poison
        """Takes no request with an event that says this."""
        self.heard: list[EventReport] = []

    async def events(self, request: EventsRequest) -> None:
        if any(self.poison in event.message for event in request.events):
            raise ControllerFault("That cannot be stored.", "invalid")
        if self.faults:
            self.faults -= 1
            raise UnreachableError
        self.heard += request.events


def opened(folder: Path) -> Spool:
    spool = Spool.open(folder)
    spool.identity = NodeIdentity(node_id=new_id(), name="n", token="t", controller_url="https://c.example", node_run=1)
    return spool


async def deliver(spool: Spool, client: FakeClient, count: int) -> None:
    spool.registered.set()
    running = asyncio.create_task(Health(spool, QUICK).run(client))  # type: ignore[arg-type]
    with spool.listening() as listener:
        for _ in range(5_000):
            if len(client.heard) >= count and not await spool.events(1):
                break
            await listener.wait(0.01)
    running.cancel()


def test_event_that_the_controller_cannot_take_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    spool, client = opened(tmp_path), FakeClient(poison="\0")

    async def tell() -> None:
        health = Health(spool, QUICK)
        for message in ("first", "a \0 in it", "last"):
            await health.tell("device_lost", "critical", message)
        await deliver(spool, client, 2)
        assert await spool.events(1) == []

    asyncio.run(tell())
    assert [event.message for event in client.heard] == ["first", "last"]


def test_end_of_a_condition_that_comes_while_its_beginning_is_told_is_told_as_well(tmp_path: Path) -> None:
    spool = opened(tmp_path)

    async def tell() -> None:
        await Health(spool, QUICK).tell("device_lost", "critical", "Gone.")
        (begun,) = await spool.events(1)
        ended = begun.model_copy(update={"utc_ns": begun.utc_ns + 1})
        await spool.add_event(ended)
        await spool.drop_events([begun])
        assert await spool.events(1) == [ended]
        await spool.drop_events([ended])
        assert await spool.events(1) == []

    asyncio.run(tell())


def test_events_of_an_outage_are_delivered_with_their_age_by_the_next_agent(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    minute_ago = Instant(boot_id=clock.boot_id(), boottime_ns=clock.boottime_ns() - 60 * 10**9)
    asyncio.run(Health(spool, QUICK).tell("device_lost", "critical", "Gone.", at=minute_ago))
    spool.close()
    client = FakeClient(faults=3)
    again = opened(tmp_path)
    asyncio.run(deliver(again, client, 1))
    assert [event.kind for event in client.heard] == ["device_lost"]
    assert 60_000 <= client.heard[0].age_ms < 120_000


def test_event_of_an_earlier_boot_has_its_age_by_the_wall_clock(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    client = FakeClient()

    async def tell() -> None:
        await Health(spool, QUICK).tell("x", "info", "y", at=Instant(boot_id="another", boottime_ns=1))
        await deliver(spool, client, 1)

    began = time.time()
    asyncio.run(tell())
    assert client.heard[0].age_ms <= (time.time() - began + 10) * 1000


def test_what_is_tried_again_and_again_is_told_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)

    async def tell() -> int:
        health = Health(spool, QUICK)
        for _ in range(5):
            await health.tell_once("upload_refused", "critical", "No.")
        return len(await spool.events(10))

    assert asyncio.run(tell()) == 1


def test_event_that_could_not_be_kept_is_told_the_next_time(tmp_path: Path) -> None:
    spool = opened(tmp_path)

    async def tell() -> int:
        health = Health(spool, QUICK)
        (tmp_path / "events").rmdir()
        with pytest.raises(FileNotFoundError):
            await health.tell_once("writing_failed", "critical", "The disk is full.")
        (tmp_path / "events").mkdir()
        await health.tell_once("writing_failed", "critical", "The disk is full.")
        return len(await spool.events(10))

    assert asyncio.run(tell()) == 1


def test_events_of_a_storm_do_not_fill_the_disk_while_the_controller_is_away(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.events_limit = 3

    async def tell() -> list[int]:
        health = Health(spool, QUICK)
        waiting = []
        for _ in range(2):
            for _ in range(6):
                await health.tell("device_overrun", "warning", "Frames were dropped.")
            events = await spool.events(10)
            waiting.append(len(events))
            await spool.drop_events(events)
        return waiting

    assert asyncio.run(tell()) == [3, 3]


def test_end_of_a_condition_is_kept_in_a_storm_and_still_bounded(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.events_limit = 3

    async def tell() -> int:
        health = Health(spool, QUICK)
        for _ in range(4):
            await health.tell("device_overrun", "warning", "Frames were dropped.")
        for _ in range(4):
            await health.tell("device_lost", "critical", "Gone.", ended_at=Instant.in_ms(0))
        return sum(stored.ended_at is not None for stored in await spool.events(10))

    assert asyncio.run(tell()) == 3


def test_event_with_an_id_of_its_own_is_told_once(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    event_id = new_id()

    async def tell() -> int:
        for _ in range(2):
            await Health(spool, QUICK).tell("device_lost", "critical", "Gone.", event_id=event_id)
        return len(await spool.events(10))

    assert asyncio.run(tell()) == 1


def test_broken_file_of_the_spool_is_an_event(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / str(new_id())
    folder.mkdir(parents=True)
    (folder / "job.json").write_bytes(b"nonsense")
    client = FakeClient()
    asyncio.run(deliver(opened(tmp_path), client, 1))
    assert client.heard[0].kind == "spool_file_broken"
