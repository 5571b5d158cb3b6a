"""Bring a database to the schema of this version."""

from importlib.resources import files
from typing import Any

import asyncpg

from web.domain.errors import ControllerError, DatabaseUnavailableError

_LOCK = 7_233_501
"""Any number that no other advisory lock of ours has."""
_CONNECT_SECONDS = 10.0


class MigrationError(ControllerError):
    """The database could not be brought to this version. The text is one line and says what to do."""


async def migrate(url: str) -> list[str]:
    """Run the migrations that this database lacks, each in one transaction; answers their names.

    `url` is of the role `owner`. Several controllers may do this at once: an advisory lock lets them take turns.
    Raises MigrationError, and DatabaseUnavailableError while nobody answers there.
    """
    connection = await _connect(url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await _make_ready(connection)
        done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
        missing = [(name, sql) for name, sql in migrations() if name not in done]
        for name, sql in missing:
            await _run(connection, name, sql)
        return [name for name, _ in missing]
    finally:
        await connection.close()


def migrations() -> list[tuple[str, str]]:
    """Every migration of this version, name and SQL, in their order."""
    folder = files("web.store") / "migrations"
    return sorted(
        (entry.name.removesuffix(".sql"), entry.read_text("utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    )


async def _connect(url: str) -> Any:
    try:
        return await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
        raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
    except (asyncpg.PostgresError, ValueError) as error:
        raise MigrationError(f"The database refuses this connection ({error}); mend DATABASE_URL.") from error


async def _make_ready(connection: Any) -> None:
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = 'app'"):
            await connection.execute("CREATE ROLE app LOGIN")
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration "
            "(name text PRIMARY KEY, ran_at timestamptz NOT NULL DEFAULT clock_timestamp())"
        )
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"This database user may not do that ({error}); make the role `app` and let this user own the database."
        ) from error


async def _run(connection: Any, name: str, sql: str) -> None:
    try:
        async with connection.transaction():
            await connection.execute(sql)
            await connection.execute("INSERT INTO migration (name) VALUES ($1)", name)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"Migration {name} failed and changed nothing: {error}.") from error
