"""The rows of a controller's database as they stand, read past the code that wrote them."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from reelkeeper.faultkit.system import System
from web.settings import ControllerSettings
from web.store.embedded import EmbeddedPostgres

Rows = dict[str, list[dict[str, Any]]]
"""By table."""

_CONNECT_SECONDS = 5.0
_OF_RECORDINGS = {
    "recording": "SELECT to_jsonb(t) - 'preview' FROM recording t WHERE id = ANY($1::uuid[])",
    "job": "SELECT to_jsonb(t) FROM job t WHERE recording_id = ANY($1::uuid[]) ORDER BY attempt",
    "job_event": "SELECT to_jsonb(t) FROM job_event t JOIN job j ON j.id = t.job_id "
    "WHERE j.recording_id = ANY($1::uuid[]) ORDER BY t.id",
    "lease": "SELECT to_jsonb(t) FROM lease t JOIN job j ON j.id = t.job_id WHERE j.recording_id = ANY($1::uuid[])",
    "cache_file": "SELECT to_jsonb(t) FROM cache_file t WHERE recording_id = ANY($1::uuid[]) ORDER BY created_at",
    "health_event": "SELECT to_jsonb(t) FROM health_event t WHERE recording_id = ANY($1::uuid[])",
}


_USES = {
    "connections to the database": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "transactions that stand open": "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
    "advisory locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    "leases": "SELECT count(*) FROM lease",
}


def uses_of(system: System) -> dict[str, int]:
    """How much of what everybody shares is held in the database. The controller must be running."""
    return asyncio.run(_uses_of(_url(system)))


def rows_of(system: System, recordings: Sequence[str]) -> Rows:
    """Everything that the database knows of these recordings. The controller must be running."""
    return asyncio.run(_rows_of(_url(system), list(recordings)))


async def _rows_of(url: str, recordings: list[str]) -> Rows:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return {
                table: [json.loads(row[0]) for row in await connection.fetch(query, recordings)]
                for table, query in _OF_RECORDINGS.items()
            }
    finally:
        await connection.close()


async def _uses_of(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    try:
        return {what: await connection.fetchval(query) for what, query in _USES.items()}
    finally:
        await connection.close()


def _url(system: System) -> str:
    settings = ControllerSettings(home=system.home, run_folder=system.run_folder, port=system.port)
    return EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder).running_url("owner")
