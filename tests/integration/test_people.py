"""People are invited, helped in again and kept out, by those who may, and by nobody who holds less."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pyotp
import pytest

from protocol.ids import new_id
from tests.integration.actors import somebody_who_holds
from tests.integration.room import until_somebody_waits
from web.domain.access import Actor, Permission, Source, everywhere
from web.domain.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LastAdministratorError,
    LinkSpentError,
    NotFoundError,
    SignInRequiredError,
    UnauthorisedError,
)
from web.domain.grants import GrantDraft, Holder
from web.domain.people import HalfSignedIn, SignedIn, Visit
from web.domain.roles import BUILT_IN, ScopeKind
from web.domain.tokens import TokenRequest
from web.services.access import grants, people
from web.services.entry import accounts, second_factor, sign_in, tokens
from web.services.entry.passwords import Passwords
from web.services.keys import open_keys
from web.store import access
from web.store.database import Database
from web.store.grants import TURN

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
OTHER = "another good one, really"
VISIT = Visit(Source("192.0.2.1"), "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")


@pytest.fixture
def passwords(anyio_backend: str) -> Passwords:
    return Passwords()


@pytest.fixture
async def chief(db: Database) -> Actor:
    """The administrator."""
    begun = await accounts.spend_code(db, await accounts.sign_in_link_code(db), VISIT)
    return (await accounts.authenticate_session(db, begun.token))[0]


async def _ana(db: Database, passwords: Passwords, chief: Actor) -> SignedIn:
    """Somebody who was invited and came."""
    invitation = await people.invite(db, "ana", by=chief)
    begun = await accounts.accept_invitation(db, passwords, invitation.code, PASSWORD, VISIT)
    assert begun is not None
    return begun


async def _give(owner: Any, user_id: UUID, role: str) -> None:
    await owner.execute(
        "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by) "
        "SELECT $1, $2, id, 'allow', 'everything', 'test' FROM role WHERE name = $3",
        *(new_id(), user_id, role),
    )


async def _is_signed_in(db: Database, token: str) -> bool:
    try:
        await accounts.authenticate_session(db, token)
    except SignInRequiredError:
        return False
    return True


async def test_who_is_invited_sets_a_password_once_and_holds_nothing_yet(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    invitation = await people.invite(db, "  Ana   Lind ", by=chief)
    assert [(await people.invited(db, invitation.code))[1] for _ in range(2)] == ["Ana Lind", "Ana Lind"]
    begun = await accounts.accept_invitation(db, passwords, invitation.code, PASSWORD, VISIT)
    assert begun is not None
    actor, user = await accounts.authenticate_session(db, begun.token)
    assert (user.name, actor.access) == ("Ana Lind", {})
    with pytest.raises(LinkSpentError):
        await accounts.accept_invitation(db, passwords, invitation.code, PASSWORD, VISIT)
    assert await sign_in.sign_in(db, passwords, "Ana Lind", PASSWORD, VISIT)
    rows = await owner.fetch("SELECT action, actor_name FROM audit_entry WHERE action LIKE 'user.%' ORDER BY id")
    assert [tuple(row) for row in rows] == [("user.create", "link of the machine"), ("user.invite", "admin")]
    assert invitation.code not in repr(await owner.fetch("SELECT * FROM audit_entry"))


async def test_a_link_is_of_one_person_and_a_newer_one_replaces_it(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    older = await people.invite(db, "ana", by=chief)
    newer = await people.reset_link(db, older.user_id, by=chief)
    with pytest.raises(LinkSpentError):
        await people.invited(db, older.code)
    await owner.execute("UPDATE invitation SET expires_at = now()")
    for bad in (newer.code, newer.code[:-1], "", "rki_x_y"):
        with pytest.raises(LinkSpentError):
            await accounts.accept_invitation(db, passwords, bad, PASSWORD, VISIT)


async def test_a_bad_password_leaves_the_link_good(db: Database, passwords: Passwords, chief: Actor) -> None:
    invitation = await people.invite(db, "ana", by=chief)
    with pytest.raises(InvalidError):
        await accounts.accept_invitation(db, passwords, invitation.code, "short", VISIT)
    assert (await people.invited(db, invitation.code))[1] == "ana"


@pytest.mark.parametrize("name", ["", "   ", "admin", "ADMIN", "x" * 101, "a\u202eb"])
async def test_a_name_that_is_none_or_taken_is_refused(db: Database, chief: Actor, name: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await people.invite(db, name, by=chief)
    assert refused.value.field == "name"


async def test_a_new_password_by_link_ends_sessions_and_still_asks_for_the_second_factor(
    db: Database, passwords: Passwords, chief: Actor, tmp_path: Path
) -> None:
    begun = await _ana(db, passwords, chief)
    keys = await open_keys(db, tmp_path / "keys")
    current = await accounts.session_of(db, begun.token)
    app = pyotp.TOTP((await second_factor.begin(db, keys, current)).secret)
    begun, _ = await accounts.add_second_factor(db, keys, begun.token, app.now(), VISIT)
    link = await people.reset_link(db, begun.user.id, by=chief)
    assert await _is_signed_in(db, begun.token)
    assert await accounts.accept_invitation(db, passwords, link.code, "four words nobody knows", VISIT) is None
    assert not await _is_signed_in(db, begun.token)
    half = await sign_in.sign_in(db, passwords, "ana", "four words nobody knows", VISIT)
    assert isinstance(half, HalfSignedIn)
    await people.remove_second_factor(db, begun.user.id, by=chief)
    assert isinstance(await sign_in.sign_in(db, passwords, "ana", "four words nobody knows", VISIT), SignedIn)


async def test_disabling_ends_sessions_and_links_at_once_and_enabling_lets_in_again(
    db: Database, passwords: Passwords, chief: Actor
) -> None:
    begun = await _ana(db, passwords, chief)
    link = await people.reset_link(db, begun.user.id, by=chief)
    await people.disable(db, begun.user.id, by=chief)
    assert not await _is_signed_in(db, begun.token)
    with pytest.raises(LinkSpentError):
        await people.invited(db, link.code)
    with pytest.raises(ConflictError):
        await people.reset_link(db, begun.user.id, by=chief)
    with pytest.raises(InvalidError):
        await sign_in.sign_in(db, passwords, "ana", PASSWORD, VISIT)
    assert (await people.person(db, begun.user.id, by=chief)).disabled_at is not None
    await people.enable(db, begun.user.id, by=chief)
    assert not await _is_signed_in(db, begun.token)
    assert await sign_in.sign_in(db, passwords, "ana", PASSWORD, VISIT)


async def test_the_last_administrator_is_neither_disabled_nor_removed(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    assert chief.id is not None
    for act in (people.disable, people.remove):
        with pytest.raises(LastAdministratorError):
            await act(db, chief.id, by=chief)
    assert (await people.person(db, chief.id, by=chief)).disabled_at is None
    ana = (await _ana(db, passwords, chief)).user
    await _give(owner, ana.id, "administrator")
    await people.disable(db, chief.id, by=chief)
    assert (await accounts.spend_code(db, await accounts.sign_in_link_code(db), VISIT)).user.name == "ana"


async def test_nobody_acts_on_an_account_that_may_do_more(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    assert chief.id is not None
    editing = {Permission.USER_READ, Permission.USER_EDIT, Permission.USER_DELETE}
    looks_after = await somebody_who_holds(owner, "bo", everywhere(editing))
    for act in (
        people.reset_link,
        people.disable,
        people.enable,
        people.remove,
        people.remove_second_factor,
        people.end_sessions,
    ):
        with pytest.raises(ForbiddenError):
            await act(db, chief.id, by=looks_after)
    ana = (await _ana(db, passwords, chief)).user
    await people.reset_link(db, ana.id, by=looks_after)
    await _give(owner, ana.id, "viewer")
    with pytest.raises(ForbiddenError):
        await people.reset_link(db, ana.id, by=looks_after)


async def test_a_link_for_a_new_password_ends_when_its_person_is_given_more(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    ana = (await _ana(db, passwords, chief)).user.id
    await _give(owner, ana, "viewer")
    editing = {Permission.USER_READ, Permission.USER_EDIT}
    helper = await somebody_who_holds(owner, "helper", everywhere(BUILT_IN["viewer"][1] | editing))
    link = await people.reset_link(db, ana, by=helper)
    roles = {row["name"]: row["id"] for row in await owner.fetch("SELECT id, name FROM role")}

    def everywhere_as(role: str) -> GrantDraft:
        return GrantDraft(role_id=roles[role], scope=ScopeKind.EVERYTHING)

    await grants.give(db, Holder("user", ana), everywhere_as("viewer"), by=chief)
    assert (await people.invited(db, link.code))[1] == "ana"
    await grants.give(db, Holder("user", ana), everywhere_as("administrator"), by=chief)
    with pytest.raises(LinkSpentError):
        await accounts.accept_invitation(db, passwords, link.code, PASSWORD, VISIT)


async def test_each_act_needs_its_permission_on_everything(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    ana = (await _ana(db, passwords, chief)).user
    nobody = await somebody_who_holds(owner, "bo", {})
    acts: list[Any] = [
        lambda: people.all_people(db, by=nobody),
        lambda: people.person(db, ana.id, by=nobody),
        lambda: people.invite(db, "new", by=nobody),
        lambda: people.sessions_of(db, ana.id, by=nobody),
    ]
    for act in (people.reset_link, people.disable, people.enable, people.remove, people.remove_second_factor):
        acts.append(lambda act=act: act(db, ana.id, by=nobody))
    acts.append(lambda: people.end_sessions(db, ana.id, by=nobody))
    for one in acts:
        with pytest.raises(ForbiddenError):
            await one()
    assert [person.name for person in await people.all_people(db, by=chief)] == ["admin", "ana", "bo"]


async def test_ones_own_password_and_factor_are_not_reset_past_the_old_ones(db: Database, chief: Actor) -> None:
    assert chief.id is not None
    for act in (people.reset_link, people.remove_second_factor):
        with pytest.raises(ConflictError):
            await act(db, chief.id, by=chief)


async def test_everybody_sees_and_ends_his_own_sessions(db: Database, passwords: Passwords, chief: Actor) -> None:
    first = await _ana(db, passwords, chief)
    second = await sign_in.sign_in(db, passwords, "ana", PASSWORD, VISIT)
    third = await sign_in.sign_in(db, passwords, "ana", PASSWORD, VISIT)
    assert isinstance(second, SignedIn)
    assert isinstance(third, SignedIn)
    ana, user = await accounts.authenticate_session(db, third.token)
    seen = await people.sessions_of(db, user.id, by=ana)
    assert [(one.address, one.browser) for one in seen] == [("192.0.2.1", VISIT.browser)] * 3
    current = await accounts.session_of(db, third.token)
    oldest = await accounts.session_of(db, first.token)
    assert await people.end_sessions(db, user.id, by=ana, only=oldest.id) == 1
    assert await people.end_sessions(db, user.id, by=ana, but=current.id) == 1
    assert [await _is_signed_in(db, one.token) for one in (first, second, third)] == [False, False, True]
    assert chief.id is not None
    with pytest.raises(ForbiddenError):
        await people.end_sessions(db, chief.id, by=ana)


async def test_who_is_removed_is_gone_and_stays_on_the_record(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    begun = await _ana(db, passwords, chief)
    await _give(owner, begun.user.id, "viewer")
    await people.remove(db, begun.user.id, by=chief)
    assert not await _is_signed_in(db, begun.token)
    with pytest.raises(NotFoundError):
        await people.person(db, begun.user.id, by=chief)
    assert await access.held_by(db, begun.user.id) == {}
    assert await owner.fetchval("SELECT count(*) FROM audit_entry WHERE actor_name = 'ana'") > 0


async def test_tokens_outlive_a_password_unless_they_are_revoked_with_it(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    begun = await _ana(db, passwords, chief)
    await _give(owner, begun.user.id, "viewer")
    wanted = TokenRequest(name="script", permissions=[Permission.RECORDING_READ])
    ana, _ = await accounts.authenticate_session(db, begun.token)
    made = [await tokens.make(db, wanted, by=ana) for _ in range(2)]
    begun = await accounts.set_password(db, passwords, begun.token, OTHER, old_password=PASSWORD, visit=VISIT)
    assert await tokens.good_ones_of(db, begun.user.id) == 2
    begun = await accounts.set_password(
        db, passwords, begun.token, PASSWORD, old_password=OTHER, revoke_tokens=True, visit=VISIT
    )
    for one in made:
        with pytest.raises(UnauthorisedError):
            await tokens.authenticate(db, one.secret)
    with pytest.raises(SignInRequiredError):  # that session has ended
        await tokens.make(db, wanted, by=ana)
    ana, _ = await accounts.authenticate_session(db, begun.token)
    last = await tokens.make(db, wanted, by=ana)
    link = await people.reset_link(db, begun.user.id, by=chief)
    await accounts.accept_invitation(db, passwords, link.code, OTHER, VISIT, revoke_tokens=True)
    with pytest.raises(UnauthorisedError):
        await tokens.authenticate(db, last.secret)
    noted = await owner.fetch("SELECT actor_name, reason FROM audit_entry WHERE action = 'token.revoke'")
    assert [tuple(row) for row in noted] == [("ana", "new password")] * 3


# ---- at the same moment ----


async def test_no_token_is_made_in_a_session_that_a_new_password_ended(
    db: Database, owner: Any, passwords: Passwords
) -> None:
    begun = await accounts.spend_code(db, await accounts.sign_in_link_code(db), VISIT)
    ana, _ = await accounts.authenticate_session(db, begun.token)
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", TURN)
        change = asyncio.create_task(
            accounts.set_password(db, passwords, begun.token, OTHER, revoke_tokens=True, visit=VISIT)
        )
        await until_somebody_waits(owner)
        late = asyncio.create_task(
            tokens.make(db, TokenRequest(name="late", permissions=[Permission.USER_READ]), by=ana)
        )
    await change
    with pytest.raises(SignInRequiredError):
        await late
    assert await tokens.good_ones_of(db, begun.user.id) == 0


async def test_an_account_is_held_before_its_sessions_when_it_is_removed(
    db: Database, owner: Any, passwords: Passwords, chief: Actor
) -> None:
    """As everybody else takes them: two who take them the other way round wait for each other."""
    begun = await _ana(db, passwords, chief)
    async with owner.transaction():
        await owner.execute("SELECT FROM user_account WHERE id = $1 FOR NO KEY UPDATE", begun.user.id)
        removal = asyncio.create_task(people.remove(db, begun.user.id, by=chief))
        await until_somebody_waits(owner)
        of_ana = "SELECT id FROM login_session WHERE user_id = $1 FOR UPDATE NOWAIT"
        assert len(await owner.fetch(of_ana, begun.user.id)) == 1
    await removal
    assert await owner.fetchval("SELECT count(*) FROM login_session WHERE user_id = $1", begun.user.id) == 0
