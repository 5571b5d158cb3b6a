"""Open pages hear of what changes, of nothing else, and cost nothing when they do not listen."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from protocol.ids import new_id
from protocol.messages import ChannelLevel, InterfaceLevels, InterfaceRef, LevelsAnswer, LevelsRequest, WakeAnswer
from tests.integration.console import person
from tests.integration.room import COUNTER, SOMEBODY, WIDE, Room, make_room
from tests.integration.web_room import Running, WebAgent, running, settings_in, web_agent
from web.domain.access import EVERYTHING, Actor, Permission, Scope, everywhere, within
from web.domain.errors import ForbiddenError
from web.domain.live import RESYNC, LiveEvent, Mailbox
from web.runners.presence import PresenceWatch
from web.services.recorders.meters import Meters
from web.services.work import recordings
from web.store import nodes as node_store
from web.store.database import Database
from web.store.notifications import Notifications

pytestmark = pytest.mark.anyio


class Page:
    """An open page: what its stream told it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()

    async def next(self) -> tuple[str, str]:
        """The next event but a ping: its name and data."""
        async with asyncio.timeout(30):
            found: dict[str, str] = {}
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line:
                    found[name.rstrip(":")] = value
                elif "event" in found and found["event"] != "ping":
                    return found["event"], found.get("data", "")
                else:
                    found = {}
        raise EOFError

    async def is_over(self) -> bool:
        """Whether the stream ends, whatever comes before that."""
        try:
            while True:
                await self.next()
        except EOFError:
            return True


@asynccontextmanager
async def opened(client: httpx.AsyncClient, query: str) -> AsyncIterator[Page]:
    """A page that is open and has heard its first `resync`."""
    async with client.stream("GET", f"/events?{query}", timeout=60) as answer:
        assert answer.status_code == 200, await answer.aread()
        page = Page(answer)
        assert await page.next() == ("resync", "")
        yield page


