"""The pool outlives the server, and says plainly when it does not answer."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from protocol.ids import new_id
from protocol.timeouts import Timeouts
from tests.integration.database_proxy import database_proxy
from tests.integration.room import make_room
from tests.integration.web_room import patient
from web.domain.access import EVERYTHING
from web.domain.errors import DatabaseUnavailableError, InvalidError
from web.domain.live import Mailbox
from web.store import recordings
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import migrate
from web.store.notifications import Notifications
from web.store.tables import Node

pytestmark = pytest.mark.anyio


async def test_a_killed_server_costs_no_acknowledged_start_and_the_pool_recovers(reachable_folder: Path) -> None:
    server = EmbeddedPostgres(reachable_folder / "database", reachable_folder / "s")
    async with server:
        await migrate(server.url("owner"))
        async with Database(server.url("app"), patient(Timeouts())) as db:
            room = await make_room(db, capacity=64)
            acknowledged = []
            assert server.pid is not None
            killer = asyncio.get_running_loop().call_later(0.2, os.kill, server.pid, signal.SIGKILL)
            was_refused = False
            while True:
                try:
                    acknowledged.append((await room.start(starts_at="2100-01-01T00:00:00Z")).id)
                    if was_refused:
                        break
                except DatabaseUnavailableError:
                    was_refused = True
                    await asyncio.sleep(0.02)
            killer.cancel()
            known = {recording.id for recording in await recordings.latest(db, scope=EVERYTHING, limit=10_000)}
    assert known >= set(acknowledged)


async def test_a_connection_that_broke_between_two_steps_is_not_used_again(db: Database) -> None:
    async def backend() -> int:
        async with db.transaction() as session:
            rows = await session.run(Node.raw("SELECT pg_backend_pid() AS pid"))
        pid: int = rows[0]["pid"]
        return pid

    before = await backend()
    with pytest.raises(DatabaseUnavailableError):
        async with db.transaction():
            raise asyncpg.InternalClientError("cannot switch to another state")
    assert await backend() != before


async def test_a_database_that_is_not_there_is_unavailable(reachable_folder: Path) -> None:
    async with Database(f"postgresql://app@/reelkeeper?host={reachable_folder}", Timeouts()) as db:
        with pytest.raises(DatabaseUnavailableError, match="ask again"):
            await recordings.latest(db, scope=EVERYTHING)


async def test_a_pool_that_is_used_up_is_unavailable_in_time(database_url: str) -> None:
    async with Database(database_url, patient(Timeouts()), pool_size=1) as db, db.transaction():
        db.timeouts = Timeouts(database_acquire=0.1)
        with pytest.raises(DatabaseUnavailableError):
            await recordings.latest(db, scope=EVERYTHING)


async def test_a_statement_that_takes_too_long_is_ended(db: Database, owner: Any) -> None:
    room = await make_room(db)
    async with Database(db.url, replace(db.timeouts, database_statement=0.1)) as hasty, owner.transaction():
        await owner.execute("SELECT FROM node FOR UPDATE")
        with pytest.raises(DatabaseUnavailableError):
            await replace(room, db=hasty).start()
    await room.start()


async def test_what_no_column_holds_is_invalid_not_a_breakdown(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(InvalidError):
        await room.start("nul \x00 inside")


async def heard(pages: Mailbox, count: int) -> list[str]:
    """The next events, in their order."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            await pages.filled_within(5)
            found += [f"{event.name} {event.data}".strip() for event in pages.take()]
    return found


async def test_waiting_agents_hear_of_starts_and_stops_but_not_of_heartbeats(db: Database, database_url: str) -> None:
    room = await make_room(db)
    notifications = Notifications(database_url)
    listening = asyncio.create_task(notifications.run())
    try:
        with notifications.waiting_for(room.node.node_id) as changed, notifications.watching_pages() as pages:
            assert await heard(pages, 1) == ["resync"]
            changed.clear()
            started = await room.start()
            await asyncio.wait_for(changed.wait(), 30)
            assert await heard(pages, 2) == [f"job {started.job_id} queued", f"recording {started.id} queued"]
            job = await room.claim()
            assert job is not None
            assert await heard(pages, 1) == [f"job {job.job_id} running"]
            await room.heartbeat(job)
            await room.heartbeat(job)
            marker = await room.start("Marker")
            assert await heard(pages, 4) == [
                f"job {job.job_id} running",  # the one phase that changed
                f"recording {started.id} recording",
                f"job {marker.job_id} queued",
                f"recording {marker.id} queued",
            ]
            await room.finish(job)
            assert await heard(pages, 2) == [f"recording {started.id} failed", f"job {job.job_id} failed"]
    finally:
        listening.cancel()
        await asyncio.wait([listening])


_END_LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'reelkeeper listener' AND datname = current_database()
"""


async def test_a_listener_that_lost_its_connection_at_any_moment_wakes_everybody_and_can_be_ended(
    database_url: str, owner_url: str
) -> None:
    notifications = Notifications(database_url, retry_after=0.01)
    killer = await asyncpg.connect(owner_url.replace("owner@", "postgres@"))
    with notifications.waiting_for(new_id()) as changed:  # before the first connect, which wakes as well
        listening = asyncio.create_task(notifications.run())
        try:
            for _ in range(40):
                await asyncio.wait_for(changed.wait(), 60)
                changed.clear()
                await killer.execute(_END_LISTENERS)
            await asyncio.wait_for(changed.wait(), 60)
        finally:
            listening.cancel()
            ended, _ = await asyncio.wait([listening], timeout=60)
            await killer.close()
    assert ended


async def test_a_listener_whose_server_took_leave_without_closing_connects_again(
    database_url: str, owner_url: str
) -> None:
    killer = await asyncpg.connect(owner_url.replace("owner@", "postgres@"))
    async with database_proxy(database_url) as proxy:
        notifications = Notifications(proxy.url, retry_after=0.01, look_every=0.05)
        with notifications.waiting_for(new_id()) as changed:
            listening = asyncio.create_task(notifications.run())
            try:
                await asyncio.wait_for(changed.wait(), 60)
                changed.clear()
                proxy.hides_ends = True
                await killer.execute(_END_LISTENERS)
                await asyncio.wait_for(changed.wait(), 60)
            finally:
                listening.cancel()
                await asyncio.wait([listening])
                await killer.close()
