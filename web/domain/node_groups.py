"""Nodes that belong together: for finding them, and for rights that hold for all of them."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class NodeGroup:
    id: UUID
    name: str
    node_ids: frozenset[UUID]
    gives_rights: bool
    """Whether grants hold within it: whoever changes its members changes what people may do."""
