"""Grants as people see and give them: who has which role, where, and whether another may give it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from protocol.messages import Message
from web.domain.access import EVERYTHING, Access, Permission, Scope
from web.domain.recordings import tidy_folder
from web.domain.roles import Effect, Grant, Role, ScopeKind

HolderKind = Literal["user", "group"]
ShortName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


@dataclass(frozen=True)
class Holder:
    """A person, or a group of people."""

    kind: HolderKind
    id: UUID


@dataclass(frozen=True)
class Place:
    """Where a grant holds."""

    kind: ScopeKind
    id: UUID | None = None
    """Of the node, or of the group of nodes."""
    name: str = ""
    """Of the node, the group or the folder, for people."""
    nodes: frozenset[UUID] = frozenset()
    """The node, or those that the group has now."""
    folder: str | None = None

    @property
    def scope(self) -> Scope:
        folders = frozenset() if self.folder is None else frozenset({self.folder})
        return Scope(self.kind is ScopeKind.EVERYTHING, self.nodes, folders)

    @property
    def to_be_held(self) -> Scope:
        """Where somebody holds what he gives or takes here. A group that has no nodes yet may get any."""
        return EVERYTHING if self.kind is ScopeKind.NODE_GROUP and not self.nodes else self.scope


@dataclass(frozen=True)
class HeldGrant:
    """A role that somebody has somewhere, or is denied there."""

    id: UUID
    holder: Holder
    holder_name: str
    role_id: UUID
    role_name: str
    permissions: frozenset[Permission]
    effect: Effect
    place: Place
    created_by: str
    created_at: datetime

    @property
    def rule(self) -> Grant:
        return Grant(self.permissions, self.effect, self.place.kind, self.place.nodes, self.place.folder)


@dataclass(frozen=True)
class StoredRole:
    """A role, how often it is used, and who changed it last."""

    role: Role
    version: int
    """Counts its changes: who changes it says which one he has seen."""
    changed_by: str | None
    changed_at: datetime | None
    uses: int
    """Grants that give or deny it."""


@dataclass(frozen=True)
class Group:
    """People who have the same grants."""

    id: UUID
    name: str
    members: tuple[tuple[UUID, str], ...]
    """Id and name of each, in the order of the names."""


class RoleDraft(Message):
    """A role as somebody wants it."""

    model_config = ConfigDict(extra="forbid")

    name: ShortName
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = ""
    permissions: Annotated[frozenset[Permission], Field(min_length=1)]


class GrantDraft(Message):
    """A role to be given or denied. `node_id`, `node_group_id` and `folder` go with their kind of scope."""

    model_config = ConfigDict(extra="forbid")

    role_id: UUID
    effect: Effect = Effect.ALLOW
    scope: ScopeKind
    node_id: UUID | None = None
    node_group_id: UUID | None = None
    folder: str | None = None

    @field_validator("folder")
    @classmethod
    def _one_spelling(cls, folder: str | None) -> str | None:
        return None if folder is None else tidy_folder(folder)

    @model_validator(mode="after")
    def _scope_and_thing_go_together(self) -> "GrantDraft":
        given = {"node": self.node_id, "node_group": self.node_group_id, "folder": self.folder}
        for kind, thing in given.items():
            if (self.scope == kind) != bool(thing):
                raise ValueError(f"a grant within a {kind.replace('_', ' ')} names it, and no other does")
        return self


def is_within(inner: Scope, outer: Scope) -> bool:
    """Whether all that `inner` covers is covered by `outer` too; in doubt it is not."""
    if outer == EVERYTHING:
        return True
    buts_kept = outer.but_nodes <= inner.but_nodes
    folder_buts_kept = all(_lies_in(folder, inner.but_folders) for folder in outer.but_folders)
    if inner.everything:
        return outer.everything and buts_kept and folder_buts_kept
    if inner.nodes and not (folder_buts_kept and _has_nodes(outer, inner.nodes - inner.but_nodes)):
        return False
    return not inner.folders or (
        buts_kept and all(_has_folder(outer, folder, inner.but_folders) for folder in inner.folders)
    )


def lacking(permissions: Collection[Permission], scope: Scope, access: Access) -> Permission | None:
    """The first of the permissions that this access does not hold for the whole scope."""
    held = {permission: access.get(permission, Scope()) for permission in permissions}
    return next((one for one in Permission if one in held and not is_within(scope, held[one])), None)


def lacking_of(other: Mapping[Permission, Scope], access: Access) -> Permission | None:
    """The first permission that somebody else holds for more than this access does."""
    return next((one for one in Permission if one in other and lacking({one}, other[one], access)), None)


def _has_nodes(outer: Scope, nodes: frozenset[UUID]) -> bool:
    return not nodes & outer.but_nodes and (outer.everything or nodes <= outer.nodes)


def _has_folder(outer: Scope, folder: str, buts: frozenset[str]) -> bool:
    denied = (one for one in outer.but_folders if _lies_in(one, {folder}) or _lies_in(folder, {one}))
    return (outer.everything or _lies_in(folder, outer.folders)) and all(_lies_in(one, buts) for one in denied)


def _lies_in(folder: str, folders: Collection[str]) -> bool:
    return any(folder == one or folder.startswith(f"{one}/") for one in folders)
