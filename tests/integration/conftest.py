"""One PostgreSQL server a test process, and for each test a database of its own, cloned from a migrated one."""

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import httpx
import pytest

from protocol.timeouts import Timeouts
from tests.agent_room import AgentRoom, controller_and_room
from tests.integration.console import person
from tests.integration.fake_controller import FakeController
from tests.integration.watched_transactions import watched_transactions
from tests.integration.web_room import Running, WebAgent, patient, running, settings_in, user_client, web_agent
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres, Role
from web.store.migrate import migrate

_TEMPLATE = "template_migrated"
_Answer = TypeVar("_Answer")


class Server:
    """A server with a loop of its own, so that tests with and without a loop may use it."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._embedded = EmbeddedPostgres(folder / "database", folder / "sockets", {"fsync": "off"})
        self._do(self._embedded.start())
        self.make(_TEMPLATE, template="template0")
        self._do(migrate(self.url("owner", _TEMPLATE)))

    def url(self, role: Role, database: str) -> str:
        return self._embedded.url(role, database)

    def make(self, name: str, template: str = _TEMPLATE) -> None:
        self._do(self._run_sql(f"CREATE DATABASE {name} OWNER owner TEMPLATE {template} STRATEGY FILE_COPY"))

    def drop(self, name: str) -> None:
        self._do(self._run_sql(f"DROP DATABASE {name} WITH (FORCE)"))

    def stop(self) -> None:
        self._do(self._embedded.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _run_sql(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url("postgres", "postgres"))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def _watching() -> Iterator[list[str]]:
    with watched_transactions() as found:
        yield found


@pytest.fixture(autouse=True)
def done_in_transactions(_watching: list[str]) -> Iterator[list[str]]:
    """What a test does inside transactions besides queries, which has to be nothing."""
    _watching.clear()
    yield _watching
    assert not _watching, f"a transaction is held across this: {_watching[0]}"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """A short folder that every system user can pass."""
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="rk-"))
    folder.chmod(0o711)
    server = Server(folder)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database_name(postgres: Server) -> Iterator[str]:
    """A migrated database for one test."""
    name = f"test_{uuid4().hex}"
    postgres.make(name)
    yield name
    postgres.drop(name)


@pytest.fixture
def database_url(postgres: Server, database_name: str) -> str:
    return postgres.url("app", database_name)


@pytest.fixture
def owner_url(postgres: Server, database_name: str) -> str:
    return postgres.url("owner", database_name)


@pytest.fixture
def timeouts() -> Timeouts:
    return patient(Timeouts())


@pytest.fixture
async def db(database_url: str, timeouts: Timeouts, anyio_backend: str) -> AsyncIterator[Database]:
    async with Database(database_url, timeouts) as database:
        yield database


@pytest.fixture
async def owner(owner_url: str, anyio_backend: str) -> AsyncIterator[Any]:
    """A connection that may do everything with the rows: for making yesterday, never for checking rules."""
    connection = await asyncpg.connect(owner_url)
    yield connection
    await connection.close()


@pytest.fixture
def place() -> Iterator[tuple[FakeController, AgentRoom]]:
    """A node, and the controller written by hand that it belongs to."""
    with controller_and_room() as made:
        yield made


@pytest.fixture
async def controller(tmp_path: Path, database_url: str, anyio_backend: str) -> AsyncIterator[Running]:
    """A controller that listens on loopback, on the database of the test."""
    async with running(settings_in(tmp_path), database_url) as controller:
        yield controller


@pytest.fixture
async def agent(controller: Running, db: Database) -> AsyncIterator[WebAgent]:
    """A node that has joined and reported."""
    async with web_agent(controller.url, db) as agent:
        yield agent


@pytest.fixture
async def user(controller: Running, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator, with a token."""
    async with user_client(controller.url, db) as user:
        yield user


@pytest.fixture
async def visitor(controller: Running, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator, signed in to the console."""
    async with person(controller.url, db) as visitor:
        yield visitor
