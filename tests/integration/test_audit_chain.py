"""Entries are sealed once and in order, and whoever touches one afterwards is found out."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tests.integration.conftest import Server
from web.domain.access import system
from web.domain.audit import Filter
from web.domain.seals import Head, Seal
from web.services.auditing import audit
from web.services.auditing.audit_seals import Sealer, prove
from web.store import audit as stored
from web.store import turns
from web.store.database import Database

pytestmark = pytest.mark.anyio

SOMEBODY = system("test")
_INSERT = "INSERT INTO audit_entry (actor_kind, actor_name, action, outcome) VALUES ('user', 'ANA', 'a.b', 'done')"


@pytest.fixture
async def superuser(postgres: Server, database_name: str, anyio_backend: str) -> AsyncIterator[Any]:
    """Whom no trigger stops."""
    connection = await asyncpg.connect(postgres.url("postgres", database_name))
    await connection.execute("SET session_replication_role = replica")
    yield connection
    await connection.close()


async def note(db: Database, number: int = 1) -> None:
    for _ in range(number):
        await audit.note(db, SOMEBODY, "recording.stop", after={"wish": "stop"})


async def sealed(db: Database, sealer: Sealer | None = None) -> Seal | None:
    """Once nothing is under way. Other transactions of the server may be; each ends soon."""
    sealer = sealer or Sealer()
    newest = await stored.newest_id(db)
    while (head := await sealer.seal(db)) is None or head.entry_id < newest:  # noqa: ASYNC110  (others write too)
        await asyncio.sleep(0)
    return head


async def test_what_is_sealed_holds(db: Database) -> None:
    await note(db, 5)
    head = await sealed(db)
    proof = await prove(db)
    assert (proof.sealed, proof.unsealed, proof.fault) == (5, 0, None)
    assert proof.head == head
    await note(db, 2)
    assert (await prove(db)).unsealed == 2


async def test_an_entry_that_appears_late_is_sealed_before_those_with_larger_ids(
    db: Database, database_url: str
) -> None:
    """The smaller id is given to the transaction with the larger number, which commits last."""
    sealer = Sealer()
    async with connected(database_url, 2) as (first, last):
        await first.execute("BEGIN; SELECT pg_current_xact_id()")
        await last.execute(f"BEGIN; {_INSERT}")
        await first.execute(f"{_INSERT}; COMMIT")
        assert await stored.newest_id(db) == 2
        for _ in range(3):
            assert await sealer.seal(db) is None
        await last.execute("COMMIT")
    head = await sealed(db, sealer)
    assert head is not None
    assert (head.entry_id, head.number) == (2, 2)
    assert (await prove(db)).fault is None


async def test_a_transaction_that_is_given_up_leaves_no_hole(db: Database, database_url: str) -> None:
    async with connected(database_url, 1) as (one,):
        for statement in (_INSERT, f"BEGIN; {_INSERT}", "ROLLBACK", _INSERT):
            await one.execute(statement)
    head = await sealed(db)
    assert head is not None
    assert (head.entry_id, head.number) == (3, 2)
    assert (await prove(db)).fault is None


async def test_two_sealers_among_many_writers_make_one_chain(db: Database, database_url: str) -> None:
    async with connected(database_url, 6) as connections:
        chance = random.Random(7)
        writing = [asyncio.create_task(_write(one, random.Random(chance.random()))) for one in connections]
        sealers = [Sealer(), Sealer()]
        while not all(task.done() for task in writing):
            await asyncio.gather(*(sealer.seal(db) for sealer in sealers))
        await asyncio.gather(*writing)
    head, proof = await sealed(db, sealers[0]), await prove(db)
    assert head is not None
    assert (proof.sealed, proof.unsealed, proof.fault, proof.head) == (head.number, 0, None, head)
    assert head.number == len(await stored.matching(db, Filter(), limit=1_000))


@pytest.mark.parametrize(
    ("tampering", "kind", "entry_id"),
    [
        ("UPDATE audit_entry SET actor_name = 'nobody' WHERE id = 4", "changed", 4),
        ("UPDATE audit_entry SET after = '{}' WHERE id = 1", "changed", 1),
        ("UPDATE audit_entry SET at = at - interval '1 microsecond' WHERE id = 9", "changed", 9),
        ("DELETE FROM audit_entry WHERE id = 4", "missing", 4),
        ("DELETE FROM audit_entry WHERE id IN (4, 5); DELETE FROM audit_seal WHERE entry_id IN (4, 5)", "missing", 6),
        ("DELETE FROM audit_seal WHERE entry_id = 4", "inserted", 4),
        (
            "INSERT INTO audit_entry SELECT 11, at, actor_kind, actor_id, actor_name, 'recording.delete', object_kind, "
            "object_id, object_name, before, after, outcome FROM audit_entry WHERE id = 4; "
            "UPDATE audit_seal SET entry_id = 12 WHERE entry_id = 10; UPDATE audit_entry SET id = 12 WHERE id = 10",
            "inserted",
            11,
        ),
        (
            "UPDATE audit_entry SET id = 99 WHERE id = 4; UPDATE audit_entry SET id = 4 WHERE id = 5; "
            "UPDATE audit_entry SET id = 5 WHERE id = 99",
            "changed",
            4,
        ),
        (
            "UPDATE audit_seal SET entry_id = 99 WHERE entry_id = 4; UPDATE audit_seal SET entry_id = 4 WHERE "
            "entry_id = 5; UPDATE audit_seal SET entry_id = 5 WHERE entry_id = 99",
            "missing",
            4,
        ),
    ],
)
async def test_the_first_entry_that_was_touched_is_named(
    db: Database, superuser: Any, tampering: str, kind: str, entry_id: int
) -> None:
    await note(db, 10)
    await sealed(db)
    await superuser.execute(tampering)
    fault = (await prove(db)).fault
    assert fault is not None
    assert (fault.kind, fault.entry_id) == (kind, entry_id)


async def test_a_chain_that_was_cut_or_made_anew_holds_only_until_somebody_asks_for_a_head_that_was_kept(
    db: Database, superuser: Any
) -> None:
    await note(db, 10)
    kept = Head.parse(str(await sealed(db)))
    assert (await prove(db, kept)).fault is None
    await superuser.execute("UPDATE audit_entry SET actor_name = 'nobody' WHERE id = 4; DELETE FROM audit_seal")
    await sealed(db)
    assert (await prove(db)).fault is None
    fault = (await prove(db, kept)).fault
    assert fault is not None
    assert (fault.kind, fault.entry_id) == ("changed", 10)
    await superuser.execute("DELETE FROM audit_entry WHERE id > 8; DELETE FROM audit_seal WHERE entry_id > 8")
    assert (await prove(db)).fault is None
    fault = (await prove(db, kept)).fault
    assert fault is not None
    assert (fault.kind, fault.entry_id) == ("missing", 10)


async def test_sealing_waits_for_no_writer_and_no_writer_for_it(db: Database, database_url: str) -> None:
    await note(db)
    async with connected(database_url, 1) as (open_ended,):
        await open_ended.execute(f"BEGIN; {_INSERT}")
        async with db.transaction() as session:
            assert await turns.take(session, "seal")
            await note(db)
            assert await Sealer().seal(db) is None
    await sealed(db)
    assert (await prove(db)).sealed == 2


@asynccontextmanager
async def connected(url: str, number: int) -> AsyncIterator[list[Any]]:
    """Connections of the controller's role."""
    connections = [await asyncpg.connect(url) for _ in range(number)]
    try:
        yield connections
    finally:
        for one in connections:
            await one.close()


