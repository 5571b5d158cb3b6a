"""People come in by a link that works once or by a password, and are out when they say so."""

import asyncio
from typing import Any

import pytest

from protocol.ids import new_id, new_token
from web.domain.access import everywhere
from web.domain.errors import InvalidError, LinkSpentError, SignInRequiredError, UnavailableError
from web.domain.people import SignedIn
from web.services.entry import accounts, sign_in
from web.services.entry.passwords import Passwords
from web.store.database import Database

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"


@pytest.fixture
def passwords(anyio_backend: str) -> Passwords:
    return Passwords()


async def _by_link(db: Database) -> SignedIn:
    return await accounts.spend_code(db, await accounts.sign_in_link_code(db))


async def _is_signed_in(db: Database, token: str) -> bool:
    try:
        await accounts.authenticate_session(db, token)
    except SignInRequiredError:
        return False
    return True


async def test_first_link_makes_the_administrator_and_the_next_signs_the_same_one_in(db: Database, owner: Any) -> None:
    first, second = await _by_link(db), await _by_link(db)
    assert first.user == second.user
    assert first.token != second.token
    assert await owner.fetchval("SELECT count(*) FROM user_account") == 1
    actor, user = await accounts.authenticate_session(db, first.token)
    assert (actor.kind, actor.id, actor.name, actor.access) == ("user", user.id, "admin", everywhere())


async def test_a_link_works_once_however_many_press_its_button(db: Database, owner: Any) -> None:
    code = await accounts.sign_in_link_code(db)
    await accounts.require_good_code(db, code)
    answers = await asyncio.gather(*(accounts.spend_code(db, code) for _ in range(8)), return_exceptions=True)
    assert sorted(type(answer) for answer in answers if not isinstance(answer, LinkSpentError)) == [SignedIn]
    assert await owner.fetchval("SELECT count(*) FROM login_session") == 1
    with pytest.raises(LinkSpentError):
        await accounts.require_good_code(db, code)


async def test_two_first_links_at_once_make_one_administrator(db: Database, owner: Any) -> None:
    codes = [await accounts.sign_in_link_code(db) for _ in range(4)]
    signed_in = await asyncio.gather(*(accounts.spend_code(db, code) for code in codes))
    assert len({one.user.id for one in signed_in}) == 1
    assert await owner.fetchval("SELECT count(*) FROM user_account") == 1


async def test_a_link_of_the_machine_signs_an_administrator_in_and_makes_one_where_there_is_none(
    db: Database, owner: Any
) -> None:
    await owner.execute("INSERT INTO user_account (id, name) VALUES ($1, 'admin')", new_id())
    begun = await _by_link(db)
    assert begun.user.name == "admin (2)"
    actor, _ = await accounts.authenticate_session(db, begun.token)
    assert actor.access == everywhere()
    assert (await _by_link(db)).user == begun.user


async def test_looking_at_a_link_does_not_use_it(db: Database) -> None:
    code = await accounts.sign_in_link_code(db)
    for _ in range(3):
        await accounts.require_good_code(db, code)
    assert (await accounts.spend_code(db, code)).token


async def test_a_link_that_is_too_old_or_was_never_made_signs_nobody_in(db: Database, owner: Any) -> None:
    code = await accounts.sign_in_link_code(db)
    await owner.execute("UPDATE sign_in_code SET expires_at = clock_timestamp()")
    for bad in (code, code[:-1], new_token("link", new_id()), "", "rkl_x_y"):
        with pytest.raises(LinkSpentError):
            await accounts.require_good_code(db, bad)
        with pytest.raises(LinkSpentError):
            await accounts.spend_code(db, bad)
    assert await owner.fetchval("SELECT count(*) FROM user_account") == 0


async def test_only_digests_of_secrets_are_kept(db: Database, owner: Any, passwords: Passwords) -> None:
    unused = await accounts.sign_in_link_code(db)
    begun = await accounts.set_password(db, passwords, (await _by_link(db)).token, PASSWORD)
    for table in ("sign_in_code", "login_session", "user_account"):
        rows = repr(await owner.fetch(f"SELECT * FROM {table}"))
        assert not [secret for secret in (unused, begun.token, PASSWORD) if secret in rows]


async def test_a_password_signs_in_once_it_is_set(db: Database, passwords: Passwords) -> None:
    assert not await accounts.has_anybody_a_password(db)
    await accounts.set_password(db, passwords, (await _by_link(db)).token, PASSWORD)
    assert await accounts.has_anybody_a_password(db)
    begun = await sign_in.sign_in(db, passwords, " admin ", PASSWORD)
    assert begun.user.has_password
    assert await _is_signed_in(db, begun.token)


@pytest.mark.parametrize(("name", "password"), [("admin", PASSWORD + "x"), ("nobody", PASSWORD), ("admin", "")])
async def test_what_was_wrong_with_a_sign_in_is_not_told(
    db: Database, passwords: Passwords, name: str, password: str
) -> None:
    await accounts.set_password(db, passwords, (await _by_link(db)).token, PASSWORD)
    with pytest.raises(InvalidError) as refused:
        await sign_in.sign_in(db, passwords, name, password)
    assert str(refused.value) == "Name or password is not right."


