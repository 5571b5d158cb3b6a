"""Roles, who has which, and groups of people."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from piccolo.columns import Column

from protocol.ids import new_id
from web.domain.access import ALL_PERMISSIONS, Permission, everywhere
from web.domain.errors import NotFoundError
from web.domain.grants import GrantDraft, Group, HeldGrant, Holder, Place, RoleDraft, StoredRole
from web.domain.roles import Effect, Role, ScopeKind
from web.store import access, tables
from web.store.database import Row, Session

TURN = 7_233_510
"""Any number that no other advisory lock of ours has."""


async def change_in_turn(session: Session) -> None:
    """Waits until nobody else changes what people hold; until the transaction ends nobody else does."""
    await session.rows("change_access_in_turn", key=TURN)


async def administrators(session: Session) -> dict[UUID, bool]:
    """Whoever is not disabled and may do everything, and whether that person can sign in without help."""
    rows = await session.rows("perhaps_administrators", permissions=sorted(ALL_PERMISSIONS))
    return {row["id"]: row["can_sign_in"] for row in rows if await access.held_by(session, row["id"]) == everywhere()}


# ---- roles ----


async def roles(session: Session) -> list[StoredRole]:
    """Those that come with Reelkeeper, then the others in the order of their names."""
    return [_role(row) for row in await session.rows("stored_roles", role_id=None)]


async def role(session: Session, role_id: UUID) -> StoredRole:
    """Raises NotFoundError."""
    for row in await session.rows("stored_roles", role_id=role_id):
        return _role(row)
    raise NotFoundError("role", role_id)


async def is_role_name_taken(session: Session, name: str, *, but: UUID | None = None) -> bool:
    table = tables.Role
    rows = await session.run(table.select(table.id).where(table.name.ilike(_literally(name))))
    return any(row["id"] != but for row in rows)


async def add_role(session: Session, role_id: UUID, draft: RoleDraft, *, created_by: str) -> None:
    table = tables.Role
    values: dict[Column, Any] = {
        table.id: role_id,
        table.name: draft.name,
        table.description: draft.description,
        table.permissions: sorted(draft.permissions),
        table.is_built_in: False,
        table.version: 1,
        table.changed_by: created_by,
    }
    await session.run(table.insert(table(values)))


async def change_role(session: Session, role_id: UUID, draft: RoleDraft, *, version: int, changed_by: str) -> bool:
    """Whether it was still the version that was seen, and is one's own."""
    row = await session.row(
        "change_role",
        id=role_id,
        version=version,
        name=draft.name,
        description=draft.description,
        permissions=sorted(draft.permissions),
        changed_by=changed_by,
    )
    return row is not None


async def delete_role(session: Session, role_id: UUID) -> None:
    table = tables.Role
    await session.run(table.delete().where(table.id == role_id))


# ---- grants ----


async def held_grants(
    session: Session,
    *,
    user_id: UUID | None = None,
    group_id: UUID | None = None,
    role_id: UUID | None = None,
    node_group_id: UUID | None = None,
    grant_id: UUID | None = None,
) -> list[HeldGrant]:
    """Of one person with those that come by groups, of one group, of one role, within one group of nodes, or all:
    people first."""
    rows = await session.rows(
        "grants_in_words",
        user_id=user_id,
        group_id=group_id,
        role_id=role_id,
        node_group_id=node_group_id,
        grant_id=grant_id,
    )
    return [_grant(row) for row in rows]


async def held_grant(session: Session, grant_id: UUID) -> HeldGrant:
    """Raises NotFoundError."""
    for grant in await held_grants(session, grant_id=grant_id):
        return grant
    raise NotFoundError("grant", grant_id)


async def add_grant(session: Session, grant_id: UUID, holder: Holder, draft: GrantDraft, *, created_by: str) -> bool:
    """Whether it was not there yet."""
    row = await session.row(
        "add_grant",
        id=grant_id,
        user_id=holder.id if holder.kind == "user" else None,
        group_id=holder.id if holder.kind == "group" else None,
        role_id=draft.role_id,
        effect=draft.effect,
        scope_kind=draft.scope,
        node_id=draft.node_id,
        node_group_id=draft.node_group_id,
        folder=draft.folder,
        created_by=created_by,
    )
    return row is not None


