"""Roles: those that come with Reelkeeper, and one's own."""

from typing import Any
from uuid import UUID

from protocol.ids import new_id
from web.domain.access import EVERYTHING, Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ChangedMeanwhileError, ConflictError, InvalidError
from web.domain.grants import HeldGrant, RoleDraft, StoredRole
from web.services.access import rights
from web.services.auditing import audit
from web.store import grants
from web.store.database import Database, Session


async def all_roles(db: Database, *, by: Actor) -> list[StoredRole]:
    """Those that come with Reelkeeper first."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.roles(db)


async def role(db: Database, role_id: UUID, *, by: Actor) -> StoredRole:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.role(db, role_id)


async def uses(db: Database, role_id: UUID, *, by: Actor) -> list[HeldGrant]:
    """Who has the role, and where."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.held_grants(db, role_id=role_id)


async def make(db: Database, draft: RoleDraft, *, by: Actor) -> StoredRole:
    """Raises InvalidError when there is a role of this name, ForbiddenError for permissions that `by` does not hold."""
    role_id = new_id()
    async with rights.in_turn(db, by, Permission.USER_EDIT) as (session, by):
        rights.require_holds(by, draft.permissions, EVERYTHING)
        await _require_free_name(session, draft.name)
        await grants.add_role(session, role_id, draft, created_by=by.name)
        await audit.note(session, by, "role.create", Object("role", role_id, draft.name), after=_facts(draft))
        return await grants.role(session, role_id)


async def change(db: Database, role_id: UUID, draft: RoleDraft, *, version: int, by: Actor) -> StoredRole:
    """Change a role for everybody who has it. `version` is the one that `by` has seen.

    Only permissions that `by` holds on everything can come or go, and only a role of such permissions gets another
    name: single sign-on gives roles by their names. Raises ChangedMeanwhileError when there is a newer version,
    ConflictError for a role that comes with Reelkeeper, InvalidError for a name that is taken, ForbiddenError,
    LastAdministratorError.
    """
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        before = await grants.role(session, role_id)
        if before.role.is_built_in:
            raise ConflictError(f"“{before.role.name}” comes with Reelkeeper and stays as it is; make a copy.")
        if before.version != version:
            raise ChangedMeanwhileError(
                f"“{before.role.name}” was changed by {before.changed_by} since you opened it.",
                version=before.version,
            )
        is_renamed = draft.name != before.role.name
        touched = draft.permissions if is_renamed else frozenset()
        rights.require_holds(by, before.role.permissions ^ draft.permissions | touched, EVERYTHING)
        await _require_free_name(session, draft.name, but=role_id)
        await grants.change_role(session, role_id, draft, version=version, changed_by=by.name)
        await audit.note(
            session,
            by,
            "role.edit",
            Object("role", role_id, draft.name),
            before=_facts(RoleDraft(**_draft(before))),
            after=_facts(draft),
        )
        return await grants.role(session, role_id)


async def delete(db: Database, role_id: UUID, *, by: Actor) -> None:
    """Raises ConflictError while anybody has it, and for a role that comes with Reelkeeper."""
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        found = await grants.role(session, role_id)
        if found.role.is_built_in:
            raise ConflictError(f"“{found.role.name}” comes with Reelkeeper and stays.")
        if found.uses:
            raise ConflictError(
                f"“{found.role.name}” is given {found.uses} times; take it from those who have it first.",
                uses=found.uses,
            )
        await grants.delete_role(session, role_id)
        await audit.note(session, by, "role.delete", Object("role", role_id, found.role.name))


async def _require_free_name(session: Session, name: str, *, but: UUID | None = None) -> None:
    if await grants.is_role_name_taken(session, name, but=but):
        raise InvalidError(f"There is a role “{name}” already; choose another name.", field="name")


def _draft(stored: StoredRole) -> dict[str, Any]:
    return {name: getattr(stored.role, name) for name in ("name", "description", "permissions")}


def _facts(draft: RoleDraft) -> dict[str, Any]:
    return {**dict(draft), "permissions": sorted(draft.permissions)}
