"""Tokens of programs: what each may do is a part of what its owner may do now."""

from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from tests.integration.actors import somebody_who_holds
from tests.integration.room import SOMEBODY, Room, make_room
from web.domain.access import ALL_PERMISSIONS, Actor, Permission, Scope, Source, everywhere, within
from web.domain.errors import ForbiddenError, InvalidError, NotFoundError, UnauthorisedError
from web.domain.tokens import Token, TokenRequest
from web.services.entry import tokens
from web.store.database import Database

pytestmark = pytest.mark.anyio

P = Permission


async def person(owner: Any, name: str, role: str | None, access: Any = None, *, node_id: UUID | None = None) -> Actor:
    """Somebody with an account and a grant, and how the console knows them."""
    user_id = new_id()
    await owner.execute("INSERT INTO user_account (id, name) VALUES ($1, $2)", user_id, name)
    if role is not None:
        await owner.execute(
            "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_id, created_by) "
            "SELECT $1, $2, id, 'allow', $3, $4, 'test' FROM role WHERE name = $5",
            new_id(),
            user_id,
            "everything" if node_id is None else "node",
            node_id,
            role,
        )
    return Actor("user", user_id, name, everywhere() if access is None else access)


def wanted(*permissions: Permission, **changes: Any) -> TokenRequest:
    return TokenRequest(**{"name": "backup", "permissions": list(permissions or [P.RECORDING_READ]), **changes})


async def test_token_does_what_it_names_in_the_name_of_its_owner(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "administrator")

    made = await tokens.make(db, wanted(P.RECORDING_READ, P.RECORDING_DOWNLOAD), by=ana)
    actor = await tokens.authenticate(db, made.secret, Source("192.0.2.7"))

    assert (actor.kind, actor.name, actor.source.address) == ("token", "backup (ANA)", "192.0.2.7")
    assert dict(actor.access) == dict(everywhere({P.RECORDING_READ, P.RECORDING_DOWNLOAD}))
    assert made.secret not in repr(await owner.fetch("SELECT * FROM access_token"))
    found = (await tokens.own(db, by=ana))[0]
    assert (found.last_used_from, found.is_expired) == ("192.0.2.7", False)
    assert found.last_used_at is not None
    assert found.expires_at is not None


async def test_token_loses_what_its_owner_loses_and_ends_with_him(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "administrator")
    made = await tokens.make(db, wanted(P.RECORDING_READ, P.RECORDING_DELETE), by=ana)

    await owner.execute(
        "UPDATE access_grant SET role_id = (SELECT id FROM role WHERE name = 'operator') WHERE user_id = $1", ana.id
    )
    as_operator = await tokens.authenticate(db, made.secret)
    await owner.execute("DELETE FROM access_grant WHERE user_id = $1", ana.id)
    without_grant = await tokens.authenticate(db, made.secret)
    await owner.execute("UPDATE user_account SET disabled_at = now() WHERE id = $1", ana.id)

    assert set(as_operator.access) == {P.RECORDING_READ}
    assert dict(without_grant.access) == {}
    with pytest.raises(UnauthorisedError, match="disabled"):
        await tokens.authenticate(db, made.secret)


async def test_token_of_a_node_and_a_folder_reaches_no_further_than_its_owner(db: Database, owner: Any) -> None:
    here, elsewhere = await make_room(db, "Here"), await make_room(db, "Elsewhere")
    ana = await person(owner, "ANA", "viewer", within(Scope(nodes=_ids(here))), node_id=here.node.node_id)
    everybody = await person(owner, "BEA", "administrator")

    of_here = await tokens.make(db, wanted(node_ids=list(_ids(here)), folders=["Court"]), by=ana)
    of_both = await tokens.make(db, wanted(node_ids=list(_ids(here)), folders=["Court"]), by=everybody)

    assert (await tokens.authenticate(db, of_here.secret)).recordings == Scope(nodes=_ids(here))
    assert (await tokens.authenticate(db, of_both.secret)).recordings == Scope(
        nodes=_ids(here), folders=frozenset({"Court"})
    )
    with pytest.raises(InvalidError, match="no node"):
        await tokens.make(db, wanted(node_ids=list(_ids(elsewhere))), by=ana)


def test_of_two_folders_the_inner_one_is_reached() -> None:
    token = Token(new_id(), "t", None, None, None, [], ["A", "B/C", "D"], "x", None, None, False, None, None)  # type: ignore[arg-type]
    held = {P.RECORDING_READ: Scope(folders=frozenset({"A/1", "B"}), but_folders=frozenset({"A/1/secret"}))}

    assert token.narrowed(held)[P.RECORDING_READ] == Scope(
        folders=frozenset({"A/1", "B/C"}), but_folders=frozenset({"A/1/secret"})
    )


async def test_nobody_gives_a_token_what_he_lacks(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "viewer", everywhere({P.RECORDING_READ}))
    with pytest.raises(InvalidError) as refused:
        await tokens.make(db, wanted(P.RECORDING_READ, P.USER_EDIT), by=ana)
    assert refused.value.field == "permissions"
    with pytest.raises(InvalidError) as refused:
        await tokens.make(db, wanted(days=None), by=ana)
    assert refused.value.field == "days"
    assert await tokens.own(db, by=ana) == []


async def test_expired_and_revoked_tokens_are_good_for_nothing(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "administrator")
    old, gone = await tokens.make(db, wanted(), by=ana), await tokens.make(db, wanted(), by=ana)
    await owner.execute("UPDATE access_token SET expires_at = now() WHERE id = $1", old.token.id)

    await tokens.revoke(db, gone.token.id, by=ana)

    for made in (old, gone):
        with pytest.raises(UnauthorisedError):
            await tokens.authenticate(db, made.secret)
    assert [one.is_expired for one in await tokens.own(db, by=ana)] == [True]


async def test_only_who_edits_users_revokes_a_token_of_another(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "administrator")
    made = await tokens.make(db, wanted(), by=ana)
    reader = await somebody_who_holds(owner, "BEA", everywhere({P.USER_READ}))
    nobody = await somebody_who_holds(owner, "CLEO", everywhere({P.RECORDING_READ}))

    with pytest.raises(ForbiddenError):
        await tokens.revoke(db, made.token.id, by=reader)
    with pytest.raises(NotFoundError):
        await tokens.revoke(db, made.token.id, by=nobody)
    with pytest.raises(ForbiddenError):
        await tokens.all_tokens(db, by=nobody, limit=10)
    assert [one.id for one in await tokens.all_tokens(db, by=reader, limit=10)] == [made.token.id]

    await tokens.revoke(db, made.token.id, by=SOMEBODY)
    assert await tokens.all_tokens(db, by=reader, limit=10) == []


async def test_token_made_by_a_token_has_its_owner_and_no_longer_life(db: Database, owner: Any) -> None:
    ana = await person(owner, "ANA", "administrator")
    first = await tokens.make(db, wanted(*ALL_PERMISSIONS, days=1), by=ana)
    weak = await tokens.make(db, wanted(P.RECORDING_READ), by=ana)

    second = await tokens.make(db, wanted(days=300), by=await tokens.authenticate(db, first.secret))

    assert (second.token.owner_id, second.token.expires_at) == (ana.id, first.token.expires_at)
    with pytest.raises(ForbiddenError):
        await tokens.make(db, wanted(), by=await tokens.authenticate(db, weak.secret))


def _ids(room: Room) -> frozenset[UUID]:
    return frozenset({room.node.node_id})
