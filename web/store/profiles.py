"""Encode presets."""

from uuid import UUID

from web.domain.profiles import Profile
from web.store.database import Session


async def get(session: Session, profile_id: UUID | None) -> Profile:
    """None is the default profile. Raises NotFoundError."""
    raise NotImplementedError


async def by_name(session: Session) -> list[Profile]:
    """All of them, in the order of their names."""
    raise NotImplementedError
