"""A controller in this process, furnished, and what can be seen of the effects of a request."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from protocol.timeouts import Timeouts
from tests.integration.route_calls import Answer, ask, request_of
from tests.integration.route_world import Principal, World, furnish, hang_hooks
from tests.integration.web_room import settings_in
from web.app import create_app
from web.route_rules import Rule
from web.store.database import Database

ENDLESS = {"/events"}
SLOWLY = 1000.0
"""Nothing happens by itself meanwhile."""
NOTED = {"audit_entry", "audit_seal", "sign_in_try"}
"""Tables that a refusal may write into."""


@dataclass
class House:
    """A controller in this process, its world, and what can be seen of its effects."""

    app: Any
    world: World
    state: "State"

    async def answer(self, rule: Rule, by: Principal, place: str) -> Answer:
        path, headers, body = request_of(rule, self.world, place)
        until_begun = rule.path in ENDLESS
        return await ask(self.app, rule.method, path, {**headers, **by.headers}, body, until_begun=until_begun)


class State:
    """What a refusal must leave as it was: rows, files, what is told to others, connections to anywhere."""

    def __init__(self, superuser: asyncpg.Connection, folder: Path) -> None:
        self._sql, self._folder = superuser, folder
        self._tables: list[str] = []
        self.told: list[str] = []

    async def keep(self) -> None:
        """Remembers every row, and listens from now on."""
        rows = await self._sql.fetch(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY 1"
        )
        self._tables = [row["relname"] for row in rows if row["relname"] not in NOTED]
        await self._sql.execute("CREATE SCHEMA kept")
        for table in self._tables:
            await self._sql.execute(f'CREATE TABLE kept."{table}" AS TABLE public."{table}"')
        for channel in ("reelkeeper_node", "reelkeeper_page"):
            await self._sql.add_listener(channel, self._hear)

    def _hear(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        if '"audit"' not in payload:
            self.told.append(f"{channel}: {payload}")

    async def digests(self) -> dict[str, Any]:
        """Of each table, and of the files; last use is no effect."""
        parts = [
            f"SELECT '{table}' AS name, md5(string_agg(md5((to_jsonb(t) - '{{last_used_at,last_used_from,last_seen_at,"
            f"used_at}}'::text[])::text), '' ORDER BY to_jsonb(t)::text)) AS digest FROM public.\"{table}\" t"
            for table in self._tables
        ]
        found = {row["name"]: row["digest"] for row in await self._sql.fetch(" UNION ALL ".join(parts))}
        files = {str(path): path.stat().st_size for path in self._folder.rglob("*") if path.is_file()}
        return found | {"files": files}

    async def restore(self, tables: set[str]) -> None:
        """Puts back the rows of these tables."""
        async with self._sql.transaction():
            await self._sql.execute("SET LOCAL session_replication_role = replica")
            for table in tables:
                columns = await self._sql.fetchval(
                    "SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns"
                    " WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER'",
                    table,
                )
                await self._sql.execute(
                    f'DELETE FROM public."{table}"; INSERT INTO public."{table}" ({columns}) OVERRIDING SYSTEM VALUE'
                    f' SELECT {columns} FROM kept."{table}"'
                )


_watched: list[list[Any]] = []


def _see(event: str, given: Any) -> None:
    if event == "socket.connect" and isinstance(given[1], tuple):
        for seen in _watched:
            seen.append(given[1])


sys.addaudithook(_see)


@contextmanager
def connections() -> Iterator[list[Any]]:
    """Where this process connects to meanwhile, besides sockets of files."""
    seen: list[Any] = []
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched.remove(seen)


@asynccontextmanager
async def keeping_house(
    folder: Path, database_url: str, owner: asyncpg.Connection, superuser_url: str
) -> AsyncIterator[House]:
    """A furnished house whose state is known."""
    async with Database(database_url, Timeouts().scaled(SLOWLY)) as db:
        world = await furnish(db, owner)
    settings = settings_in(folder, time_scale=SLOWLY, api_calls_per_minute=10**6, api_failures_per_minute=10**6)
    superuser = await asyncpg.connect(superuser_url)
    app, state = create_app(settings, database_url), State(superuser, folder)
    async with app.router.lifespan_context(app):
        await asyncio.sleep(1)  # what runs beside is done with its first round
        await hang_hooks(world, owner)
        await state.keep()
        yield House(app, world, state)
    await superuser.close()