@pytest.fixture
async def browser(controller: Running, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with person(controller.url, db) as client:
        yield client


@pytest.fixture
async def hasty(tmp_path: Path, database_url: str, anyio_backend: str) -> AsyncIterator[Running]:
    """A controller for which time passes fifty times as fast."""
    async with running(settings_in(tmp_path, time_scale=0.02), database_url) as controller:
        yield controller


async def _interface_id(db: Database, room: Room, ref: InterfaceRef = COUNTER) -> UUID:
    found = await node_store.interfaces_of(db, room.node.node_id, scope=EVERYTHING)
    return next(one.id for one in found if one.ref == ref)


def _levels(room: Room, *refs: InterfaceRef, rms: float | None = -20.04) -> LevelsRequest:
    channels = [
        ChannelLevel(peak_dbfs=-0.0003, rms_dbfs=rms, clipped_frames=7),
        ChannelLevel(peak_dbfs=None, rms_dbfs=None),
    ]
    heard = [InterfaceLevels(interface=ref, channels=channels) for ref in refs]
    return LevelsRequest(node_run=room.node_run, interfaces=heard)


async def _report(agent: WebAgent, *refs: InterfaceRef) -> LevelsAnswer:
    answer = await agent.post("/levels", _levels(agent.room, *refs).model_dump_json())
    assert answer.status_code == 200, answer.text
    return LevelsAnswer.model_validate_json(answer.text)


# ---- what changes ----


async def test_pages_hear_ids_and_states_of_their_topics(browser: httpx.AsyncClient, agent: WebAgent) -> None:
    async with opened(browser, "topics=recording,job") as page, opened(browser, "topics=job,weather") as other:
        started = await agent.room.start("A secret name")
        assert await page.next() == ("job", f"{started.job_id} queued")
        assert await page.next() == ("recording", f"{started.id} queued")
        job = await agent.room.claim()
        assert job is not None
        await agent.room.finish(job)
        awaited = {("job", f"{started.job_id} failed"), ("recording", f"{started.id} failed")}
        while awaited:
            awaited.discard(await page.next())
        while (heard := await other.next()) != ("job", f"{started.job_id} failed"):
            assert heard[0] == "job"


async def test_the_stream_is_for_signed_in_people_only(controller: Running, browser: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=controller.url, trust_env=False) as stranger:
        assert (await stranger.get("/events?topics=job")).status_code == 401
    assert (await browser.get("/events?meters=nonsense")).status_code == 422
    too_many = ",".join(str(new_id()) for _ in range(65))
    assert (await browser.get(f"/events?meters={too_many}")).status_code == 422


async def test_the_stream_ends_with_its_session_and_no_other(
    controller: Running, browser: httpx.AsyncClient, db: Database
) -> None:
    async with (
        person(controller.url, db) as other,
        opened(browser, "topics=job") as page,
        opened(other, "topics=job,recording") as stays,
    ):
        assert (await browser.post("/sign-out")).status_code == 303
        assert await page.is_over()
        room = await make_room(db)
        await room.start()
        assert (await stays.next())[0] == "job"


async def test_the_stream_ends_when_its_session_runs_out(hasty: Running, db: Database, owner: Any) -> None:
    async with person(hasty.url, db) as browser, opened(browser, "topics=job") as page:
        await owner.execute("UPDATE login_session SET expires_at = clock_timestamp()")
        assert await page.is_over()


async def test_an_open_page_keeps_its_session(hasty: Running, db: Database, owner: Any) -> None:
    seen = "SELECT last_seen_at > now() - interval '5 minutes' FROM login_session"
    async with person(hasty.url, db) as browser, opened(browser, "topics=job"):
        await owner.execute("UPDATE login_session SET last_seen_at = clock_timestamp() - interval '29 minutes'")
        await _until(owner, seen)


async def _until(owner: Any, question: str) -> None:
    """Returns once the database says yes."""
    async with asyncio.timeout(30):
        while not await owner.fetchval(question):  # noqa: ASYNC110  (the database tells nobody)
            await asyncio.sleep(0.05)


async def test_a_controller_with_fifty_open_pages_stops_at_once(
    controller: Running, browser: httpx.AsyncClient
) -> None:
    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(opened(browser, "topics=job")) for _ in range(50)]
        began = time.monotonic()
        await controller.end()
        assert time.monotonic() - began < 15
        assert all(await asyncio.gather(*(page.is_over() for page in pages)))


async def test_a_page_that_never_reads_is_cut_off(hasty: Running, db: Database, owner: Any) -> None:
    async with person(hasty.url, db) as browser:
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
        with _page_that_never_reads(hasty.url, cookie) as stuck, capture_logs() as logs:
            async with asyncio.timeout(60):
                while not any("cut off" in entry["event"] for entry in logs):
                    said = json.dumps({"name": "job", "id": str(new_id()), "data": "x" * 7000})
                    await owner.execute("SELECT pg_notify('reelkeeper_page', $1)", said)
                    await asyncio.sleep(0.02)
            assert await asyncio.to_thread(_reads_to_the_end, stuck)


@contextmanager
def _page_that_never_reads(url: str, cookie: str) -> Iterator[socket.socket]:
    address = urlsplit(url)
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.settimeout(60)
        stuck.connect((address.hostname, address.port))
        stuck.sendall(f"GET /events?topics=job HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: {cookie}\r\n\r\n".encode())
        yield stuck


def _reads_to_the_end(connection: socket.socket) -> bool:
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return True


async def test_pages_hear_of_nodes_that_fall_silent_and_come_back(db: Database, owner: Any, database_url: str) -> None:
    room = await make_room(db)
    notifications, presence = Notifications(database_url), PresenceWatch()
    await presence.tick(db, notifications)
    with notifications.watching_pages() as pages:
        await presence.tick(db, notifications)
        await presence.tick(db, notifications)
        assert pages.take() == []
        await owner.execute("UPDATE node_seen SET last_seen_at = clock_timestamp() - interval '31 seconds'")
        await presence.tick(db, notifications)
        await room.heartbeat()
        await presence.tick(db, notifications)
        assert [event.data for event in pages.take()] == [f"{room.node.node_id} online"]


