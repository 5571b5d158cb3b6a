"""`reelkeeper audit`: proves the chain and takes it along, by its exit code too."""

import asyncio
import csv
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from protocol.timeouts import Timeouts
from reelkeeper.cli import app
from tests.integration.conftest import Server
from tests.integration.web_room import patient
from web.domain.access import system
from web.domain.audit import Object
from web.services.auditing import audit
from web.services.auditing.audit_seals import Sealer
from web.store import audit as stored
from web.store.database import Database


@pytest.fixture
def sealed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The head of a chain of three entries, in the database that the command will find."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return asyncio.run(_seal_three(database_url))


async def _seal_three(url: str) -> str:
    async with Database(url, patient(Timeouts())) as db:
        for name in ("first", "second", "third"):
            await audit.note(db, system("test"), "recording.stop", Object("recording", None, name))
        sealer, head = Sealer(), None
        while head is None or head.entry_id < await stored.newest_id(db):
            head = await sealer.seal(db)
        return str(head)


async def _as_superuser(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"SET session_replication_role = replica; {statement}")
    await connection.close()


def command(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments])


def test_a_chain_that_holds_is_said_so_with_its_head(sealed: str) -> None:
    result = command("verify", "--head", sealed)
    assert result.exit_code == 0
    assert "3 sealed entries hold; 0 newer ones are not sealed yet." in result.output
    assert f"Head: {sealed}" in result.output


def test_an_entry_that_a_superuser_changed_is_named_and_the_exit_code_is_1(
    sealed: str, postgres: Server, database_name: str
) -> None:
    url = postgres.url("postgres", database_name)
    asyncio.run(_as_superuser(url, "UPDATE audit_entry SET object_name = 'other' WHERE id = 2"))
    result = command("verify")
    assert result.exit_code == 1
    assert "BROKEN at entry 2 (changed): Entry 2 is not what was sealed." in result.output


def test_everything_is_taken_along_with_the_head_and_that_is_an_entry(sealed: str, tmp_path: Path) -> None:
    result = command("export", str(tmp_path / "audit.csv"))
    assert result.exit_code == 0
    with (tmp_path / "audit.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    assert head[-1] == f"sealed up to {sealed}"
    assert [row[10] for row in rows] == ["third", "second", "first"]
    assert "1 newer ones" in command("verify").output
    assert command("export", str(tmp_path / "audit.csv")).exit_code == 1
