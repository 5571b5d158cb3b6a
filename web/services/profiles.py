"""Encode presets, for whoever may start recordings or see them."""

from dataclasses import replace
from uuid import UUID

from protocol.messages import Limits
from web.domain.access import Actor, Permission
from web.domain.profiles import Profile
from web.store import profiles
from web.store.database import Database


async def all_profiles(db: Database, *, by: Actor) -> list[Profile]:
    """In the order of their names; one of them is the default."""
    by.require(Permission.RECORDING_READ)
    return await profiles.by_name(db)


async def protect(db: Database, profile_id: UUID, *, limits: Limits, minimum_bytes: int | None, by: Actor) -> Profile:
    """From the next start on: what ends its recordings by itself, and what is too little for one (None: as the node
    says). Raises NotFoundError."""
    by.require(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        profile = await profiles.get(session, profile_id)
        await profiles.set_protection(session, profile_id, limits, minimum_bytes)
    return replace(profile, limits=limits, minimum_bytes=minimum_bytes)
