"""Node groups are made, filled, renamed and removed.

That takes `node:edit` for everything. Where rights hang on a group it takes `user:edit` besides, and whoever moves a
node holds there what they give: who fills such a group gives people rights.
"""

from collections.abc import Iterable
from uuid import UUID

from protocol.ids import new_id
from web.domain.access import Actor, Permission, Scope
from web.domain.audit import Object
from web.domain.errors import ConflictError
from web.domain.node_groups import NodeGroup
from web.domain.nodes import checked_name
from web.services.access import rights
from web.services.auditing import audit
from web.store import grants, node_groups
from web.store.database import Database, Session


async def all_groups(db: Database, *, by: Actor) -> list[NodeGroup]:
    """In the order of their names; of the members only nodes that the actor may know of."""
    by.require(Permission.NODE_READ)
    return [
        NodeGroup(one.id, one.name, frozenset(filter(by.nodes.covers, one.node_ids)), one.gives_rights)
        for one in await node_groups.by_name(db)
    ]


async def create(db: Database, name: str, *, by: Actor) -> UUID:
    """An empty one. Raises InvalidError, ConflictError when the name is taken."""
    by.require_everywhere(Permission.NODE_EDIT)
    name, group_id = checked_name(name), new_id()
    async with rights.in_turn(db, by, Permission.NODE_EDIT) as (session, by):
        if not await node_groups.add(session, group_id, name):
            raise _name_is_taken(name)
        await audit.note(session, by, "node_group.create", Object("node_group", group_id, name))
    return group_id


async def change(
    db: Database, group_id: UUID, *, name: str | None = None, node_ids: Iterable[UUID] | None = None, by: Actor
) -> None:
    """Its name, or its members to these and no others; None leaves them.

    Raises as `create` does, NotFoundError, and LastAdministratorError for a denial that would reach the last one.
    """
    async with rights.changing(db, by, Permission.NODE_EDIT) as (session, by):
        before = await _locked(session, group_id, by)
        after = NodeGroup(
            group_id,
            before.name if name is None else checked_name(name),
            before.node_ids if node_ids is None else frozenset(node_ids) | _unseen(before, by),
            before.gives_rights,
        )
        if after.name != before.name and not await node_groups.rename(session, group_id, after.name):
            raise _name_is_taken(after.name)
        if after.node_ids != before.node_ids:
            await _require_may_move(session, group_id, after.node_ids ^ before.node_ids, by)
            await node_groups.set_members(session, group_id, after.node_ids)
        if after != before:
            await audit.note(
                session,
                by,
                "node_group.change",
                Object("node_group", group_id, after.name),
                before=_noted(before),
                after=_noted(after),
            )


async def remove(db: Database, group_id: UUID, *, by: Actor) -> None:
    """Its members stay nodes. Raises NotFoundError, ConflictError while rights hang on it."""
    async with rights.in_turn(db, by, Permission.NODE_EDIT) as (session, by):
        group = await _locked(session, group_id, by)
        if group.gives_rights:
            raise ConflictError(f"Rights hang on “{group.name}”; take those grants back first.")
        await node_groups.remove(session, group_id)
        await audit.note(session, by, "node_group.remove", Object("node_group", group_id, group.name))


async def _locked(session: Session, group_id: UUID, by: Actor) -> NodeGroup:
    group = await node_groups.lock(session, group_id)
    if group.gives_rights:
        by.require_everywhere(Permission.USER_EDIT)
    return group


async def _require_may_move(session: Session, group_id: UUID, node_ids: frozenset[UUID], by: Actor) -> None:
    """People get or lose there all that was given within the group."""
    for held in await grants.held_grants(session, node_group_id=group_id):
        rights.require_holds(by, held.permissions, Scope(nodes=node_ids))


def _unseen(group: NodeGroup, by: Actor) -> frozenset[UUID]:
    """Members that the actor may not know of, and so cannot mean to leave out."""
    return frozenset(node_id for node_id in group.node_ids if not by.nodes.covers(node_id))


def _noted(group: NodeGroup) -> dict[str, object]:
    return {"name": group.name, "nodes": sorted(map(str, group.node_ids))}


def _name_is_taken(name: str) -> ConflictError:
    return ConflictError(f"There is a node group “{name}” already; choose another name.")
