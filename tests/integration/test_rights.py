"""Who may give and take rights, and that somebody is always left who may do everything."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from protocol.ids import new_id
from tests.integration.actors import somebody_who_holds
from tests.integration.room import SOMEBODY, make_room
from web.domain.access import Actor, Permission, Scope, everywhere
from web.domain.errors import (
    ChangedMeanwhileError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    LastAdministratorError,
    NotFoundError,
    SignInRequiredError,
    UnauthorisedError,
)
from web.domain.grants import GrantDraft, Holder, RoleDraft
from web.domain.roles import Effect, ScopeKind
from web.domain.tokens import TokenRequest
from web.services.access import grants, groups, people, roles
from web.services.entry import tokens
from web.services.recorders import node_groups
from web.store.access import held_by
from web.store.database import Database
from web.store.grants import TURN

pytestmark = pytest.mark.anyio

WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def somebody(owner: Any, name: str, password_hash: str | None = "x") -> UUID:
    user_id = new_id()
    await owner.execute(
        "INSERT INTO user_account (id, name, password_hash) VALUES ($1, $2, $3)", user_id, name, password_hash
    )
    return user_id


async def role_named(db: Database, name: str) -> UUID:
    return next(one.role.id for one in await roles.all_roles(db, by=SOMEBODY) if one.role.name == name)


async def everywhere_as(db: Database, role: str, **more: Any) -> GrantDraft:
    return GrantDraft(role_id=await role_named(db, role), **{"scope": ScopeKind.EVERYTHING, **more})


async def actor(db: Database, user_id: UUID, name: str) -> Actor:
    return Actor("user", user_id, name, await held_by(db, user_id))


async def administrator(db: Database, owner: Any, name: str = "ana") -> Actor:
    user_id = await somebody(owner, name)
    await grants.give(db, Holder("user", user_id), await everywhere_as(db, "administrator"), by=SOMEBODY)
    return await actor(db, user_id, name)


# ---- giving and taking ----


async def test_a_grant_counts_once_and_until_it_is_taken(db: Database, owner: Any) -> None:
    ben = Holder("user", await somebody(owner, "ben"))
    first, again = [await grants.give(db, ben, await everywhere_as(db, "viewer"), by=SOMEBODY) for _ in range(2)]
    assert first == again
    assert (await actor(db, ben.id, "ben")).may(Permission.RECORDING_READ)
    await grants.take(db, first.id, by=SOMEBODY)
    assert not (await actor(db, ben.id, "ben")).access
    with pytest.raises(NotFoundError):
        await grants.take(db, first.id, by=SOMEBODY)


async def test_nobody_gives_or_takes_what_he_does_not_hold(db: Database, owner: Any) -> None:
    hall, court = await make_room(db, "Hall"), await make_room(db, "Court")
    ben = Holder("user", await somebody(owner, "ben"))
    people = {Permission.USER_READ, Permission.USER_EDIT, Permission.NODE_READ}
    of_hall = Scope(nodes=frozenset({hall.node.node_id}))
    cleo = await somebody_who_holds(owner, "cleo", {**everywhere(people), Permission.RECORDING_READ: of_hall})
    seeing = RoleDraft(name="Seeing", permissions=frozenset({Permission.RECORDING_READ}))
    with pytest.raises(ForbiddenError):
        await roles.make(db, seeing, by=cleo)
    role_id = (await roles.make(db, seeing, by=SOMEBODY)).role.id

    def at(**place: Any) -> GrantDraft:
        return GrantDraft(role_id=role_id, **place)

    allowed = await grants.give(db, ben, at(scope=ScopeKind.NODE, node_id=hall.node.node_id), by=cleo)
    for place in (
        {"scope": ScopeKind.EVERYTHING},
        {"scope": ScopeKind.NODE, "node_id": court.node.node_id},
        {"scope": ScopeKind.FOLDER, "folder": "Court"},
        {"scope": ScopeKind.FOLDER, "folder": "Court", "effect": Effect.DENY},
    ):
        with pytest.raises(ForbiddenError) as refused:
            await grants.give(db, ben, at(**place), by=cleo)
        assert refused.value.permission == Permission.RECORDING_READ
    given = await grants.give(db, ben, at(scope=ScopeKind.FOLDER, folder="Court"), by=SOMEBODY)
    with pytest.raises(ForbiddenError):
        await grants.take(db, given.id, by=cleo)
    await grants.take(db, allowed.id, by=cleo)
    assert [one.id for one in await grants.grants_of(db, ben, by=SOMEBODY)] == [given.id]


async def test_within_a_group_of_nodes_nobody_gives_more_than_he_holds_wherever_it_may_reach(
    db: Database, owner: Any
) -> None:
    hall, court = await make_room(db, "Hall"), await make_room(db, "Court")
    editing = {Permission.USER_READ, Permission.USER_EDIT, Permission.NODE_READ, Permission.NODE_EDIT}
    of_hall = Scope(nodes=frozenset({hall.node.node_id}))
    cleo = await somebody_who_holds(owner, "cleo", {**everywhere(editing), Permission.AUDIT_READ: of_hall})
    assert cleo.id is not None
    reading = RoleDraft(name="Reading", permissions=frozenset({Permission.AUDIT_READ}))
    role_id = (await roles.make(db, reading, by=SOMEBODY)).role.id
    group_id = await node_groups.create(db, "Town", by=cleo)
    within = GrantDraft(role_id=role_id, scope=ScopeKind.NODE_GROUP, node_group_id=group_id)

    with pytest.raises(ForbiddenError):  # anything may come to be in it
        await grants.give(db, Holder("user", cleo.id), within, by=cleo)
    await node_groups.change(db, group_id, node_ids=[hall.node.node_id], by=cleo)
    await grants.give(db, Holder("user", cleo.id), within, by=cleo)
    for members in ([court.node.node_id], [hall.node.node_id, court.node.node_id]):
        with pytest.raises(ForbiddenError) as refused:
            await node_groups.change(db, group_id, node_ids=members, by=cleo)
        assert refused.value.permission == Permission.AUDIT_READ
    assert (await held_by(db, cleo.id))[Permission.AUDIT_READ] == of_hall


async def test_what_is_not_there_is_named_beside_its_field(db: Database, owner: Any) -> None:
    ben = Holder("user", await somebody(owner, "ben"))
    viewer = await role_named(db, "viewer")
    nowhere = new_id()
    with pytest.raises(InvalidError) as node:
        await grants.give(db, ben, GrantDraft(role_id=viewer, scope=ScopeKind.NODE, node_id=nowhere), by=SOMEBODY)
    with pytest.raises(InvalidError) as group:
        await grants.give(
            db, ben, GrantDraft(role_id=viewer, scope=ScopeKind.NODE_GROUP, node_group_id=nowhere), by=SOMEBODY
        )
    assert (node.value.field, group.value.field) == ("node_id", "node_group_id")
    with pytest.raises(NotFoundError):
        await grants.give(db, Holder("user", nowhere), await everywhere_as(db, "viewer"), by=SOMEBODY)


async def test_without_the_permission_for_people_nothing_is_given(db: Database, owner: Any) -> None:
    ben = Holder("user", await somebody(owner, "ben"))
    manager = Actor("user", new_id(), "mia", everywhere(set(Permission) - {Permission.USER_EDIT}))
    with pytest.raises(ForbiddenError):
        await grants.give(db, ben, await everywhere_as(db, "viewer"), by=manager)
    with pytest.raises(ForbiddenError):
        await groups.make(db, "Clerks", by=manager)
    assert await grants.all_grants(db, by=SOMEBODY) == []


# ---- an administrator is left ----


async def test_the_last_administrator_stays(db: Database, owner: Any) -> None:
    ana = await administrator(db, owner)
    assert ana.id is not None
    own = (await grants.grants_of(db, Holder("user", ana.id), by=ana))[0]
    with pytest.raises(LastAdministratorError):
        await grants.take(db, own.id, sure=True, by=ana)
    denial = await everywhere_as(db, "viewer", effect=Effect.DENY)
    with pytest.raises(LastAdministratorError):
        await grants.give(db, Holder("user", ana.id), denial, sure=True, by=ana)
    assert (await actor(db, ana.id, "ana")).access == everywhere()


async def test_a_denial_does_not_reach_the_last_administrator_by_a_node_that_is_added(db: Database, owner: Any) -> None:
    room, ana = await make_room(db), await administrator(db, owner)
    assert ana.id is not None
    group_id = await node_groups.create(db, "Town", by=SOMEBODY)
    draft = await everywhere_as(db, "viewer", effect=Effect.DENY, scope=ScopeKind.NODE_GROUP, node_group_id=group_id)
    await grants.give(db, Holder("user", ana.id), draft, by=SOMEBODY)
    with pytest.raises(LastAdministratorError):
        await node_groups.change(db, group_id, node_ids=[room.node.node_id], by=SOMEBODY)
    assert await held_by(db, ana.id) == everywhere()


async def test_two_administrators_who_strip_each_other_at_once_leave_one(db: Database, owner: Any) -> None:
    ana, ben = await administrator(db, owner, "ana"), await administrator(db, owner, "ben")
    assert ana.id is not None
    assert ben.id is not None
    of_ana = (await grants.grants_of(db, Holder("user", ana.id), by=ana))[0]
    of_ben = (await grants.grants_of(db, Holder("user", ben.id), by=ben))[0]
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", TURN)
        takes = asyncio.gather(
            grants.take(db, of_ana.id, by=ben), grants.take(db, of_ben.id, by=ana), return_exceptions=True
        )
        async with asyncio.timeout(60):
            while await owner.fetchval(WAITING) < 2:  # noqa: ASYNC110  (another connection tells it)
                await asyncio.sleep(0.01)
    done = await takes
    assert sorted(type(one).__name__ for one in done) == ["ForbiddenError", "HeldGrant"]


async def test_one_who_cannot_sign_in_yet_does_not_count_as_left(db: Database, owner: Any) -> None:
    ana = await administrator(db, owner)
    assert ana.id is not None
    invited = await somebody(owner, "ben", password_hash=None)
    await grants.give(db, Holder("user", invited), await everywhere_as(db, "administrator"), by=ana)
    own = (await grants.grants_of(db, Holder("user", ana.id), by=ana))[0]
    with pytest.raises(LastAdministratorError):
        await grants.take(db, own.id, sure=True, by=ana)


async def test_who_takes_his_own_rights_is_asked_first(db: Database, owner: Any) -> None:
    ana = await administrator(db, owner)
    await administrator(db, owner, "ben")
    assert ana.id is not None
    own = (await grants.grants_of(db, Holder("user", ana.id), by=ana))[0]
    with pytest.raises(ConflictError) as asked:
        await grants.take(db, own.id, by=ana)
    assert asked.value.facts == {"own": True}
    await grants.take(db, own.id, sure=True, by=ana)
    assert not await held_by(db, ana.id)


# ---- turns ----


async def test_who_is_stripped_or_kept_out_while_he_waits_for_his_turn_does_nothing(db: Database, owner: Any) -> None:
    await administrator(db, owner, "chief")
    ana, ben = await administrator(db, owner, "ana"), await administrator(db, owner, "ben")
    cleo = await administrator(db, owner, "cleo")
    target = await somebody(owner, "dora")
    held = await grants.give(db, Holder("user", target), await everywhere_as(db, "viewer"), by=SOMEBODY)
    made = await tokens.make(db, TokenRequest(name="script", permissions=list(Permission)), by=cleo)
    script = await tokens.authenticate(db, made.secret)
    group = await groups.make(db, "Clerks", by=SOMEBODY)
    everything = await everywhere_as(db, "administrator")
    draft = RoleDraft(name="New", permissions=frozenset({Permission.USER_READ}))
    async with owner.transaction():
        await owner.execute("SELECT pg_advisory_xact_lock($1)", TURN)
        acts = [
            grants.give(db, Holder("user", target), everything, by=ana),
            people.invite(db, "eve", by=ana),
            groups.make(db, "Late", by=ana),
            roles.make(db, draft, by=ana),
            node_groups.create(db, "Late", by=ana),
            tokens.revoke(db, made.token.id, by=ana),
            people.disable(db, target, by=ben),
            tokens.make(db, TokenRequest(name="late", permissions=[Permission.USER_READ]), by=ben),
            grants.take(db, held.id, by=script),
        ]
        waiting = asyncio.gather(*acts, return_exceptions=True)
        async with asyncio.timeout(60):
            while await owner.fetchval(WAITING) < len(acts):  # noqa: ASYNC110  (another connection tells it)
                await asyncio.sleep(0.01)
        await owner.execute("DELETE FROM access_grant WHERE user_id = $1", ana.id)
        await owner.execute("UPDATE user_account SET disabled_at = now() WHERE id = ANY($1)", [ben.id, cleo.id])
    kinds = [type(one) for one in await waiting]
    assert kinds == [ForbiddenError] * 5 + [NotFoundError] + [SignInRequiredError] * 2 + [UnauthorisedError]
    assert [one.id for one in await grants.grants_of(db, Holder("user", target), by=SOMEBODY)] == [held.id]
    assert [one.name for one in await groups.all_groups(db, by=SOMEBODY)] == [group.name]
    assert await owner.fetchval("SELECT count(*) FROM access_token") == 1


# ---- groups ----


async def test_members_hold_what_their_group_was_given(db: Database, owner: Any) -> None:
    ben = await somebody(owner, "ben")
    group = await groups.make(db, "Clerks", by=SOMEBODY)
    await grants.give(db, Holder("group", group.id), await everywhere_as(db, "operator"), by=SOMEBODY)
    await groups.add_member(db, group.id, ben, by=SOMEBODY)
    assert (await actor(db, ben, "ben")).may(Permission.RECORDING_CREATE)
    await groups.remove_member(db, group.id, ben, by=SOMEBODY)
    assert not await held_by(db, ben)


async def test_nobody_lets_others_into_a_group_that_holds_more_than_he_does(db: Database, owner: Any) -> None:
    cleo = await somebody_who_holds(owner, "cleo", everywhere({Permission.USER_READ, Permission.USER_EDIT}))
    assert cleo.id is not None
    group = await groups.make(db, "Bosses", by=SOMEBODY)
    await grants.give(db, Holder("group", group.id), await everywhere_as(db, "administrator"), by=SOMEBODY)
    with pytest.raises(ForbiddenError):
        await groups.add_member(db, group.id, cleo.id, by=cleo)
    assert await held_by(db, cleo.id) == cleo.access


async def test_a_group_that_makes_the_last_administrator_cannot_go(db: Database, owner: Any) -> None:
    ana = await somebody(owner, "ana")
    group = await groups.make(db, "Bosses", by=SOMEBODY)
    await groups.add_member(db, group.id, ana, by=SOMEBODY)
    await grants.give(db, Holder("group", group.id), await everywhere_as(db, "administrator"), by=SOMEBODY)
    with pytest.raises(LastAdministratorError):
        await groups.delete(db, group.id, by=SOMEBODY)
    with pytest.raises(LastAdministratorError):
        await groups.remove_member(db, group.id, ana, by=SOMEBODY)


async def test_a_group_is_not_renamed_from_an_old_page(db: Database) -> None:
    group = await groups.make(db, "Clerks", by=SOMEBODY)
    await groups.rename(db, group.id, "Court clerks", was="Clerks", by=SOMEBODY)
    with pytest.raises(ChangedMeanwhileError):
        await groups.rename(db, group.id, "Town clerks", was="Clerks", by=SOMEBODY)
    with pytest.raises(InvalidError):
        await groups.make(db, "court CLERKS", by=SOMEBODY)


async def test_what_single_sign_on_knows_by_name_is_renamed_only_by_who_holds_it(db: Database, owner: Any) -> None:
    cleo = await somebody_who_holds(owner, "cleo", everywhere({Permission.USER_READ, Permission.USER_EDIT}))
    group = await groups.make(db, "Bosses", by=SOMEBODY)
    await grants.give(db, Holder("group", group.id), await everywhere_as(db, "administrator"), by=SOMEBODY)
    hearing = RoleDraft(name="Hearing", permissions=frozenset({Permission.RECORDING_PLAYBACK}))
    role = await roles.make(db, hearing, by=SOMEBODY)
    with pytest.raises(ForbiddenError):
        await groups.rename(db, group.id, "Staff", was="Bosses", by=cleo)
    with pytest.raises(ForbiddenError):
        await roles.change(db, role.role.id, hearing.model_copy(update={"name": "Staff"}), version=1, by=cleo)
    told = await roles.change(db, role.role.id, hearing.model_copy(update={"description": "!"}), version=1, by=cleo)
    assert told.version == 2
    assert (await groups.group(db, group.id, by=SOMEBODY)).name == "Bosses"


# ---- roles ----


async def test_a_role_that_comes_with_reelkeeper_stays_as_it_is(db: Database) -> None:
    viewer = await role_named(db, "viewer")
    draft = RoleDraft(name="viewer", permissions=frozenset({Permission.RECORDING_READ}))
    with pytest.raises(ConflictError):
        await roles.change(db, viewer, draft, version=1, by=SOMEBODY)
    with pytest.raises(ConflictError):
        await roles.delete(db, viewer, by=SOMEBODY)


async def test_a_changed_role_counts_for_everybody_who_has_it(db: Database, owner: Any) -> None:
    ben = await somebody(owner, "ben")
    draft = RoleDraft(name="Listener", permissions=frozenset({Permission.RECORDING_READ}))
    made = await roles.make(db, draft, by=SOMEBODY)
    given = GrantDraft(role_id=made.role.id, scope=ScopeKind.EVERYTHING)
    await grants.give(db, Holder("user", ben), given, by=SOMEBODY)
    more = draft.model_copy(update={"permissions": draft.permissions | {Permission.RECORDING_PLAYBACK}})
    changed = await roles.change(db, made.role.id, more, version=made.version, by=SOMEBODY)
    assert (await actor(db, ben, "ben")).may(Permission.RECORDING_PLAYBACK)
    assert (changed.version, changed.changed_by, changed.uses) == (2, SOMEBODY.name, 1)


async def test_who_saves_an_old_page_of_a_role_overwrites_nothing(db: Database) -> None:
    draft = RoleDraft(name="Listener", permissions=frozenset({Permission.RECORDING_READ}))
    made = await roles.make(db, draft, by=SOMEBODY)
    renamed = draft.model_copy(update={"name": "Hearer"})
    done = await asyncio.gather(
        *(roles.change(db, made.role.id, renamed, version=made.version, by=SOMEBODY) for _ in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, ChangedMeanwhileError) for one in done) == 2
    assert (await roles.role(db, made.role.id, by=SOMEBODY)).version == 2


async def test_a_role_in_use_is_not_deleted(db: Database, owner: Any) -> None:
    ben = await somebody(owner, "ben")
    made = await roles.make(
        db, RoleDraft(name="Listener", permissions=frozenset({Permission.RECORDING_READ})), by=SOMEBODY
    )
    given = GrantDraft(role_id=made.role.id, scope=ScopeKind.EVERYTHING)
    held = await grants.give(db, Holder("user", ben), given, by=SOMEBODY)
    with pytest.raises(ConflictError):
        await roles.delete(db, made.role.id, by=SOMEBODY)
    await grants.take(db, held.id, by=SOMEBODY)
    await roles.delete(db, made.role.id, by=SOMEBODY)
    assert made.role.id not in {one.role.id for one in await roles.all_roles(db, by=SOMEBODY)}


async def test_what_somebody_may_do_is_told_with_the_grants_that_say_so(db: Database, owner: Any) -> None:
    ben = Holder("user", await somebody(owner, "ben"))
    group = await groups.make(db, "Clerks", by=SOMEBODY)
    await groups.add_member(db, group.id, ben.id, by=SOMEBODY)
    await grants.give(db, Holder("group", group.id), await everywhere_as(db, "viewer"), by=SOMEBODY)
    denial = GrantDraft(
        role_id=await role_named(db, "viewer"), scope=ScopeKind.FOLDER, folder="Court", effect=Effect.DENY
    )
    await grants.give(db, ben, denial, by=SOMEBODY)
    told = {one.permission: one for one in grants.resolved(await grants.grants_of(db, ben, by=SOMEBODY))}
    seeing = told[Permission.RECORDING_READ]
    assert (seeing.scope.everything, seeing.scope.but_folders) == (True, {"Court"})
    assert {one.holder.kind for one in seeing.because} == {"user", "group"}
    assert told[Permission.RECORDING_CREATE].because == []
    assert {one: told[one].scope for one in told if told[one].scope != Scope()} == await held_by(db, ben.id)
