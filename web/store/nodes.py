"""Nodes and their interfaces."""

from uuid import UUID

from web.domain.access import Scope
from web.domain.nodes import Interface, Node
from web.store.database import Session


async def get(session: Session, node_id: UUID, *, scope: Scope, seen_within: float) -> Node:
    """`seen_within` in seconds decides `is_seen`. Raises NotFoundError, also for one outside the scope."""
    raise NotImplementedError


async def by_name(session: Session, *, scope: Scope, seen_within: float) -> list[Node]:
    """All nodes of the scope, in the order of their names."""
    raise NotImplementedError


async def interfaces_of(session: Session, node_id: UUID, *, scope: Scope) -> list[Interface]:
    """In the order of their names; empty for a node outside the scope."""
    raise NotImplementedError
