"""The watch over transactions, which every integration test runs under, sees what it is there for."""

import asyncio
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from protocol.ids import new_id
from web.domain.errors import DatabaseUnavailableError
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_file_thread_and_socket_inside_a_transaction_are_noted(
    db: Database, tmp_path: Path, done_in_transactions: list[str]
) -> None:
    async with db.transaction() as session:
        await session.rows("server_uptime")
    assert done_in_transactions == []
    async with db.transaction():
        (tmp_path / "inside").touch()
        await anyio.to_thread.run_sync(lambda: (tmp_path / "in a thread").read_bytes, abandon_on_cancel=False)
        await asyncio.to_thread((tmp_path / "inside").read_bytes)
        with pytest.raises(OSError):
            await asyncio.open_unix_connection(tmp_path / "nobody")
    noted = [found.split("\n")[0] for found in done_in_transactions]
    assert any("inside" in found for found in noted)
    assert {"anyio.to_thread.run_sync", "asyncio.to_thread"} <= set(noted)
    assert any(found.startswith("socket.connect") for found in noted)
    done_in_transactions.clear()
    (tmp_path / "after").touch()
    assert done_in_transactions == []


async def test_a_query_that_is_given_up_inside_a_transaction_is_no_other_work(
    db: Database, owner: Any, done_in_transactions: list[str]
) -> None:
    async with owner.transaction():
        await owner.execute("LOCK TABLE node")
        with pytest.raises(DatabaseUnavailableError):
            async with db.transaction() as session, asyncio.timeout(0.2):
                await session.rows("raise_change_no", node_id=new_id())
    assert done_in_transactions == []
