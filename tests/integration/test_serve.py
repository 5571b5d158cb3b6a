"""The controller as a process of its own: it starts by itself, says in one line why it cannot, and stops in order."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from protocol.messages import EnrolAnswer, RunAnswer
from tests.integration.database_proxy import database_proxy
from tests.integration.web_room import WebAgent, begin_append, make_content, user_client, web_agent
from web.local import create_enrolment_code
from web.serve import running_database
from web.settings import ControllerSettings
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import MigrationError

FAR_BEYOND_THE_LIMIT = 20.0
"""What hangs here hangs for ever."""
_COMMAND = """
import sys, uvloop
from web.domain.errors import ControllerError
from web.serve import serve
from web.settings import ControllerSettings
try:
    uvloop.run(serve(ControllerSettings(), lambda url: print(url, flush=True)))
except ControllerError as error:
    sys.exit(f"reelkeeper: {error}")
"""


@pytest.fixture
def settings(reachable_folder: Path) -> ControllerSettings:
    return ControllerSettings(home=reachable_folder / "home", run_folder=reachable_folder / "run", port=0)


class Process:
    """A controller process."""

    def __init__(self, settings: ControllerSettings) -> None:
        environment = {
            **os.environ,
            "REELKEEPER_HOME": str(settings.home),
            "REELKEEPER_RUN_FOLDER": str(settings.run_folder),
            "REELKEEPER_PORT": str(settings.port),
            "REELKEEPER_TIME_SCALE": str(settings.time_scale),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def url(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def stop(self) -> float:
        """Seconds from SIGTERM to the exit, which is 0."""
        began = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        _, self.errors = self._process.communicate(timeout=30)
        assert self._process.returncode == 0, self.errors
        return time.monotonic() - began

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=30)

    def exited(self) -> tuple[int, str]:
        _, errors = self._process.communicate(timeout=30)
        return self._process.returncode, errors

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=30)


@pytest.fixture
def processes() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        process.end()


def test_controller_starts_with_its_own_database_and_stops_in_time_whatever_hangs(
    settings: ControllerSettings, processes: list[Process]
) -> None:
    process = Process(settings)
    processes.append(process)
    url = process.url()
    token = _enrolled(settings, url)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/api/agent/v1", headers=headers, trust_env=False) as agent:
        known = agent.get("/wake", params={"after": 99}).json()["change_no"]
        with _half_a_request(url, f"GET /api/agent/v1/wake?after={known} HTTP/1.1", token, "") as waiting:
            with _half_a_request(url, "POST /api/agent/v1/heartbeat HTTP/1.1", token, "{"):
                assert agent.get("/wake", params={"after": 99}).status_code == 200
                assert process.stop() < FAR_BEYOND_THE_LIMIT
            assert waiting.recv(100).startswith(b"HTTP/1.1 200")


def test_controller_ends_in_time_although_its_database_hangs_and_the_next_one_works(
    settings: ControllerSettings, processes: list[Process]
) -> None:
    quick = settings.model_copy(update={"time_scale": 0.5})
    process = Process(quick)
    processes.append(process)
    url = process.url()
    (pid_file,) = settings.home.rglob("postmaster.pid")
    postmaster = int(pid_file.read_text().split()[0])
    os.kill(postmaster, signal.SIGSTOP)
    try:
        assert process.stop() < FAR_BEYOND_THE_LIMIT
    finally:
        os.kill(postmaster, signal.SIGCONT)
    process = Process(quick)
    processes.append(process)
    assert process.url() != url
    process.stop()


@pytest.mark.long
def test_node_that_joined_is_known_after_a_restart(settings: ControllerSettings, processes: list[Process]) -> None:
    for started in range(2):
        process = Process(settings)
        processes.append(process)
        url = process.url()
        if started == 0:
            token = _enrolled(settings, url)
        answer = httpx.post(
            f"{url}/api/agent/v1/run",
            headers={"Authorization": f"Bearer {token}"},
            json={"previous_run": started, "version": "1"},
            trust_env=False,
        )
        assert RunAnswer.model_validate_json(answer.content).node_run == started + 1
        process.stop()


def test_busy_port_is_said_in_one_line(settings: ControllerSettings, processes: list[Process]) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        process = Process(settings.model_copy(update={"port": port}))
        processes.append(process)
        code, errors = process.exited()
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert f"port {port}" in errors
    assert "REELKEEPER_PORT" in errors


def test_home_that_cannot_be_written_is_said_in_one_line(
    settings: ControllerSettings, processes: list[Process], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    process = Process(settings.model_copy(update={"home": tmp_path / "file" / "home"}))
    processes.append(process)
    code, errors = process.exited()
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "REELKEEPER_HOME" in errors


@pytest.mark.long
@pytest.mark.anyio
async def test_upload_goes_on_after_the_controller_was_killed_in_its_middle(
    settings: ControllerSettings, processes: list[Process]
) -> None:
    content = make_content(900_000)
    audio = content.provisional("audio")
    first = Process(settings)
    processes.append(first)
    url = first.url()
    async with _database_of(settings) as db, web_agent(url, db) as agent:
        room, job = agent.room, await agent.room.claimed()
        cache_file_id = await agent.open_file(job)
        await agent.append(job, cache_file_id, "audio", audio[:5000])
        _, writer = await begin_append(agent, job, cache_file_id, audio[5000:], 5000, 2_000_000)
        async with asyncio.timeout(10):
            while await agent.offset(cache_file_id, "audio") == 5000:
                continue
        first.kill()
        writer.close()

    second = Process(settings)
    processes.append(second)
    url = second.url()
    async with (
        _database_of(settings) as db,
        WebAgent(room, agent.http).at(url) as again,
        user_client(url, db) as user,
    ):
        offset = await again.offset(cache_file_id, "audio")
        await again.append(job, cache_file_id, "audio", audio[offset:], offset)
        for part in ("waveform", "seek", "ledger"):
            await again.append(job, cache_file_id, part, content.provisional(part))
        sealed = await again.seal(job, cache_file_id, content)
        played = await user.get(f"/api/v1/recordings/{job.recording_id}/audio")

    assert 5000 < offset <= 2_005_000
    assert sealed.status_code == 200, sealed.text
    assert played.content == content.audio


@asynccontextmanager
async def _database_of(settings: ControllerSettings) -> AsyncIterator[Database]:
    """The embedded database of a controller process that answers."""
    embedded = EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder)
    async with Database(embedded.running_url(), settings.timeouts) as db:
        yield db


@pytest.mark.anyio
async def test_controller_waits_for_a_database_of_yours_and_goes_on_once_it_is_there(
    settings: ControllerSettings, owner_url: str, tmp_path: Path
) -> None:
    async with database_proxy(owner_url) as database:
        await database.go_away()
        yours = settings.model_copy(update={"database_url": database.url})
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            waiting = asyncio.create_task(stack.enter_async_context(running_database(yours)))
            await asyncio.wait({waiting}, timeout=0.1)
            assert not waiting.done()
            await database.come_back()
            assert await waiting == database.url


def test_address_that_is_no_database_is_said_in_one_line(settings: ControllerSettings) -> None:
    wrong = settings.model_copy(update={"database_url": "nonsense"})
    with pytest.raises(MigrationError, match="DATABASE_URL"):
        asyncio.run(_entered(wrong))


async def _entered(settings: ControllerSettings) -> None:
    async with running_database(settings):
        pass


def test_plain_http_stays_on_this_machine_unless_told_otherwise() -> None:
    with pytest.raises(ValueError, match="REELKEEPER_PLAIN_HTTP"):
        ControllerSettings(host="0.0.0.0")
    assert ControllerSettings(host="0.0.0.0", plain_http=True).host == "0.0.0.0"


def _enrolled(settings: ControllerSettings, url: str) -> str:
    code = asyncio.run(create_enrolment_code(settings, "Town hall"))
    answer = httpx.post(f"{url}/api/agent/v1/enrol", json={"code": code, "version": "1"}, trust_env=False)
    return EnrolAnswer.model_validate_json(answer.content).token


def _half_a_request(url: str, line: str, token: str, body: str) -> socket.socket:
    """A connection whose request is not finished when a body is begun."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    length = 0 if not body else len(body) + 1
    head = [line, f"Host: {parts.netloc}", f"Authorization: Bearer {token}", f"Content-Length: {length}", "", body]
    connection.sendall("\r\n".join(head).encode())
    return connection
