"""The schema that migrations make is the one the code knows, and `app` can only use it."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.integration.conftest import Server
from tests.integration.room import make_room
from web.store.database import Database
from web.store.migrate import MigrationError, migrate, migrations
from web.store.tables import ALL_TABLES

pytestmark = pytest.mark.anyio

_COLUMNS = """
SELECT table_name, column_name, data_type, udt_name, is_nullable
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'migration'
ORDER BY table_name, column_name
"""
_KEYS = """
SELECT conrelid::regclass::text AS of_table, confrelid::regclass::text AS to_table, contype::text,
       (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute
        WHERE attrelid = conrelid AND attnum = ANY(conkey)) AS columns
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype IN ('p', 'f') AND conrelid::regclass::text <> 'migration'
ORDER BY 1, 2, 3, 4
"""


@pytest.fixture
def empty_database(postgres: Server) -> Any:
    name = "empty_for_migrations"
    postgres.make(name, template="template0")
    yield name
    postgres.drop(name)


async def test_migrated_and_described_schema_are_equal(
    postgres: Server, owner: Any, empty_database: str, anyio_backend: str
) -> None:
    connection = await asyncpg.connect(postgres.url("owner", empty_database))
    try:
        for table in ALL_TABLES:
            for statement in table.create_table().ddl:
                await connection.execute(statement)
        assert [tuple(row) for row in await connection.fetch(_COLUMNS)] == [
            tuple(row) for row in await owner.fetch(_COLUMNS)
        ]
        described = {(row[0], row[1], row[2], *row[3]) for row in await connection.fetch(_KEYS)}
        migrated = {(row[0], row[1], row[2], *row[3]) for row in await owner.fetch(_KEYS)}
        # a key that is also a reference: Piccolo has no such
        assert migrated - described == {
            ("node_seen", "node", "f", "node_id"),
            ("node_certificate", "node", "f", "node_id"),
            ("lease", "job", "f", "job_id"),
        }
        assert described <= migrated
    finally:
        await connection.close()


async def test_controllers_that_start_together_migrate_once(postgres: Server, empty_database: str) -> None:
    url = postgres.url("owner", empty_database)
    answers = await asyncio.gather(*(migrate(url) for _ in range(4)))
    assert sorted(map(len, answers)) == [0, 0, 0, len(migrations())]
    assert await migrate(url) == []


async def test_a_user_that_may_make_nothing_is_told_what_to_do(postgres: Server, empty_database: str) -> None:
    with pytest.raises(MigrationError, match="let this user own the database"):
        await migrate(postgres.url("app", empty_database))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "ALTER TABLE job ADD COLUMN mine int",
        "DROP TABLE lease",
        "TRUNCATE job_event",
        "CREATE INDEX mine ON job (state)",
        "UPDATE job_event SET kind = 'completed'",
        "DELETE FROM job_event",
        "DELETE FROM migration",
        "CREATE ROLE mine",
        "ALTER TABLE job_event DISABLE TRIGGER ALL",
    ],
)
async def test_app_can_change_neither_schema_nor_history(db: Database, database_url: str, statement: str) -> None:
    await (await make_room(db)).claimed()
    connection = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_renewals_stay_on_their_page(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    for _ in range(20):
        await room.heartbeat(job)
    await owner.execute("SELECT pg_stat_force_next_flush()")
    for _ in range(20):
        await room.heartbeat(job)
    assert await owner.fetchval("SELECT count(*) FROM pg_index WHERE indrelid = 'lease'::regclass") == 2
    options = await owner.fetchval("SELECT reloptions FROM pg_class WHERE relname = 'lease'")
    assert options == ["fillfactor=50", "autovacuum_vacuum_scale_factor=0.01"]
