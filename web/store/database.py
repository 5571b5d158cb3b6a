"""The pool of database connections, and how named and built queries are run on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
from piccolo.query.base import Query

from protocol.timeouts import Timeouts
from web.domain.errors import DatabaseUnavailableError, InvalidError
from web.store.queries import NamedQuery, read_queries

Row = dict[str, Any]
"""A row as the driver answers it; store modules turn it into a value of the domain at once."""

_UNAVAILABLE = (
    OSError,  # nobody listens, or the connection broke; TimeoutError is one of them
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # stopping, starting, crashed, or a statement took too long
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.InterfaceError,  # the connection went away under a query
    asyncpg.InternalClientError,  # it went away between two steps of one
)


class Session(Protocol):
    """Where a query runs: the database, each query by itself, or one transaction."""

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        """Run the named query and answer every row."""
        ...

    async def row(self, name: str, /, **values: object) -> Row | None:
        """Run the named query and answer its first row."""
        ...

    async def run(self, query: Query[Any, Any]) -> list[Row]:
        """Run a query that Piccolo built."""
        ...


class Database:
    """A pool on one database. It is made before the server answers, and outlives its restarts."""

    def __init__(self, url: str, timeouts: Timeouts, *, pool_size: int = 10) -> None:
        self.url = url
        self.timeouts = timeouts
        self._queries = read_queries()
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __aenter__(self) -> Database:
        limits = {
            "statement_timeout": _milliseconds(self.timeouts.database_statement),
            "idle_in_transaction_session_timeout": _milliseconds(30.0),
        }
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=0,
            max_size=self._pool_size,
            timeout=self.timeouts.database_acquire,
            command_timeout=self.timeouts.database_statement + 1.0,
            server_settings={"application_name": "reelkeeper", **limits},
            init=_speak_json,
            reset=_nothing_to_reset,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.terminate()

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        async with self._connection() as connection:
            return await _Connection(connection, self._queries).rows(name, **values)

    async def row(self, name: str, /, **values: object) -> Row | None:
        return next(iter(await self.rows(name, **values)), None)

    async def run(self, query: Query[Any, Any]) -> list[Row]:
        async with self._connection() as connection:
            return await _Connection(connection, self._queries).run(query)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One transaction on one connection. Nothing but queries may be awaited inside."""
        async with self._connection() as connection, connection.transaction():
            yield _Connection(connection, self._queries)

    @asynccontextmanager
    async def as_one(self) -> AsyncIterator[Database]:
        """All that is done with this database until the end of the block is one transaction, on one connection.

        Transactions within are parts of it that are undone alone. Nothing but queries may be awaited inside.
        """
        async with self._connection() as connection, connection.transaction():
            yield _OneTransaction(self, connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        if self._pool is None:
            raise DatabaseUnavailableError("it is closed")
        try:
            async with self._pool.acquire(timeout=self.timeouts.database_acquire) as connection:
                try:
                    yield connection
                except asyncpg.InternalClientError:
                    connection.terminate()
                    raise
        except asyncpg.DataError as error:
            raise InvalidError(f"A value cannot be stored: {error}.") from error
        except _UNAVAILABLE as error:
            raise DatabaseUnavailableError(str(error) or type(error).__name__) from error


class _OneTransaction(Database):
    """A database as one transaction of another sees it."""

    def __init__(self, outer: Database, connection: Any) -> None:
        self.url = outer.url
        self.timeouts = outer.timeouts
        self._queries = outer._queries
        self._outer = connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        yield self._outer


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _nothing_to_reset(connection: Any) -> None:
    """Settings are changed for a transaction only, so that no query is needed before the connection is used again."""


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


class _Connection:
    def __init__(self, connection: Any, queries: dict[str, NamedQuery]) -> None:
        self._connection = connection
        self._queries = queries

    async def rows(self, name: str, /, **values: object) -> list[Row]:
        query = self._queries[name]
        return [dict(row) for row in await self._connection.fetch(query.sql, *query.arguments(values))]

    async def row(self, name: str, /, **values: object) -> Row | None:
        return next(iter(await self.rows(name, **values)), None)

    async def run(self, query: Query[Any, Any]) -> list[Row]:
        sql, arguments = query.querystrings[0].compile_string()
        return [dict(row) for row in await self._connection.fetch(sql, *arguments)]
