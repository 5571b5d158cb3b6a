"""Node groups and their members."""

from uuid import UUID

from web.domain.errors import NotFoundError
from web.domain.node_groups import NodeGroup
from web.store.database import Row, Session


async def by_name(session: Session) -> list[NodeGroup]:
    """All, in the order of their names."""
    return [_group(row) for row in await session.rows("node_groups", group_id=None)]


async def lock(session: Session, group_id: UUID) -> NodeGroup:
    """As it stands until the transaction ends. Raises NotFoundError."""
    await session.rows("lock_node_group", group_id=group_id)
    rows = await session.rows("node_groups", group_id=group_id)
    if not rows:
        raise NotFoundError("node group", group_id)
    return _group(rows[0])


async def add(session: Session, group_id: UUID, name: str) -> bool:
    """False when the name is taken."""
    return await session.row("add_node_group", id=group_id, name=name) is not None


async def rename(session: Session, group_id: UUID, name: str) -> bool:
    """False when the name is taken."""
    return await session.row("rename_node_group", group_id=group_id, name=name) is not None


async def set_members(session: Session, group_id: UUID, node_ids: frozenset[UUID]) -> None:
    """These and no others, as far as they exist."""
    await session.rows("set_node_group_members", group_id=group_id, node_ids=sorted(node_ids))


async def remove(session: Session, group_id: UUID) -> None:
    """With its members, which stay nodes."""
    await session.rows("remove_node_group", group_id=group_id)


def _group(row: Row) -> NodeGroup:
    return NodeGroup(row["id"], row["name"], frozenset(row["node_ids"]), row["gives_rights"])
