"""Lists, counts and the bar over many rows: right for every kind of scope, and from what they show alone."""

import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from protocol.messages import JobSettings, WavEncoding
from tests.integration.room import COUNTER, STEREO, Room, make_room
from web.domain.access import Scope
from web.domain.states import JobState
from web.store import job_cards
from web.store.database import Database
from web.store.queries import read_queries

pytestmark = pytest.mark.anyio

_LIMIT = 10_001
_ADD_RECORDINGS = """
    INSERT INTO recording (id, request_digest, name, folder, node_id, profile_id, upload_policy_ids, state, created_by)
    SELECT gen_random_uuid(), n, 'Council', $1, $2, (SELECT id FROM profile WHERE is_default), '{}', 'completed', 'test'
    FROM generate_series(1, $3) n"""
_ADD_JOBS = """
    INSERT INTO job (id, recording_id, attempt, node_id, backend, interface, settings, state, wish, epoch, run_at,
                     ended_at)
    SELECT r.id, r.id, 1, r.node_id, 'alsa', 'usb', $1::jsonb,
           CASE WHEN r.request_digest::integer % 3 = 0 THEN 'failed' ELSE 'completed' END, 'run', 1, now(),
           now() - r.request_digest::integer * interval '1 hour'
    FROM recording r"""
_SETTINGS = JobSettings(
    interface=COUNTER, capture=STEREO, channel_map=[[1, 0], [0, 1]], encoding=WavEncoding(sample_type=None)
)
_FOLDERS = ("", "Court", "Court/Hall", "Court/Hall/East", "Courtyard", "Church")


@pytest.fixture
async def rooms(db: Database, owner: asyncpg.Connection) -> list[Room]:
    """Two nodes with 40 ended recordings in each of some folders."""
    rooms = [await make_room(db, "Hall"), await make_room(db, "Cellar")]
    for room in rooms:
        for folder in _FOLDERS:
            await owner.execute(_ADD_RECORDINGS, folder, room.node.node_id, 40)
    await owner.execute(_ADD_JOBS, _SETTINGS.model_dump_json())
    return rooms


async def expected(owner: asyncpg.Connection, scope: Scope) -> Mapping[JobState, tuple[int, int]]:
    """One job after the other, by the definition of a scope."""
    rows = await owner.fetch(
        "SELECT j.state, j.node_id, r.folder, j.ended_at > now() - interval '1 day' AS is_of_today"
        " FROM job j JOIN recording r ON r.id = j.recording_id"
    )
    mine = [row for row in rows if scope.covers(row["node_id"], row["folder"])]
    return {
        state: (
            sum(row["state"] == state for row in mine),
            sum(row["state"] == state and row["is_of_today"] for row in mine),
        )
        for state in JobState
    }


async def test_jobs_are_counted_for_every_kind_of_scope(
    db: Database, owner: asyncpg.Connection, rooms: list[Room]
) -> None:
    hall, cellar = (room.node.node_id for room in rooms)
    for scope in (
        Scope(everything=True),
        Scope(),
        Scope(nodes=frozenset([hall])),
        Scope(nodes=frozenset([hall, cellar])),
        Scope(folders=frozenset(["Court"])),
        Scope(folders=frozenset(["Court", "Court/Hall", "Church"])),
        Scope(nodes=frozenset([hall]), folders=frozenset(["Court"])),
        Scope(folders=frozenset(["Court"]), but_folders=frozenset(["Court/Hall"])),
        Scope(folders=frozenset(["Court"]), but_nodes=frozenset([cellar])),
        Scope(everything=True, but_folders=frozenset(["Court"])),
        Scope(everything=True, but_nodes=frozenset([hall]), but_folders=frozenset(["Church"])),
    ):
        found = await job_cards.counts(db, scope=scope, limit=_LIMIT)
        assert {state: (one.jobs, one.of_today) for state, one in found.items()} == await expected(owner, scope), scope


async def test_jobs_move_with_their_recording(db: Database, owner: asyncpg.Connection, rooms: list[Room]) -> None:
    church = Scope(folders=frozenset(["Church"]))
    await owner.execute("UPDATE recording SET folder = 'Church/Vault' WHERE folder LIKE 'Court%'")
    found = await job_cards.counts(db, scope=church, limit=_LIMIT)
    assert sum(one.jobs for one in found.values()) == 40 * len(rooms) * 5
    assert {job.folder for job in await job_cards.latest(db, scope=church, limit=500)} == {"Church", "Church/Vault"}


async def plan(owner: asyncpg.Connection, name: str, **values: Any) -> str:
    """How the server would do a named query if it read a whole table only where it has to."""
    await owner.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    query = read_queries()[name]
    async with owner.transaction():
        await owner.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        rows = await owner.fetch(f"EXPLAIN {query.sql}", *query.arguments(values))
    return "\n".join(row[0] for row in rows)


async def test_jobs_of_a_folder_or_a_node_are_counted_from_its_own_index(
    owner: asyncpg.Connection, rooms: list[Room]
) -> None:
    scope = Scope(nodes=frozenset([rooms[0].node.node_id]), folders=frozenset(["Court"]))
    found = await plan(
        owner,
        "job_counts_within",
        scope=scope.sql,
        nodes=sorted(scope.nodes),
        folders=scope.outermost_folders,
        states=list(JobState),
        limit=_LIMIT,
    )
    assert "Index Only Scan using job_of_node" in found
    assert found.count("Index Only Scan using job_in_folder") == 2
    assert "recording" not in found


async def test_the_bar_reads_recordings_by_their_ids_alone(owner: asyncpg.Connection, rooms: list[Room]) -> None:
    """It stands over every page."""
    scope = Scope(folders=frozenset(["Court"])).sql
    found = await plan(owner, "bar_counts", scope=scope, health=scope, since=timedelta(days=3))
    of_recordings = [line for line in found.splitlines() if " on recording" in line]
    assert of_recordings
    assert [line for line in of_recordings if "recording_pkey" not in line and "recording_ended" not in line] == []
    assert "health_event_open_lasting" in found


async def test_which_rows_a_list_shows_is_found_before_more_is_read_of_them(
    owner: asyncpg.Connection, rooms: list[Room]
) -> None:
    wanted: dict[str, Any] = {"scope": Scope(folders=frozenset(["Court"])).sql, "nodes": None, "limit": 51}
    everything: dict[str, UUID | None] = dict.fromkeys(("before", "states", "text"))
    jobs = await plan(owner, "newest_job_cards", **wanted, **everything, recording_id=None, node_id=None)
    recordings = await plan(owner, "newest_recording_cards", **wanted, **everything, first=None)
    for found in (jobs, recordings):
        page = part(found, "CTE page")
        assert any("Scan" in line for line in page)
        assert [line for line in page if "Join" in line or "Loop" in line] == []


def part(found: str, head: str) -> list[str]:
    """The lines of a plan that lie below one of it."""
    lines = iter(found.splitlines())
    depth = next(len(line) - len(line.lstrip()) for line in lines if line.strip() == head)
    return list(takewhile(lambda line: len(line) - len(line.lstrip()) > depth, lines))
