"""Roles: named sets of permissions."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from web.api.endpoints import Call
from web.api.v1.models import Answer
from web.domain.access import Actor, Permission
from web.domain.grants import RoleDraft, StoredRole
from web.services.access import roles


class RoleAnswer(Answer):
    id: UUID
    name: str
    description: str
    permissions: list[Permission]
    is_built_in: bool
    version: int
    """Counts its changes: who changes it says which one he has seen."""
    changed_by: str | None
    changed_at: datetime | None
    uses: int
    """Grants that give or deny it."""


class RoleList(Answer):
    items: list[RoleAnswer]
    """Those that come with Reelkeeper first."""


class RoleChange(RoleDraft):
    version: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """That was seen: another one is a conflict."""


async def index(call: Call, by: Actor) -> RoleList:
    """List the roles."""
    return RoleList(items=[_answer(one) for one in await roles.all_roles(call.controller.db, by=by)])


async def create(call: Call, by: Actor, body: RoleDraft) -> RoleAnswer:
    """Make a role."""
    return _answer(await roles.make(call.controller.db, body, by=by))


async def show(call: Call, by: Actor, role_id: UUID) -> RoleAnswer:
    """Show a role."""
    return _answer(await roles.role(call.controller.db, role_id, by=by))


async def change(call: Call, by: Actor, role_id: UUID, body: RoleChange) -> RoleAnswer:
    """Change a role for everybody who has it."""
    draft = RoleDraft(name=body.name, description=body.description, permissions=body.permissions)
    return _answer(await roles.change(call.controller.db, role_id, draft, version=body.version, by=by))


async def remove(call: Call, by: Actor, role_id: UUID) -> None:
    """Remove a role that nobody has."""
    await roles.delete(call.controller.db, role_id, by=by)


def _answer(stored: StoredRole) -> RoleAnswer:
    role = stored.role
    return RoleAnswer(
        id=role.id,
        name=role.name,
        description=role.description,
        permissions=sorted(role.permissions),
        is_built_in=role.is_built_in,
        version=stored.version,
        changed_by=stored.changed_by,
        changed_at=stored.changed_at,
        uses=stored.uses,
    )
