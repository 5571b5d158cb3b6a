"""Which acts leave an entry, and what is in it; and what happens all the time leaves none."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from protocol.messages import Limits
from protocol.timeouts import Timeouts
from tests import profiles
from tests.integration.room import COUNTER, STEREO, Room, make_room
from tests.integration.web_room import patient
from web.domain.access import Actor, Source, everywhere
from web.domain.audit import Entry, Filter, Outcome
from web.runners.leases import OutageWatch, tick
from web.services.recorders import nodes
from web.services.work import jobs, recordings, retry
from web.services.work import profiles as profile_service
from web.store import audit as stored
from web.store.database import Database

pytestmark = pytest.mark.anyio

ANA = Actor("user", uuid4(), "ANA", everywhere(), Source("192.0.2.7", uuid4()))


@pytest.fixture
def timeouts() -> Timeouts:
    """So short a lease that a test can wait for it."""
    return patient(Timeouts(lease=0.001))


@pytest.fixture
async def room(db: Database) -> Room:
    return await make_room(db)


async def noted(db: Database, *, since: int = 0) -> list[Entry]:
    """Those after an entry, oldest first."""
    return [entry for entry in reversed(await stored.matching(db, Filter(), limit=100)) if entry.id > since]


async def test_a_node_that_joins_and_what_is_set_of_it_are_on_record(db: Database, room: Room) -> None:
    since = await stored.newest_id(db)
    assert [entry.action for entry in await noted(db)] == [
        "enrolment_code.create",
        "node.join",
        "node.begin_run",
        "node.edit",
        "node.edit",
    ]
    node_id = room.node.node_id
    await nodes.set_capacity(db, node_id, 7, by=ANA)
    await nodes.set_capture_format(db, node_id, COUNTER, STEREO, by=ANA)
    await nodes.set_minimum_bytes(db, node_id, 4096, by=ANA)
    await nodes.arm_interface(db, node_id, COUNTER, 30, by=ANA)
    entries = await noted(db, since=since)
    assert {(entry.action, entry.actor_name, entry.source) for entry in entries} == {("node.edit", "ANA", ANA.source)}
    assert {entry.of and (entry.of.id, entry.of.name) for entry in entries} == {(node_id, "Town hall")}
    assert [(entry.before, entry.after) for entry in entries] == [
        ({"capacity": 3}, {"capacity": 7}),
        ({"counter: capture format": None}, {"counter: capture format": STEREO.model_dump(mode="json")}),
        ({"minimum_bytes": None}, {"minimum_bytes": 4096}),
        ({"counter: seconds kept before a start": 0}, {"counter: seconds kept before a start": 30}),
    ]


async def test_the_life_of_a_recording_is_on_record_and_its_heartbeats_are_not(db: Database, room: Room) -> None:
    since = await stored.newest_id(db)
    job = await room.claimed(name="Council")
    for _ in range(5):
        await room.heartbeat(job)
        await jobs.news_of(db, node=room.node)
    await recordings.stop_recording(db, job.recording_id, by=ANA)
    await recordings.stop_recording(db, job.recording_id, by=ANA)
    await room.finish(job)
    await retry.retry_recording(db, job.recording_id, by=ANA)
    await recordings.cancel_recording(db, job.recording_id, by=ANA)
    entries = await noted(db, since=since)
    assert [(entry.action, entry.actor_kind, entry.actor_name, entry.outcome) for entry in entries] == [
        ("recording.start", "system", "test", Outcome.DONE),
        ("recording.stop", "user", "ANA", Outcome.DONE),
        ("recording.end", "node", "Town hall", Outcome.FAILED),
        ("recording.retry", "user", "ANA", Outcome.DONE),
        ("recording.cancel", "user", "ANA", Outcome.DONE),
        ("recording.end", "user", "ANA", Outcome.DONE),
    ]
    assert {entry.of and (entry.of.kind, entry.of.id, entry.of.name) for entry in entries} == {
        ("recording", job.recording_id, "Council")
    }
    assert entries[2].after == {"state": "failed", "reason": "device_gone", "job_id": str(job.job_id)}


async def test_content_that_arrives_is_on_record_once(db: Database, room: Room) -> None:
    job = await room.claimed()
    since = await stored.newest_id(db)
    cache_file = await room.open_file(job)
    await room.seal(job, cache_file)
    await room.seal(job, cache_file)
    (entry,) = await noted(db, since=since)
    assert (entry.action, entry.actor_kind, entry.outcome) == ("recording.end", "node", Outcome.DONE)
    assert entry.after is not None
    assert entry.after["state"] == "completed"


async def test_a_job_that_the_controller_gives_up_is_on_record(db: Database, owner: Any, room: Room) -> None:
    await room.claimed()
    await owner.execute("UPDATE lease SET expires_at = clock_timestamp() - interval '1 day'")
    since, watch = await stored.newest_id(db), OutageWatch()
    await tick(db, watch)
    await asyncio.sleep(2 * db.timeouts.lease)
    await tick(db, watch)
    (entry,) = await noted(db, since=since)
    assert (entry.action, entry.actor_kind, entry.actor_name) == ("recording.end", "system", "lease runner")
    assert (entry.outcome, entry.after and entry.after["reason"]) == (Outcome.FAILED, "contact_lost")
    assert "Contact with Town hall was lost" in str(entry.reason)


async def test_a_profile_is_on_record_with_what_changed(db: Database) -> None:
    limits = Limits(length_ms=3_600_000)
    await profile_service.protect(db, profiles.WAV, limits=limits, minimum_bytes=None, by=ANA)
    (entry,) = await noted(db)
    assert (entry.action, entry.of and entry.of.id) == ("profile.edit", profiles.WAV)
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["limits"]["length_ms"], entry.after["limits"]["length_ms"]) == (None, 3_600_000)
    assert "minimum_bytes" not in entry.after


async def test_an_act_of_another_address_is_another_entry(db: Database, room: Room) -> None:
    for address in ("192.0.2.1", "192.0.2.2"):
        by = replace(ANA, source=Source(address, uuid4()))
        await nodes.set_capacity(db, room.node.node_id, 5, by=by)
    assert [entry.source.address for entry in (await noted(db))[-2:]] == ["192.0.2.1", "192.0.2.2"]
