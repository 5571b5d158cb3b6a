"""What is done is on the record, with it or not at all; the record only grows."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from protocol.ids import new_id
from web.domain.access import Actor, Source, everywhere
from web.domain.audit import Filter, Object, Outcome
from web.domain.errors import ControllerError
from web.services.auditing import audit
from web.store import audit as stored
from web.store.database import Database
from web.store.tables import Profile

pytestmark = pytest.mark.anyio

ANA = Actor("user", new_id(), "ANA", everywhere(), Source("192.0.2.7", uuid4()))


async def test_an_act_is_kept_with_who_what_when_and_from_where(db: Database) -> None:
    of = Object("recording", new_id(), "Council")
    before = datetime.now(UTC)
    await audit.note(db, ANA, "recording.stop", of, before={"wish": "run"}, after={"wish": "stop"}, reason="asked")
    (entry,) = await stored.matching(db, Filter(), limit=10)
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("user", ANA.id, "ANA")
    assert (entry.action, entry.of, entry.outcome, entry.reason) == ("recording.stop", of, Outcome.DONE, "asked")
    assert (entry.before, entry.after) == ({"wish": "run"}, {"wish": "stop"})
    assert entry.source == ANA.source
    assert (entry.at - before).total_seconds() < 60


async def test_only_what_changed_is_kept_and_secrets_are_hidden(db: Database) -> None:
    old = {"name": "ana", "password": "first", "roles": ["viewer"], "oidc": {"client_secret": "x", "issuer": "i"}}
    new = {"name": "ana", "password": "second", "roles": ["viewer", "operator"], "oidc": {"client_secret": "y"}}
    await audit.note(db, ANA, "user.edit", before=old, after=new)
    (entry,) = await stored.matching(db, Filter(), limit=10)
    assert entry.before == {"password": "•••", "roles": ["viewer"], "oidc": {"client_secret": "•••", "issuer": "i"}}
    assert entry.after == {"password": "•••", "roles": ["viewer", "operator"], "oidc": {"client_secret": "•••"}}


async def test_what_cannot_be_stored_as_it_was_sent_is_noted_all_the_same(db: Database) -> None:
    await audit.note(db, ANA, "session.begin", Object("user", None, "a\x00b\ud800"), reason="x" * 5_000)
    (entry,) = await stored.matching(db, Filter(), limit=10)
    assert entry.of is not None
    assert entry.of.name == "a\ufffdb?"
    assert entry.reason is not None
    assert entry.reason.endswith("… (5000 characters)")


async def test_an_act_that_cannot_be_noted_is_not_done(db: Database, owner: Any) -> None:
    await owner.execute("REVOKE INSERT ON audit_entry FROM app")

    async def act() -> None:
        async with db.transaction() as session:
            await session.run(Profile.update({Profile.name: "after"}).where(Profile.is_default.eq(True)))
            await audit.note(session, ANA, "profile.edit")

    with pytest.raises((ControllerError, asyncpg.PostgresError)):
        await act()
    assert await owner.fetchval("SELECT count(*) FROM profile WHERE name = 'after'") == 0


async def test_entries_go_on_after_an_error_of_the_database(db: Database) -> None:
    async def act_and_fail(fault: str) -> None:
        async with db.transaction() as session:
            await audit.note(session, ANA, "recording.stop")
            await session.run(Profile.raw(fault))

    for fault in ("SELECT 1/0", "SELECT nonsense"):
        with pytest.raises((ControllerError, asyncpg.PostgresError)):
            await act_and_fail(fault)
    await audit.note(db, ANA, "recording.start")
    assert [entry.action for entry in await stored.matching(db, Filter(), limit=10)] == ["recording.start"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET reason = 'other'",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry CASCADE",
        "UPDATE audit_seal SET hash = ''",
        "DELETE FROM audit_seal",
        "TRUNCATE audit_seal",
    ],
)
async def test_nobody_changes_the_record_not_even_its_owner(
    db: Database, owner: Any, database_url: str, statement: str
) -> None:
    await audit.note(db, ANA, "recording.stop")
    app = await asyncpg.connect(database_url)
    try:
        for connection in (app, owner):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await app.close()


async def test_nobody_chooses_instant_or_id_of_an_entry(db: Database, database_url: str) -> None:
    app = await asyncpg.connect(database_url)
    try:
        await app.execute(
            "INSERT INTO audit_entry (id, at, actor_kind, actor_name, action, outcome) "
            "VALUES (77, '2001-01-01Z', 'user', 'ANA', 'recording.stop', 'done')"
        )
    finally:
        await app.close()
    (entry,) = await stored.matching(db, Filter(), limit=10)
    assert entry.id == 1
    assert entry.at.year > 2001