async def delete_grant(session: Session, grant_id: UUID) -> None:
    table = tables.AccessGrant
    await session.run(table.delete().where(table.id == grant_id))


async def node_groups(session: Session) -> list[tuple[UUID, str, frozenset[UUID]]]:
    """Id, name and present nodes of each, in the order of the names."""
    rows = await session.rows("node_groups_with_nodes")
    return [(row["id"], row["name"], frozenset(row["nodes"])) for row in rows]


# ---- groups of people ----


async def groups(session: Session) -> list[Group]:
    return [_group(row) for row in await session.rows("user_groups", group_id=None)]


async def group(session: Session, group_id: UUID) -> Group:
    """Raises NotFoundError."""
    for row in await session.rows("user_groups", group_id=group_id):
        return _group(row)
    raise NotFoundError("group", group_id)


async def is_group_name_taken(session: Session, name: str, *, but: UUID | None = None) -> bool:
    table = tables.UserGroup
    rows = await session.run(table.select(table.id).where(table.name.ilike(_literally(name))))
    return any(row["id"] != but for row in rows)


async def add_group(session: Session, name: str) -> UUID:
    group_id = new_id()
    table = tables.UserGroup
    await session.run(table.insert(table({table.id: group_id, table.name: name})))
    return group_id


async def rename_group(session: Session, group_id: UUID, name: str, *, was: str) -> bool:
    """Whether it was still called as it was seen."""
    table = tables.UserGroup
    query = table.update({table.name: name}).where((table.id == group_id) & (table.name == was)).returning(table.id)
    return bool(await session.run(query))


async def delete_group(session: Session, group_id: UUID) -> None:
    """Its grants and memberships go with it."""
    table = tables.UserGroup
    await session.run(table.delete().where(table.id == group_id))


async def join(session: Session, group_id: UUID, user_id: UUID) -> bool:
    """Whether that person was no member yet."""
    return await session.row("join_group", group_id=group_id, user_id=user_id) is not None


async def leave(session: Session, group_id: UUID, user_id: UUID) -> bool:
    """Whether that person was a member."""
    return await session.row("leave_group", group_id=group_id, user_id=user_id) is not None


async def user_name(session: Session, user_id: UUID) -> str:
    """Raises NotFoundError."""
    table = tables.UserAccount
    for row in await session.run(table.select(table.name).where(table.id == user_id)):
        return str(row["name"])
    raise NotFoundError("user", user_id)


def _role(row: Row) -> StoredRole:
    return StoredRole(
        role=Role(row["id"], row["name"], row["description"], _permissions(row), row["is_built_in"]),
        version=row["version"],
        changed_by=row["changed_by"],
        changed_at=row["changed_at"],
        uses=row["uses"],
    )


def _grant(row: Row) -> HeldGrant:
    is_user = row["user_id"] is not None
    return HeldGrant(
        id=row["id"],
        holder=Holder("user", row["user_id"]) if is_user else Holder("group", row["user_group_id"]),
        holder_name=row["holder_name"],
        role_id=row["role_id"],
        role_name=row["role_name"],
        permissions=_permissions(row),
        effect=Effect(row["effect"]),
        place=Place(
            ScopeKind(row["scope_kind"]), row["place_id"], row["place_name"], frozenset(row["nodes"]), row["folder"]
        ),
        created_by=row["created_by"],
        created_at=row["created_at"],
    )


def _group(row: Row) -> Group:
    members: Sequence[tuple[str, str]] = row["members"]
    return Group(row["id"], row["name"], tuple((UUID(user_id), name) for user_id, name in members))


def _permissions(row: Row) -> frozenset[Permission]:
    """Those that this version knows."""
    return frozenset(Permission(one) for one in row["permissions"] if one in set(Permission))


def _literally(text: str) -> str:
    """A pattern that fits this text alone, in capitals or not."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
