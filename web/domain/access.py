"""Who acts, what they may do, and on what."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable
from uuid import UUID

from web.domain.errors import ForbiddenError, NotFoundError


class Permission(StrEnum):
    """A noun and what is done with it."""

    RECORDING_READ = "recording:read"
    RECORDING_CREATE = "recording:create"
    RECORDING_CONTROL = "recording:control"
    RECORDING_PLAYBACK = "recording:playback"
    RECORDING_DOWNLOAD = "recording:download"
    RECORDING_EDIT = "recording:edit"
    RECORDING_DELETE = "recording:delete"
    NODE_READ = "node:read"
    NODE_CREATE = "node:create"
    NODE_CONTROL = "node:control"
    NODE_EDIT = "node:edit"
    NODE_DELETE = "node:delete"
    SCHEDULE_READ = "schedule:read"
    SCHEDULE_CREATE = "schedule:create"
    SCHEDULE_CONTROL = "schedule:control"
    SCHEDULE_EDIT = "schedule:edit"
    SCHEDULE_DELETE = "schedule:delete"
    UPLOAD_READ = "upload:read"
    UPLOAD_CREATE = "upload:create"
    UPLOAD_CONTROL = "upload:control"
    HEALTH_READ = "health:read"
    HEALTH_CONTROL = "health:control"
    SETTINGS_READ = "settings:read"
    SETTINGS_EDIT = "settings:edit"
    AUDIT_READ = "audit:read"
    AUDIT_DOWNLOAD = "audit:download"
    USER_READ = "user:read"
    USER_CREATE = "user:create"
    USER_EDIT = "user:edit"
    USER_DELETE = "user:delete"

    @property
    def noun(self) -> str:
        return self.value.partition(":")[0]

    @property
    def to_read(self) -> "Permission":
        """What lets somebody know of the things that this permission is about."""
        return Permission(f"{self.noun}:read")


ALL_PERMISSIONS = frozenset(Permission)


@dataclass(frozen=True)
class Scope:
    """The nodes and folders whose things one permission is held for. It becomes part of the SQL of every read.

    A folder covers what lies in it at any depth. What is excepted is excepted whatever else covers it.
    """

    everything: bool = False
    nodes: frozenset[UUID] = frozenset()
    folders: frozenset[str] = frozenset()
    but_nodes: frozenset[UUID] = frozenset()
    but_folders: frozenset[str] = frozenset()

    def covers(self, node_id: UUID | None, folder: str | None = None) -> bool:
        """Whether a thing of this node, in this folder, lies within. A thing without either lies in Everything only."""
        if node_id in self.but_nodes or _is_in(folder, self.but_folders):
            return False
        return self.everything or node_id in self.nodes or _is_in(folder, self.folders)

    def reaches(self, node_id: UUID) -> bool:
        """Whether a thing of this node may lie within, in whichever folder."""
        return node_id not in self.but_nodes and (self.everything or node_id in self.nodes or bool(self.folders))

    @property
    def outermost_folders(self) -> list[str]:
        """The folders that lie in no other one of the scope."""
        return sorted(one for one in self.folders if not _is_in(one, self.folders - {one}))

    @property
    def sql(self) -> dict[str, Any] | None:
        """The form in which the database's `in_scope` takes it; None is Everything."""
        if self == EVERYTHING:
            return None
        return {
            "everything": self.everything,
            "nodes": sorted(map(str, self.nodes)),
            "folders": _pattern(self.folders),
            "but_nodes": sorted(map(str, self.but_nodes)),
            "but_folders": _pattern(self.but_folders),
        }


EVERYTHING = Scope(everything=True)
NOTHING = Scope()

Access = Mapping[Permission, Scope]
"""What somebody may do, and on what. A permission that is missing is held for nothing."""


def within(scope: Scope, permissions: Collection[Permission] = ALL_PERMISSIONS) -> Access:
    """These permissions, for what lies within the scope."""
    return dict.fromkeys(permissions, scope)


def everywhere(permissions: Collection[Permission] = ALL_PERMISSIONS) -> Access:
    """These permissions, on everything."""
    return within(EVERYTHING, permissions)


class OfNode(Protocol):
    """Something that belongs to a node."""

    @property
    def node_id(self) -> UUID: ...


@runtime_checkable
class InFolder(Protocol):
    """Something that lies in a folder of the library."""

    @property
    def folder(self) -> str: ...


@dataclass(frozen=True)
class Source:
    """Where a request came from."""

    address: str | None = None
    request_id: UUID | None = None
    certificate: str | None = None
    """SHA-256, in hex, of the one that its connection proved to have."""


@dataclass(frozen=True)
class Actor:
    """A person, a program with a token, or the controller itself."""

    kind: Literal["user", "token", "system"]
    id: UUID | None
    name: str
    access: Access = field(default_factory=dict)
    source: Source = Source()
    session_id: UUID | None = None
    """The login session in which a person acts."""

    def scope(self, permission: Permission) -> Scope:
        """What this permission is held for."""
        return self.access.get(permission, NOTHING)

    @property
    def recordings(self) -> Scope:
        """Those that this actor may know of."""
        return self.scope(Permission.RECORDING_READ)

    @property
    def nodes(self) -> Scope:
        """Those that this actor may know of."""
        return self.scope(Permission.NODE_READ)

    def may(self, permission: Permission, of: OfNode | None = None) -> bool:
        """Whether this actor may do this: to `of`, or to anything at all."""
        scope = self.scope(permission)
        return scope != NOTHING if of is None else _covers(scope, of)

    def require(self, permission: Permission, of: OfNode | None = None) -> None:
        """Go on only if this actor may do this.

        Raises NotFoundError when the actor may not even know of `of`, ForbiddenError when it is known but the
        permission is not held for it.
        """
        if of is not None and not _covers(self.scope(permission.to_read), of):
            raise NotFoundError(permission.noun, of.node_id)
        if not self.may(permission, of):
            raise ForbiddenError(permission)

    def require_everywhere(self, permission: Permission) -> None:
        """For what belongs to no node and no folder. Raises ForbiddenError."""
        if not self.scope(permission).everything:
            raise ForbiddenError(permission)


@dataclass(frozen=True)
class NodeActor:
    """The agent of a node, known by its token. Which run it is stands in each of its requests."""

    node_id: UUID
    name: str
    source: Source = Source()


def system(name: str) -> Actor:
    """The controller acting by itself, named for what it does: `system("first start")`."""
    return Actor("system", None, name, everywhere())


def _covers(scope: Scope, of: OfNode) -> bool:
    return scope.covers(of.node_id, of.folder if isinstance(of, InFolder) else None)


def _pattern(folders: Collection[str]) -> str | None:
    """A regular expression of PostgreSQL for what lies in any of these; None for none."""
    return f"^({'|'.join(re.escape(one) for one in sorted(folders))})(/|$)" if folders else None


def _is_in(folder: str | None, folders: Collection[str]) -> bool:
    return folder is not None and any(folder == one or folder.startswith(f"{one}/") for one in folders)
