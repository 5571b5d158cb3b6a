"""Roles are named sets of permissions; grants give them to people, or keep them from them, within a scope."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from web.domain.access import ALL_PERMISSIONS, Access, Permission, Scope

P = Permission
_VIEWER = frozenset(
    {P.RECORDING_READ, P.RECORDING_PLAYBACK, P.NODE_READ, P.SCHEDULE_READ, P.UPLOAD_READ, P.HEALTH_READ}
)
_OPERATOR = _VIEWER | {
    P.RECORDING_CREATE,
    P.RECORDING_CONTROL,
    P.RECORDING_DOWNLOAD,
    P.SCHEDULE_CONTROL,
    P.UPLOAD_CREATE,
    P.UPLOAD_CONTROL,
    P.HEALTH_CONTROL,
}
_MANAGER = _OPERATOR | {
    P.RECORDING_EDIT,
    P.RECORDING_DELETE,
    P.NODE_CONTROL,
    P.NODE_EDIT,
    P.SCHEDULE_CREATE,
    P.SCHEDULE_EDIT,
    P.SCHEDULE_DELETE,
    P.SETTINGS_READ,
    P.USER_READ,
}
_AUDITOR = frozenset(
    {
        P.RECORDING_READ,
        P.NODE_READ,
        P.SCHEDULE_READ,
        P.UPLOAD_READ,
        P.HEALTH_READ,
        P.SETTINGS_READ,
        P.USER_READ,
        P.AUDIT_READ,
        P.AUDIT_DOWNLOAD,
    }
)

ADMINISTRATOR_ROLE = "administrator"
BUILT_IN: dict[str, tuple[str, frozenset[Permission]]] = {
    "viewer": ("Sees and plays what is recorded.", _VIEWER),
    "operator": ("Starts and stops recordings, downloads them, and answers alarms.", _OPERATOR),
    "manager": ("Also organises and deletes recordings, and sets nodes and schedules.", _MANAGER),
    ADMINISTRATOR_ROLE: ("May do everything, also give rights to others.", ALL_PERMISSIONS),
    "auditor": ("Reads everything, and what everybody did; hears and changes nothing.", _AUDITOR),
}
"""What each built-in role is for, and what it lets people do."""


class Effect(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class ScopeKind(StrEnum):
    EVERYTHING = "everything"
    NODE_GROUP = "node_group"
    NODE = "node"
    FOLDER = "folder"


@dataclass(frozen=True)
class Role:
    id: UUID
    name: str
    description: str
    permissions: frozenset[Permission]
    is_built_in: bool


@dataclass(frozen=True)
class Grant:
    """One role, allowed or denied, within one scope."""

    permissions: frozenset[Permission]
    effect: Effect
    kind: ScopeKind
    nodes: frozenset[UUID] = frozenset()
    """Of a node, or those that a node group has now."""
    folder: str | None = None


def access_of(grants: Iterable[Grant]) -> Access:
    """What these grants together let somebody do. Nothing is held that was not allowed; a denial always wins."""
    by_permission: defaultdict[Permission, list[Grant]] = defaultdict(list)
    for grant in grants:
        for permission in grant.permissions:
            by_permission[permission].append(grant)
    found = {permission: _scope(some) for permission, some in by_permission.items()}
    return {permission: scope for permission, scope in found.items() if scope is not None}


def _scope(grants: list[Grant]) -> Scope | None:
    allowed = [grant for grant in grants if grant.effect is Effect.ALLOW]
    denied = [grant for grant in grants if grant.effect is Effect.DENY]
    if not allowed or any(grant.kind is ScopeKind.EVERYTHING for grant in denied):
        return None
    scope = Scope(
        everything=any(grant.kind is ScopeKind.EVERYTHING for grant in allowed),
        nodes=_nodes(allowed) - _nodes(denied),
        folders=_folders(allowed),
        but_nodes=_nodes(denied),
        but_folders=_folders(denied),
    )
    return scope if scope.everything or scope.nodes or scope.folders else None


def _nodes(grants: list[Grant]) -> frozenset[UUID]:
    return frozenset().union(*(grant.nodes for grant in grants))


def _folders(grants: list[Grant]) -> frozenset[str]:
    return frozenset(grant.folder for grant in grants if grant.folder is not None)
