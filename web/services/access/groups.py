"""Groups of people: whoever joins one holds what it was given."""

from uuid import UUID

from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ChangedMeanwhileError, ConflictError, InvalidError
from web.domain.grants import Group
from web.services.access import rights
from web.services.auditing import audit
from web.store import grants
from web.store.database import Database, Session


async def all_groups(db: Database, *, by: Actor) -> list[Group]:
    """In the order of their names."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.groups(db)


async def group(db: Database, group_id: UUID, *, by: Actor) -> Group:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.USER_READ)
    return await grants.group(db, group_id)


async def make(db: Database, name: str, *, by: Actor) -> Group:
    """A group without members and without grants. Raises InvalidError when there is one of this name."""
    async with rights.in_turn(db, by, Permission.USER_EDIT) as (session, by):
        name = await _good_name(session, name)
        group_id = await grants.add_group(session, name)
        await audit.note(session, by, "group.create", Object("group", group_id, name))
        return await grants.group(session, group_id)


async def rename(db: Database, group_id: UUID, name: str, *, was: str, by: Actor) -> Group:
    """Single sign-on knows it by its name, so that another name may give it other members.

    Raises ChangedMeanwhileError when it is not called `was` any more, InvalidError for a name that is taken,
    ForbiddenError when `by` does not hold what the group was given.
    """
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        before = await grants.group(session, group_id)
        await _require_may_move(session, group_id, by)
        name = await _good_name(session, name, but=group_id)
        if not await grants.rename_group(session, group_id, name, was=was):
            raise ChangedMeanwhileError(f"Meanwhile this group is called “{before.name}”.")
        of = Object("group", group_id, name)
        await audit.note(session, by, "group.edit", of, before={"name": was}, after={"name": name})
        return await grants.group(session, group_id)


async def delete(db: Database, group_id: UUID, *, sure: bool = False, by: Actor) -> None:
    """Its members lose what came by it. Raises as `remove_member` does."""
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        found = await grants.group(session, group_id)
        await _require_may_move(session, group_id, by)
        _require_sure(sure or all(user_id != by.id for user_id, _ in found.members))
        await grants.delete_group(session, group_id)
        before = {"members": [name for _, name in found.members]}
        await audit.note(session, by, "group.delete", Object("group", group_id, found.name), before=before)


async def add_member(db: Database, group_id: UUID, user_id: UUID, *, by: Actor) -> None:
    """Once. Raises ForbiddenError when `by` does not hold what the group was given, NotFoundError."""
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        found, name = await grants.group(session, group_id), await grants.user_name(session, user_id)
        await _require_may_move(session, group_id, by)
        if await grants.join(session, group_id, user_id):
            of = Object("group", group_id, found.name)
            await audit.note(session, by, "group.join", of, after={"member": name})


async def remove_member(db: Database, group_id: UUID, user_id: UUID, *, sure: bool = False, by: Actor) -> None:
    """Raises ForbiddenError when `by` does not hold what the group was given, ConflictError when it is `by` unless
    `sure`, LastAdministratorError, NotFoundError."""
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        found, name = await grants.group(session, group_id), await grants.user_name(session, user_id)
        await _require_may_move(session, group_id, by)
        _require_sure(sure or user_id != by.id)
        if await grants.leave(session, group_id, user_id):
            of = Object("group", group_id, found.name)
            await audit.note(session, by, "group.leave", of, before={"member": name})


async def _require_may_move(session: Session, group_id: UUID, by: Actor) -> None:
    """Who comes or goes gets or loses all that the group was given."""
    for held in await grants.held_grants(session, group_id=group_id):
        rights.require_holds(by, held.permissions, held.place.to_be_held)


def _require_sure(sure: bool) -> None:
    if not sure:
        raise ConflictError("These are your own rights; say that you are sure.", own=True)


async def _good_name(session: Session, name: str, *, but: UUID | None = None) -> str:
    name = name.strip()
    if not name or len(name) > 100:
        raise InvalidError("Give the group a name of up to 100 characters.", field="name")
    if await grants.is_group_name_taken(session, name, but=but):
        raise InvalidError(f"There is a group “{name}” already; choose another name.", field="name")
    return name
