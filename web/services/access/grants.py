"""Who has which role where: given, taken, and told in the end as what somebody may do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from protocol.ids import new_id
from web.domain.access import NOTHING, Actor, Permission, Scope
from web.domain.audit import Object
from web.domain.errors import ConflictError, InvalidError, NotFoundError
from web.domain.grants import GrantDraft, HeldGrant, Holder, Place
from web.domain.roles import Effect, ScopeKind, access_of
from web.services.access import rights
from web.services.auditing import audit
from web.store import grants, nodes
from web.store.database import Database, Session


@dataclass(frozen=True)
class Resolved:
    """Whether somebody may do one thing, where, and which grants say so."""

    permission: Permission
    scope: Scope
    because: Sequence[HeldGrant]
    """Those that give or deny it."""


async def all_grants(db: Database, *, by: Actor) -> list[HeldGrant]:
    """Of all people and groups."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.held_grants(db)


async def grants_of(db: Database, holder: Holder, *, by: Actor) -> list[HeldGrant]:
    """Of a person, with those that come by groups, or of a group."""
    by.require_everywhere(Permission.USER_READ)
    if holder.kind == "user":
        return await grants.held_grants(db, user_id=holder.id)
    return await grants.held_grants(db, group_id=holder.id)


async def grant(db: Database, grant_id: UUID, *, by: Actor) -> HeldGrant:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.held_grant(db, grant_id)


def resolved(held: Sequence[HeldGrant]) -> list[Resolved]:
    """Every permission, with what the grants of one person make of it."""
    access = access_of(one.rule for one in held)
    return [
        Resolved(
            permission,
            access.get(permission, NOTHING),
            [one for one in held if permission in one.permissions],
        )
        for permission in Permission
    ]


async def give(db: Database, holder: Holder, draft: GrantDraft, *, sure: bool = False, by: Actor) -> HeldGrant:
    """Give a role to a person or a group within a scope, or deny it there.

    Only what `by` holds for the whole scope can be given or denied. The same grant again is the same grant. Raises
    NotFoundError for a holder, role, node or group that is not there, InvalidError with its field when that is the
    node or the group of nodes, ConflictError for a denial of one's own rights unless `sure`, LastAdministratorError.
    """
    grant_id = new_id()
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        name = await _holder_name(session, holder)
        role = (await grants.role(session, draft.role_id)).role
        place = await _place(session, draft, by)
        rights.require_holds(by, role.permissions, place.to_be_held)
        if draft.effect is Effect.DENY and not sure:
            await _require_others(session, holder, by)
        if not await grants.add_grant(session, grant_id, holder, draft, created_by=by.name):
            return await _same(session, holder, draft)
        made = await grants.held_grant(session, grant_id)
        await audit.note(session, by, "grant.create", Object(holder.kind, holder.id, name), after=_facts(made))
        return made


async def take(db: Database, grant_id: UUID, *, sure: bool = False, by: Actor) -> HeldGrant:
    """Take a grant back, a denial too. Answers what it was.

    Raises NotFoundError, ForbiddenError when `by` does not hold what it gives, ConflictError when it is one's own
    unless `sure`, LastAdministratorError.
    """
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        held = await grants.held_grant(session, grant_id)
        rights.require_holds(by, held.permissions, held.place.to_be_held)
        if not sure:
            await _require_others(session, held.holder, by)
        await grants.delete_grant(session, grant_id)
        of = Object(held.holder.kind, held.holder.id, held.holder_name)
        await audit.note(session, by, "grant.delete", of, before=_facts(held))
        return held


async def is_own(session: Session, holder: Holder, *, by: Actor) -> bool:
    """Whether what this holder has is held by `by`, also by a group."""
    if holder.kind == "user":
        return holder.id == by.id
    return any(user_id == by.id for user_id, _ in (await grants.group(session, holder.id)).members)


async def _require_others(session: Session, holder: Holder, by: Actor) -> None:
    if await is_own(session, holder, by=by):
        raise ConflictError("These are your own rights; say that you are sure.", own=True)


async def _holder_name(session: Session, holder: Holder) -> str:
    if holder.kind == "user":
        return await grants.user_name(session, holder.id)
    return (await grants.group(session, holder.id)).name


async def _place(session: Session, draft: GrantDraft, by: Actor) -> Place:
    match draft.scope:
        case ScopeKind.NODE if draft.node_id is not None:
            try:
                node = await nodes.get(session, draft.node_id, scope=by.nodes, seen_within=0.0)
            except NotFoundError as missing:
                raise InvalidError(str(missing), field="node_id") from missing
            return Place(ScopeKind.NODE, node.id, node.name, frozenset({node.id}))
        case ScopeKind.NODE_GROUP:
            for group_id, name, members in await grants.node_groups(session):
                if group_id == draft.node_group_id:
                    return Place(ScopeKind.NODE_GROUP, group_id, name, members)
            raise InvalidError("There is no such group of nodes.", field="node_group_id")
        case _:
            return Place(draft.scope, folder=draft.folder, name=draft.folder or "")


async def _same(session: Session, holder: Holder, draft: GrantDraft) -> HeldGrant:
    """The grant that was there already."""
    found = await grants.held_grants(session, role_id=draft.role_id)
    place = draft.node_id or draft.node_group_id
    return next(
        one
        for one in found
        if (one.holder, one.effect, one.place.kind, one.place.id, one.place.folder)
        == (holder, draft.effect, draft.scope, place, draft.folder)
    )


def _facts(held: HeldGrant) -> dict[str, Any]:
    return {
        "role": held.role_name,
        "effect": held.effect.value,
        "scope": held.place.kind.value,
        "within": held.place.name,
    }
