"""A PostgreSQL server of our own: our child, on a private socket, never on the network."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal
from urllib.parse import quote

import asyncpg

from web.store.cluster import EmbeddedPostgresError, Place, find_place, last_words, prepare_cluster, processes_of, spawn

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "Role"]

Role = Literal["owner", "app", "postgres"]

_log = logging.getLogger(__name__)
_DATABASE = "reelkeeper"
_POLL_SECONDS = 0.05
_READY_SECONDS = 120.0
"""Recovery after a power cut takes its time."""
_SIGNALS = ((signal.SIGINT, 3.0), (signal.SIGQUIT, 2.0), (signal.SIGKILL, 2.0))
"""Fast, immediate, and by force, each with its seconds. None costs committed data."""
_CONNECT_SECONDS = 2.0
_RETRY_SECONDS = (0.2, 5.0)
_READY_LINE = 7
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
}


class EmbeddedPostgres:
    """`async with EmbeddedPostgres(data_folder, socket_folder) as server:` - running inside, stopped outside."""

    def __init__(self, data_folder: Path, socket_folder: Path, options: Mapping[str, str] | None = None) -> None:
        """`options` are settings of the server besides ours."""
        self._wanted = (data_folder, socket_folder)
        self._options = dict(options or {})
        self._place: Place | None = None
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> EmbeddedPostgres:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Make the cluster if there is none, end what a dead controller left, and answer queries.

        From then on a server that dies is started again. Raises EmbeddedPostgresError.
        """
        try:
            self._place = await asyncio.to_thread(find_place, *self._wanted)
            self._lock = _take_lock(self._place)
            await asyncio.to_thread(prepare_cluster, self._place)
            await self._run()
            await self._make_roles_and_database()
        except OSError as error:
            await self.stop()
            raise EmbeddedPostgresError(
                f"The database cannot start: {error}. Mend this or set DATABASE_URL."
            ) from error
        except BaseException:
            await self.stop()
            raise
        self._keeper = asyncio.create_task(self._keep(), name="embedded database")

    async def stop(self) -> None:
        """Fast shutdown, at most 3 s; then immediate, which costs no committed data."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            keeper.cancel()
            await asyncio.wait([keeper])
        if self._place is None or self._lock is None:
            return
        try:
            if self._process is not None:
                process, self._process = self._process, None
                await _end_postmaster(process)
            await _end_leftovers(self._place)
            with suppress(OSError):  # somebody else's file lies there
                self._place.sockets.rmdir()
        finally:
            self._lock.close()
            self._lock = None

    def url(self, role: Role = "app", database: str = _DATABASE) -> str:
        """For connecting as this role over the socket. Only after the start."""
        if self._place is None:
            raise EmbeddedPostgresError("The database was not started.")
        return _url(self._place, role, database)

    def running_url(self, role: Role = "app") -> str:
        """Where a server that another process started from these folders answers, if it runs."""
        return _url(find_place(*self._wanted), role, _DATABASE)

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while there is one."""
        return None if self._process is None else self._process.pid

    async def _run(self) -> None:
        place = self._started_place()
        await _end_leftovers(place)
        options = {**_OPTIONS, "unix_socket_directories": str(place.sockets), **self._options}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = spawn(place, "postgres", ["-D", str(place.cluster), *settings])
        await _wait_until_ready(place, self._process)

    async def _keep(self) -> None:
        pause = _RETRY_SECONDS[0]
        while True:
            if self._process is not None and self._process.poll() is None:
                await asyncio.sleep(_POLL_SECONDS)
                continue
            _log.warning("the database server ended by itself; starting it again")
            try:
                await self._run()
                pause = _RETRY_SECONDS[0]
            except (EmbeddedPostgresError, OSError) as error:
                _log.error("the database server does not start: %s", error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _RETRY_SECONDS[1])

    async def _make_roles_and_database(self) -> None:
        connection = await asyncpg.connect(self.url("postgres", "postgres"), timeout=_CONNECT_SECONDS)
        try:
            for role in ("owner", "app"):
                if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                    await connection.execute(f"CREATE ROLE {role} LOGIN")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE):
                await connection.execute(f"CREATE DATABASE {_DATABASE} OWNER owner")
        finally:
            await connection.close()

    def _started_place(self) -> Place:
        if self._place is None:
            raise EmbeddedPostgresError("The database was not started.")
        return self._place


def _url(place: Place, role: Role, database: str) -> str:
    return f"postgresql://{role}@/{quote(database)}?host={quote(str(place.sockets), safe='')}"


def _take_lock(place: Place) -> IO[str]:
    """Held while this controller lives: the kernel releases it, so what runs without it is a left-over."""
    lock = place.lock.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise EmbeddedPostgresError(
            f"Another controller uses the database in {place.data}; stop it, or give this one its own REELKEEPER_HOME."
        ) from error
    return lock


async def _wait_until_ready(place: Place, process: subprocess.Popen[bytes]) -> None:
    await _until(lambda: _is_ready(place, process.pid) or process.poll() is not None, _READY_SECONDS)
    if process.poll() is not None:
        raise EmbeddedPostgresError(f"The database server ended at its start: {last_words(place)} See {place.log}.")
    if not _is_ready(place, process.pid):
        raise EmbeddedPostgresError(f"The database server is not ready in {_READY_SECONDS:.0f} s. See {place.log}.")


def _is_ready(place: Place, pid: int) -> bool:
    lines = _pid_file_lines(place)
    return len(lines) > _READY_LINE and lines[0].strip() == str(pid) and lines[_READY_LINE].strip() == "ready"


def _pid_file_lines(place: Place) -> list[str]:
    try:
        return (place.cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


async def _end_postmaster(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in _SIGNALS:
        if process.poll() is None:
            process.send_signal(number)
        if await _until(lambda: process.poll() is not None, seconds):
            return


async def _end_leftovers(place: Place) -> None:
    """End a server whose controller died, and backends whose postmaster died, the gentle way first.

    Only processes that work in our own cluster are touched; a pid in a stale file may belong to anybody by now.
    """
    for number, seconds in _SIGNALS:
        left = list(processes_of(place))
        lines = _pid_file_lines(place)
        postmaster = [pid for pid in left if lines and lines[0].strip() == str(pid)]
        for pid in postmaster or left:
            _send(pid, number)
        if await _until(lambda: not any(processes_of(place)), seconds):
            break
    else:
        raise EmbeddedPostgresError(
            f"Processes {list(processes_of(place))} still use {place.cluster}; end them or set DATABASE_URL."
        )
    # PostgreSQL takes the pid in its lock files for a living server when anything of the same account has it by now.
    for lock in (place.cluster / "postmaster.pid", *place.sockets.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
