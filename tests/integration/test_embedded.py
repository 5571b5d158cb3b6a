"""The embedded server: private, ours alone, and back after whatever killed it."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from web.store.cluster import Account, Place, find_place, processes_of
from web.store.embedded import EmbeddedPostgres, EmbeddedPostgresError

pytestmark = pytest.mark.anyio

_CONTROLLER = """
import asyncio, sys
from pathlib import Path
from web.store.embedded import EmbeddedPostgres

async def main(folder):
    async with EmbeddedPostgres(folder / "database", folder / "s"):
        print("running", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


def _server(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "database", folder / "s", {"fsync": "off"})


async def _ask(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_listens_on_a_private_socket_only_and_keeps_checksums(reachable_folder: Path) -> None:
    before = _mode(reachable_folder)
    async with _server(reachable_folder) as server:
        assert await _ask(server.url("app"), "SHOW listen_addresses") == ""
        assert await _ask(server.url("app"), "SHOW data_checksums") == "on"
        assert await _ask(server.url("app"), "SHOW server_encoding") == "UTF8"
        assert await _ask(server.url("app"), "SELECT datlocale FROM pg_database LIMIT 1") == "C.UTF-8"
        for folder in ("s", "database", "database/cluster"):
            assert _mode(reachable_folder / folder) == 0o700
        hba = (reachable_folder / "database" / "cluster" / "pg_hba.conf").read_text()
        assert hba == "local all all peer map=reelkeeper\n"
    assert _mode(reachable_folder) == before


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_another_user_of_the_machine_is_not_let_in(reachable_folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    psql = find_place(reachable_folder / "database", reachable_folder / "s").programs / "psql"
    async with _server(reachable_folder) as server:
        assert "Permission denied" in await asyncio.to_thread(_connect_as_nobody, psql, server.url("app"))
        _open_to_all(reachable_folder / "s")
        assert "Peer authentication failed" in await asyncio.to_thread(_connect_as_nobody, psql, server.url("app"))


def _open_to_all(sockets: Path) -> None:
    sockets.chmod(0o711)
    for path in sockets.iterdir():
        path.chmod(0o777)


def _connect_as_nobody(psql: Path, url: str) -> str:
    return subprocess.run([psql, url], user="nobody", capture_output=True, text=True).stderr


async def test_stops_soon_also_with_clients_and_leaves_no_process(reachable_folder: Path) -> None:
    server = _server(reachable_folder)
    await server.start()
    clients = [await asyncpg.connect(server.url("app")) for _ in range(3)]
    async with asyncio.timeout(30):
        await server.stop()
    assert list(processes_of(find_place(reachable_folder / "database", reachable_folder / "s"))) == []
    for client in clients:
        client.terminate()


async def test_committed_rows_survive_a_kill_and_the_server_comes_back_by_itself(reachable_folder: Path) -> None:
    async with _server(reachable_folder) as server:
        await _ask(server.url("owner"), "CREATE TABLE kept AS SELECT 7 AS number")
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        assert await _ask_patiently(server.url("owner"), "SELECT number FROM kept") == 7


async def _ask_patiently(url: str, sql: str) -> object:
    for _ in range(1_000):
        try:
            return await _ask(url, sql)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)
    return await _ask(url, sql)


async def test_what_a_killed_controller_left_is_ended_and_the_next_start_goes_on(reachable_folder: Path) -> None:
    place = await asyncio.to_thread(_leave_a_server, reachable_folder)
    left = set(processes_of(place))
    assert left

    async with _server(reachable_folder) as server:
        assert await _ask(server.url("app"), "SELECT 1") == 1
        assert not left & set(processes_of(place))


def _leave_a_server(folder: Path) -> Place:
    controller = subprocess.Popen([sys.executable, "-c", _CONTROLLER, str(folder)], stdout=subprocess.PIPE)
    with controller:
        assert controller.stdout is not None
        assert controller.stdout.readline() == b"running\n"
        controller.kill()
    return find_place(folder / "database", folder / "s")


async def test_stale_lock_files_that_name_a_living_stranger_are_no_hindrance(reachable_folder: Path) -> None:
    async with _server(reachable_folder):
        pass
    place = find_place(reachable_folder / "database", reachable_folder / "s")
    stranger = await asyncio.create_subprocess_exec("sleep", "60", user=place.account.uid)
    for lock in (place.cluster / "postmaster.pid", place.sockets / ".s.PGSQL.5432.lock"):
        lock.write_text(f"{stranger.pid}\n{place.cluster}\n")
    try:
        async with _server(reachable_folder) as server:
            assert await _ask(server.url("app"), "SELECT 1") == 1
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_second_controller_on_the_same_home_is_refused_and_the_first_goes_on(reachable_folder: Path) -> None:
    async with _server(reachable_folder) as first:
        with pytest.raises(EmbeddedPostgresError, match="Another controller uses the database"):
            await _server(reachable_folder).start()
        assert await _ask(first.url("app"), "SELECT 1") == 1


async def test_an_interrupted_making_is_begun_again(reachable_folder: Path) -> None:
    place = find_place(reachable_folder / "database", reachable_folder / "s")
    (place.data / "cluster.new").mkdir()
    (place.data / "cluster.new" / "PG_VERSION").write_text("18\n")
    async with _server(reachable_folder) as server:
        assert await _ask(server.url("app"), "SELECT 1") == 1


async def test_a_home_that_the_server_cannot_reach_is_left_as_it_is(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root runs the server as another user")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    place = find_place(home / "database", home / "s")
    try:
        async with _server(home) as server:
            assert await _ask(server.url("app"), "SELECT 1") == 1
        assert _mode(home) == 0o700
        assert not any(home.iterdir())
    finally:
        shutil.rmtree(place.data)
    assert not place.sockets.exists()


async def test_a_cluster_of_another_version_is_refused_in_one_line(reachable_folder: Path) -> None:
    place = find_place(reachable_folder / "database", reachable_folder / "s")
    place.cluster.mkdir()
    (place.cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 16, this is 18; .*pg_upgrade") as refused:
        await _server(reachable_folder).start()
    assert "\n" not in str(refused.value)


def test_an_account_passes_only_folders_that_let_it(tmp_path: Path) -> None:
    outsider = Account("outsider", 64_000, 64_000)
    room = tmp_path / "room"
    room.mkdir()
    tmp_path.chmod(0o700)
    assert not outsider.can_pass(room)
    owner = Account("owner", os.geteuid(), os.getegid())
    assert owner.can_pass(room / "not yet made")
