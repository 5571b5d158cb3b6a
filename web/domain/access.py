"""Who acts, what they may do, and on what."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol
from uuid import UUID

from web.domain.errors import ForbiddenError, NotFoundError


class Permission(StrEnum):
    RECORDING_READ = "recording:read"
    RECORDING_CREATE = "recording:create"
    RECORDING_CONTROL = "recording:control"
    RECORDING_PLAYBACK = "recording:playback"
    RECORDING_DOWNLOAD = "recording:download"
    PROFILE_MANAGE = "profile:manage"
    NODE_READ = "node:read"
    NODE_MANAGE = "node:manage"
    TOKEN_MANAGE = "token:manage"


@dataclass(frozen=True)
class Scope:
    """The nodes whose things an actor may know of. It becomes part of the SQL of every read."""

    nodes: frozenset[UUID] | None = None
    """None is Everything."""

    def covers(self, node_id: UUID) -> bool:
        return self.nodes is None or node_id in self.nodes

    @property
    def node_ids(self) -> list[UUID] | None:
        """The form in which it is passed to the database."""
        return None if self.nodes is None else sorted(self.nodes)


EVERYTHING = Scope()
ALL_PERMISSIONS = frozenset(Permission)


class OfNode(Protocol):
    """Something that belongs to a node."""

    @property
    def node_id(self) -> UUID: ...


@dataclass(frozen=True)
class Actor:
    """A person, a program with a token, or the controller itself."""

    kind: Literal["user", "token", "system"]
    id: UUID | None
    name: str
    scope: Scope
    permissions: frozenset[Permission] = ALL_PERMISSIONS

    def require(self, permission: Permission, of: OfNode | None = None) -> None:
        """Go on only if this actor may do this.

        Raises NotFoundError when `of` lies outside the scope (the actor may not even know of it),
        ForbiddenError when the permission is missing.
        """
        if of is not None and not self.scope.covers(of.node_id):
            raise NotFoundError("node", of.node_id)
        if permission not in self.permissions:
            raise ForbiddenError(permission, self.name)


@dataclass(frozen=True)
class NodeActor:
    """The agent of a node, known by its token. Which run it is stands in each of its requests."""

    node_id: UUID
    name: str


def system(name: str) -> Actor:
    """The controller acting by itself, named for what it does: `system("first start")`."""
    return Actor("system", None, name, EVERYTHING)
