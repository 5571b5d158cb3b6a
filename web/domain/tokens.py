"""Tokens of programs: in whose name each acts, what it may do, and until when."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from protocol.messages import Name
from web.domain.access import Access, Permission, Scope
from web.domain.recordings import tidy_folder

USUAL_DAYS = 90
LONGEST_DAYS = 366
NODES_LIMIT = 100
FOLDERS_LIMIT = 100

Folder = Annotated[str, Field(min_length=1), AfterValidator(tidy_folder)]


class TokenRequest(BaseModel):
    """A token as it is wanted. It never holds more than its owner does, now or later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    """What it is for."""
    permissions: Annotated[list[Permission], Field(min_length=1)]
    node_ids: Annotated[list[UUID], Field(max_length=NODES_LIMIT)] = []
    """Only what belongs to these nodes, or lies in the folders; without either, all that its owner reaches."""
    folders: Annotated[list[Folder], Field(max_length=FOLDERS_LIMIT)] = []
    """As paths, `Court/2026`, with all that lies in them."""
    days: Annotated[int, Field(ge=1, le=LONGEST_DAYS)] | None = USUAL_DAYS
    """It ends by itself after so many; null is never, for people who may do that."""


@dataclass(frozen=True)
class Token:
    """A token that is not revoked. Of its secret nothing is known here."""

    id: UUID
    name: str
    owner_id: UUID | None
    """Whose permissions it has a part of; None: it was made at the controller's own machine."""
    owner_name: str | None
    permissions: frozenset[Permission] | None
    """None is all that its owner holds."""
    node_ids: list[UUID]
    folders: list[str]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    is_expired: bool
    last_used_at: datetime | None
    """To the minute."""
    last_used_from: str | None

    @property
    def actor_name(self) -> str:
        """What it is called where it acted."""
        return self.name if self.owner_name is None else f"{self.name} ({self.owner_name})"

    def narrowed(self, held: Access) -> Access:
        """What of all that its owner holds it lets a program do."""
        wanted = held if self.permissions is None else {one: held[one] for one in self.permissions if one in held}
        if not (self.node_ids or self.folders):
            return dict(wanted)
        return {one: _part(scope, self.node_ids, self.folders) for one, scope in wanted.items()}


@dataclass(frozen=True)
class NewToken:
    """A token that has just been made."""

    token: Token
    secret: str = field(repr=False)
    """Shown once; only its digest is kept."""


def _part(scope: Scope, node_ids: Collection[UUID], folders: Collection[str]) -> Scope:
    """Never more than either covers. Of what one names by node and the other by folder, nothing."""
    if scope.everything:
        nodes, inside = frozenset(node_ids), frozenset(folders)
    else:
        nodes = scope.nodes & frozenset(node_ids)
        inside = frozenset(_inner(folders, scope.folders))
    return Scope(nodes=nodes, folders=inside, but_nodes=scope.but_nodes, but_folders=scope.but_folders)


def _inner(some: Collection[str], others: Collection[str]) -> list[str]:
    """Of each pair of folders of which one lies in the other, the inner one."""
    return [max(one, other, key=len) for one in some for other in others if _is_related(one, other)]


def _is_related(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