async def _write(connection: Any, chance: random.Random, transactions: int = 25) -> None:
    """Transactions of which some write long before they note, and some are given up."""
    for _ in range(transactions):
        await connection.execute("BEGIN")
        if chance.random() < 0.5:
            await connection.execute("SELECT pg_current_xact_id()")
        for _ in range(chance.randint(1, 3)):
            await connection.execute(_INSERT)
        await connection.execute("COMMIT" if chance.random() < 0.9 else "ROLLBACK")


@pytest.mark.long
async def test_a_hundred_thousand_entries_written_under_load_hold_and_one_edit_among_them_is_named(
    db: Database, database_url: str, superuser: Any
) -> None:
    sealer = Sealer()
    async with connected(database_url, 8) as connections:
        chances = [random.Random(number) for number in range(8)]
        writing = asyncio.gather(
            *(_write(one, chance, 6_700) for one, chance in zip(connections, chances, strict=True))
        )
        while not writing.done():
            await sealer.seal(db)
            await asyncio.sleep(1)
        await writing
    head, proof = await sealed(db, sealer), await prove(db)
    assert head is not None
    assert proof.sealed > 90_000
    assert (proof.unsealed, proof.fault, proof.head) == (0, None, head)
    middle = await superuser.fetchval("SELECT entry_id FROM audit_seal WHERE number = 50000")
    await superuser.execute("UPDATE audit_entry SET actor_name = 'BEN' WHERE id = $1", middle)
    fault = (await prove(db)).fault
    assert fault is not None
    assert (fault.kind, fault.entry_id) == ("changed", middle)
