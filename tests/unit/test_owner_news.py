"""What happens to a device is told once, whoever restarts meanwhile, and what lasts again when it is over."""

import asyncio
from dataclasses import replace
from pathlib import Path

from agent.health import Health
from agent.owner import clock
from agent.owner.config import Capture, Interface
from agent.owner.handle import OwnerEvent, OwnerStatus
from agent.owner_news import OwnerNews
from agent.spool import Spool
from agent.states import Instant, StoredEvent
from protocol.ids import new_id
from protocol.messages import InterfaceRef
from protocol.timeouts import Timeouts

INTERFACE = InterfaceRef(backend="synthetic", name="counter")
LOST = OwnerEvent("one", "device_lost", "critical", "It is gone.", began_ns=1_000, ended_ns=None)


def status(*events: OwnerEvent, pid: int = 1) -> OwnerStatus:
    return OwnerStatus(
        pid=pid,
        interface=Interface("synthetic", "counter"),
        capture=Capture(2, 48_000, "s16"),
        take_id=None,
        take_folder=None,
        next_frame=0,
        durable_frame=0,
        growth=None,
        fault=None,
        storage="usable",
        device="lost" if LOST in events else "capturing",
        needs=[],
        preroll_ms=0,
        silence=None,
        events=list(events),
    )


def told(spool: Spool) -> list[StoredEvent]:
    return asyncio.run(spool.events(100))


def test_condition_is_told_when_it_begins_and_under_the_same_id_when_it_is_over(tmp_path: Path) -> None:
    spool, job_id = Spool.open(tmp_path), new_id()
    news = OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE, job_id)
    asyncio.run(news.tell(status(LOST)))
    (begun,) = told(spool)
    assert (begun.event.lasts, begun.event.ended_age_ms, begun.event.job_id) == (True, None, job_id)
    asyncio.run(news.tell(status(replace(LOST, ended_ns=clock.boottime_ns()))))
    (over,) = told(spool)
    assert over.event.id == begun.event.id
    assert (over.event.lasts, over.ended_at is None) == (False, False)


def test_next_agent_tells_under_the_same_ids_and_this_one_nothing_twice(tmp_path: Path) -> None:
    spool, job_id = Spool.open(tmp_path), new_id()
    news = OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE, job_id)
    asyncio.run(news.tell(status(LOST)))
    begun = told(spool)
    ids = [stored.event.id for stored in begun]
    asyncio.run(spool.drop_events(begun))
    asyncio.run(news.tell(status(LOST)))
    assert told(spool) == []
    asyncio.run(OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE, job_id).tell(status(LOST)))
    assert [stored.event.id for stored in told(spool)] == ids


def test_what_was_over_before_is_no_news_and_what_lasts_is(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    news = OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE)
    over = replace(LOST, id="two", ended_ns=2_000)
    asyncio.run(news.tell(status(over, LOST), since_ns=5_000))
    assert [stored.event.lasts for stored in told(spool)] == [True]


def test_only_ends_are_told_while_a_recording_tells_of_its_own(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)
    news = OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE)
    asyncio.run(news.tell(status(LOST), begins=False))
    assert told(spool) == []
    asyncio.run(news.tell(status(LOST)))
    asyncio.run(news.tell(status(replace(LOST, ended_ns=3_000)), begins=False))
    assert [stored.event.lasts for stored in told(spool)] == [False]


ZEROS = OwnerEvent("three", "exact_zeros", "critical", "Nothing.", began_ns=5_000, ended_ns=None)
DEAD = OwnerEvent("four", "dead_channel", "warning", "Channel 2 is dead.", began_ns=5_000, ended_ns=None, channel=1)


def test_recording_that_ends_ends_what_lasted_whoever_tells_it(tmp_path: Path) -> None:
    spool, job_id, memory = Spool.open(tmp_path), new_id(), tmp_path / "told.json"

    def agent() -> OwnerNews:
        return OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE, job_id, memory=memory)

    asyncio.run(agent().tell(status(ZEROS)))
    begun = told(spool)
    asyncio.run(spool.drop_events(begun))
    asyncio.run(agent().tell(status(ZEROS)))
    assert told(spool) == []
    next_agent = agent()
    asyncio.run(next_agent.finish(Instant.in_ms(0)))
    over = told(spool)
    assert [one.event.id for one in over] == [one.event.id for one in begun]
    assert [one.event.ended_age_ms is not None for one in over] == [True]
    asyncio.run(spool.drop_events(over))
    asyncio.run(next_agent.finish(Instant.in_ms(0)))
    asyncio.run(agent().finish(Instant.in_ms(0)))
    assert told(spool) == []


def test_channel_that_is_not_recorded_is_no_news_and_the_only_one_is_critical(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path)

    def severities(*channels: int) -> list[str]:
        news = OwnerNews(Health(spool, Timeouts()), Timeouts(), INTERFACE, new_id(), channels=frozenset(channels))
        asyncio.run(news.tell(status(DEAD)))
        found = told(spool)
        asyncio.run(spool.drop_events(found))
        return [one.event.severity for one in found]

    assert (severities(0), severities(0, 1), severities(1)) == ([], ["warning"], ["critical"])


def test_condition_that_a_dead_owner_saw_is_over_unless_the_next_one_knows_of_it(tmp_path: Path) -> None:
    spool, patient, hasty = Spool.open(tmp_path), Timeouts(), Timeouts(take_linger=0.0)
    for timeouts, ends in ((patient, [True]), (hasty, [False])):
        news = OwnerNews(Health(spool, timeouts), timeouts, INTERFACE, new_id())
        asyncio.run(news.tell(status(ZEROS)))
        asyncio.run(news.tell(status(pid=2)))
        found = told(spool)
        assert [one.event.lasts for one in found] == ends
        asyncio.run(spool.drop_events(found))
