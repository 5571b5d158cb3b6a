"""Nothing but queries is awaited while a transaction is open: files, threads and sockets inside one are noted."""

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio.to_thread
import pytest

from web.store.database import Database, Session

_EVENTS = {
    "open",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.rename",
    "os.remove",
    "shutil.rmtree",
}
_CODE = (".py", ".pyc", ".so", ".toml")
"""A module that is imported late is read once in the life of a process."""
_OF_THE_DATABASE = "asyncpg/connect_utils.py"
"""A query that is given up is cancelled over a connection of its own, which is a query again."""
_is_open: ContextVar[bool] = ContextVar("transaction is open", default=False)
_found: list[str] = []


@contextmanager
def watched_transactions() -> Iterator[list[str]]:
    """What was done inside transactions, as it is found; each with the lines that did it."""
    sys.addaudithook(_on_audit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "transaction", _watched(Database.transaction))
        patch.setattr(anyio.to_thread, "run_sync", _noted("anyio.to_thread.run_sync", anyio.to_thread.run_sync))
        patch.setattr(asyncio, "to_thread", _noted("asyncio.to_thread", asyncio.to_thread))
        yield _found


def _watched(transaction: Callable[[Database], Any]) -> Callable[[Database], Any]:
    @asynccontextmanager
    async def watched(self: Database) -> AsyncIterator[Session]:
        async with transaction(self) as session:
            token = _is_open.set(True)
            try:
                yield session
            finally:
                _is_open.reset(token)

    return watched


def _noted(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    def noted(*arguments: Any, **more: Any) -> Any:
        _note(name)
        return work(*arguments, **more)

    return noted


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and not str(arguments[0]).endswith(_CODE):
        _note(f"{event} {arguments[0]}")


def _note(what: str) -> None:
    if _is_open.get():
        token = _is_open.set(False)
        lines = traceback.format_stack(limit=8)[:-2]
        _is_open.reset(token)
        if not any(_OF_THE_DATABASE in line for line in lines):
            _found.append(f"{what}\n{''.join(lines)}")
