"""Encode presets, for whoever may start recordings or see them."""

from uuid import UUID

from web.domain.access import Actor, Permission
from web.domain.profiles import Profile
from web.store import profiles
from web.store.database import Database


async def all_profiles(db: Database, *, by: Actor) -> list[Profile]:
    """In the order of their names; one of them is the default."""
    by.require(Permission.RECORDING_READ)
    return await profiles.by_name(db)


async def get_profile(db: Database, profile_id: UUID | None, *, by: Actor) -> Profile:
    """None is the default profile. Raises NotFoundError."""
    by.require(Permission.RECORDING_READ)
    return await profiles.get(db, profile_id)