# ---- what a page that reads slowly costs ----


def _event(number: int, name: Any = "job", data: str = "") -> LiveEvent:
    return LiveEvent(name, UUID(int=number), None, data)


async def test_a_slow_page_is_told_the_newest_of_each_thing() -> None:
    mailbox = Mailbox(lambda _: True)
    for said in ("queued", "running", "failed"):
        mailbox.put(_event(1, data=said))
        mailbox.put(_event(2, data=said))
    assert [event.data for event in mailbox.take()] == ["failed", "failed"]
    assert mailbox.take() == []


async def test_a_page_that_missed_too_much_is_told_to_look_again_but_never_misses_the_end_of_its_session() -> None:
    mailbox = Mailbox(lambda _: True, limit=10)
    mailbox.put(_event(0, "session"))
    for number in range(1, 100):
        mailbox.put(_event(number))
        mailbox.put(_event(number % 3, "meters"))
    waiting = mailbox.take()
    assert waiting[0].name == "session"
    assert RESYNC in waiting
    assert len(waiting) <= 10 + 3 + 1


async def test_a_page_is_not_woken_by_what_it_does_not_want() -> None:
    mailbox = Mailbox(lambda event: event.name == "job")
    mailbox.put(_event(1, "recording"))
    mailbox.put(RESYNC)
    assert mailbox.take() == [RESYNC]


# ---- levels ----


