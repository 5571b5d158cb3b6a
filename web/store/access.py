"""What people hold."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from web.domain.access import Access, Permission
from web.domain.roles import Effect, Grant, ScopeKind, access_of
from web.store.database import Session

_KNOWN = frozenset(map(str, Permission))


async def held_by(session: Session, user_id: UUID) -> Access:
    """By grants of his own and of his groups, as they are now."""
    row = await session.row("held_grants", user_id=user_id)
    return access_in(None if row is None else row["grants"])


async def administrators(session: Session, *, limit: int) -> list[str]:
    """The names of people who may give rights to others, in their order."""
    return [row["name"] for row in await session.rows("administrators", permission=Permission.USER_EDIT, limit=limit)]


def access_in(grants: Sequence[dict[str, Any]] | None) -> Access:
    """What rows of `held_grant` let somebody do. Permissions that this version does not know are held for nothing."""
    return access_of(
        Grant(
            permissions=frozenset(Permission(one) for one in grant["permissions"] if one in _KNOWN),
            effect=Effect(grant["effect"]),
            kind=ScopeKind(grant["scope_kind"]),
            nodes=frozenset(UUID(one) for one in grant["nodes"]),
            folder=grant["folder"],
        )
        for grant in grants or ()
    )