async def test_an_account_without_a_password_takes_none(db: Database, passwords: Passwords) -> None:
    await _by_link(db)
    with pytest.raises(InvalidError):
        await sign_in.sign_in(db, passwords, "admin", "")


async def test_a_new_password_ends_every_other_session(db: Database, passwords: Passwords) -> None:
    here, elsewhere = await _by_link(db), await _by_link(db)
    begun = await accounts.set_password(db, passwords, here.token, PASSWORD)
    assert [await _is_signed_in(db, one.token) for one in (here, elsewhere, begun)] == [False, False, True]


async def test_the_old_password_is_asked_for_unless_the_session_began_by_a_link(
    db: Database, passwords: Passwords
) -> None:
    begun = await accounts.set_password(db, passwords, (await _by_link(db)).token, PASSWORD)
    session = await sign_in.sign_in(db, passwords, "admin", PASSWORD)
    with pytest.raises(InvalidError) as refused:
        await accounts.set_password(db, passwords, session.token, "another good one", old_password="guess")
    assert refused.value.field == "old_password"
    session = await accounts.set_password(db, passwords, session.token, "another good one", old_password=PASSWORD)
    assert not await _is_signed_in(db, begun.token)
    forgetful = await _by_link(db)
    await accounts.set_password(db, passwords, forgetful.token, PASSWORD)
    assert await sign_in.sign_in(db, passwords, "admin", PASSWORD)


@pytest.mark.parametrize("password", ["", "short", "x" * 1_001])
async def test_a_password_of_no_good_length_is_refused_and_changes_nothing(
    db: Database, passwords: Passwords, password: str
) -> None:
    begun = await _by_link(db)
    with pytest.raises(InvalidError) as refused:
        await accounts.set_password(db, passwords, begun.token, password)
    assert refused.value.field == "password"
    assert await _is_signed_in(db, begun.token)
    assert not await accounts.has_anybody_a_password(db)


async def test_signing_out_ends_this_session_alone(db: Database) -> None:
    one, two = await _by_link(db), await _by_link(db)
    await accounts.sign_out(db, one.token)
    await accounts.sign_out(db, one.token)
    assert [await _is_signed_in(db, begun.token) for begun in (one, two)] == [False, True]


@pytest.mark.parametrize(
    "passed",
    ["last_seen_at = clock_timestamp() - interval '31 minutes'", "expires_at = clock_timestamp()"],
    ids=["idle", "over"],
)
async def test_a_session_ends_by_itself(db: Database, owner: Any, passed: str) -> None:
    begun = await _by_link(db)
    await owner.execute(f"UPDATE login_session SET {passed}")
    assert not await _is_signed_in(db, begun.token)


async def test_use_keeps_a_session_alive_and_is_written_once_a_minute(db: Database, owner: Any) -> None:
    begun = await _by_link(db)
    seen = "SELECT last_seen_at FROM login_session"
    at_first = await owner.fetchval(seen)
    await accounts.authenticate_session(db, begun.token)
    assert await owner.fetchval(seen) == at_first
    await owner.execute("UPDATE login_session SET last_seen_at = clock_timestamp() - interval '29 minutes'")
    await accounts.authenticate_session(db, begun.token)
    assert await owner.fetchval(seen) > at_first


async def test_guessed_session_tokens_are_refused(db: Database) -> None:
    begun = await _by_link(db)
    for token in ("", begun.token[:-1], new_token("session", new_id()), begun.token.replace("rks", "rku")):
        assert not await _is_signed_in(db, token)


async def test_sessions_that_ran_out_do_not_pile_up(db: Database, owner: Any) -> None:
    for _ in range(3):
        await _by_link(db)
        await owner.execute("UPDATE login_session SET expires_at = clock_timestamp()")
    await _by_link(db)
    assert await owner.fetchval("SELECT count(*) FROM login_session") == 1


async def test_a_hash_made_another_way_is_made_anew_at_the_next_sign_in(
    db: Database, owner: Any, passwords: Passwords
) -> None:
    from argon2 import PasswordHasher

    await accounts.set_password(db, passwords, (await _by_link(db)).token, PASSWORD)
    await owner.execute("UPDATE user_account SET password_hash = $1", PasswordHasher(1, 1024, 1).hash(PASSWORD))
    await sign_in.sign_in(db, passwords, "admin", PASSWORD)
    assert "m=47104" in await owner.fetchval("SELECT password_hash FROM user_account")


async def test_a_flood_of_sign_ins_is_refused_not_queued_for_ever(db: Database, passwords: Passwords) -> None:
    answers = await asyncio.gather(*(passwords.is_right(PASSWORD, None) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(answer, UnavailableError) for answer in answers) == 8
    assert answers.count(False) == 32