async def test_levels_of_a_watched_interface_reach_the_pages_that_show_it_and_no_other(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    counter, wide = await _interface_id(db, agent.room), await _interface_id(db, agent.room, WIDE)
    async with opened(browser, f"topics=job&meters={counter}") as page, opened(browser, f"meters={wide}") as other:
        answer = await _report(agent, COUNTER)
        assert answer.watched == [COUNTER, WIDE]
        name, data = await page.next()
        assert (name, json.loads(data)) == (
            "meters",
            {
                "interface": str(counter),
                "channels": [{"rms": -20.0, "peak": -0.0, "clip": 7}, {"rms": None, "peak": None}],
            },
        )
        await _report(agent, WIDE)
        assert json.loads((await other.next())[1])["interface"] == str(wide)


async def test_a_page_that_begins_to_look_is_known_to_the_agent_at_once(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    counter = await _interface_id(db, agent.room)
    before = WakeAnswer.model_validate_json((await agent.http.get("/wake", params={"after": 0})).text)
    assert before.watched == []
    held = asyncio.create_task(agent.http.get("/wake", params={"after": before.change_no}))
    async with opened(browser, f"meters={counter}"), asyncio.timeout(20):
        answer = WakeAnswer.model_validate_json((await held).text)
        assert answer.change_no > before.change_no
        assert answer.watched == [COUNTER]
        assert (await agent.room.heartbeat()).watched == [COUNTER]
        async with opened(browser, f"meters={counter}"):
            again = WakeAnswer.model_validate_json((await agent.http.get("/wake", params={"after": 0})).text)
            assert again.change_no == answer.change_no


async def test_nobody_looking_any_more_is_known_soon(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database, owner: Any
) -> None:
    async with opened(browser, f"meters={await _interface_id(db, agent.room)}"):
        assert (await _report(agent, COUNTER)).watched == [COUNTER]
    await owner.execute("UPDATE watched_interface SET until = clock_timestamp()")
    async with asyncio.timeout(30):
        while (await _report(agent, COUNTER)).watched:  # noqa: ASYNC110  (as agents do)
            await asyncio.sleep(0.1)
    assert (await agent.room.heartbeat()).watched == []


async def test_an_open_page_keeps_its_interfaces_watched(hasty: Running, db: Database, owner: Any) -> None:
    async with web_agent(hasty.url, db) as agent, person(hasty.url, db) as browser:
        counter = await _interface_id(db, agent.room)
        async with opened(browser, f"meters={counter}"):
            at_first = await owner.fetchval("SELECT until FROM watched_interface")
            await _until(owner, f"SELECT until > '{at_first}' FROM watched_interface")


async def test_levels_cost_the_database_no_write(
    agent: WebAgent, db: Database, owner: Any, browser: httpx.AsyncClient
) -> None:
    async with opened(browser, f"meters={await _interface_id(db, agent.room)}"):
        await _report(agent, COUNTER)
        before = await _row_versions(owner)
        for _ in range(20):
            await _report(agent, COUNTER)
        assert await _row_versions(owner) == before


async def _row_versions(owner: Any) -> set[tuple[str, str, str]]:
    """Where each row version of this database lies and who wrote it: any write changes one of them.

    Numbers of transactions would not do: they are shared by all databases of the server. The audit is sealed when it
    suits the controller.
    """
    tables = await owner.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'audit_seal'"
    )
    each = " UNION ALL ".join(
        f"SELECT '{table['name']}', ctid::text, xmin::text FROM {table['name']}" for table in tables
    )
    return {tuple(row) for row in await owner.fetch(each)}


async def test_levels_of_an_older_run_are_refused(agent: WebAgent) -> None:
    answer = await agent.post("/levels", _levels(agent.room.older(), COUNTER).model_dump_json())
    assert (answer.status_code, answer.json()["code"]) == (409, "node_run_superseded")


async def test_levels_pass_to_pages_of_another_controller_a_few_times_a_second(
    db: Database, database_url: str, controller: Running, agent: WebAgent, browser: httpx.AsyncClient
) -> None:
    counter = await _interface_id(db, agent.room)
    elsewhere = Notifications(database_url)
    listening = asyncio.create_task(elsewhere.run())
    try:
        with elsewhere.watching_pages() as pages:
            await pages.filled_within(30)
            assert pages.take() == [RESYNC]
            await Meters(db, elsewhere).keep_watched([counter], by=SOMEBODY)
            async with opened(browser, f"meters={counter}") as here:
                for _ in range(10):
                    await _report(agent, COUNTER)
                assert (await here.next())[0] == "meters"
            heard = []
            async with asyncio.timeout(30):
                while not heard:
                    await pages.filled_within(1)
                    heard += [event for event in pages.take() if event.name == "meters"]
            assert {event.id for event in heard} == {counter}
            assert len(heard) < 5
            assert len(heard[0].data) < 8000
    finally:
        listening.cancel()
        await asyncio.wait([listening])


async def test_levels_of_sixty_four_channels_fit_into_a_notification(db: Database, database_url: str) -> None:
    room = await make_room(db)
    notifications = Notifications(database_url)
    await Meters(db, Notifications(database_url)).keep_watched([await _interface_id(db, room)], by=SOMEBODY)
    channels = [ChannelLevel(peak_dbfs=-100.123, rms_dbfs=-100.123)] * 64
    request = LevelsRequest(node_run=room.node_run, interfaces=[InterfaceLevels(interface=COUNTER, channels=channels)])
    assert (await Meters(db, notifications).report(request, node=room.node)).watched == [COUNTER]


async def test_an_interface_outside_the_scope_is_not_watched(db: Database, database_url: str) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    meters = Meters(db, Notifications(database_url))
    clerk = Actor("user", None, "clerk", within(Scope(nodes=frozenset({there.node.node_id}))))
    await meters.keep_watched([await _interface_id(db, here), await _interface_id(db, there)], by=clerk)
    assert (await here.heartbeat()).watched == []
    assert (await there.heartbeat()).watched == [COUNTER]
    nobody = Actor("user", None, "nobody", everywhere(frozenset({Permission.RECORDING_READ})))
    with pytest.raises(ForbiddenError):
        await meters.keep_watched([], by=nobody)


async def test_what_a_person_does_is_told_as_what_an_agent_does(
    browser: httpx.AsyncClient, agent: WebAgent, db: Database
) -> None:
    started = await agent.room.start()
    async with opened(browser, "topics=recording") as page:
        await recordings.cancel_recording(db, started.id, by=SOMEBODY)
        assert await page.next() == ("recording", f"{started.id} cancelled")
