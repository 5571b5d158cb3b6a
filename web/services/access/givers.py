"""Whom to ask for a permission."""

from web.domain.access import Actor, Permission
from web.domain.errors import UnavailableError
from web.store import access
from web.store.database import Session

_NAMED = 5


async def who_can_give(session: Session, *, by: Actor) -> list[str]:
    """The names of some who may give rights; none for who may not know of people, or while nobody can be asked."""
    if not by.scope(Permission.USER_READ).everything:
        return []
    try:
        return await access.administrators(session, limit=_NAMED)
    except UnavailableError:
        return []
