"""Encode presets, for whoever may start recordings or see the settings."""

from dataclasses import replace
from uuid import UUID

from protocol.messages import Limits
from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ForbiddenError
from web.domain.profiles import Profile
from web.services import audit
from web.store import profiles
from web.store.database import Database


async def all_profiles(db: Database, *, by: Actor) -> list[Profile]:
    """In the order of their names; one of them is the default."""
    if not are_known_to(by):
        raise ForbiddenError(Permission.SETTINGS_READ)
    return await profiles.by_name(db)


def are_known_to(by: Actor) -> bool:
    """Whether somebody may read them, as whoever may record or see the settings may."""
    return by.may(Permission.RECORDING_CREATE) or by.scope(Permission.SETTINGS_READ).everything


async def protect(db: Database, profile_id: UUID, *, limits: Limits, minimum_bytes: int | None, by: Actor) -> Profile:
    """From the next start on: what ends its recordings by itself, and what is too little for one (None: as the node
    says). Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        profile = await profiles.get(session, profile_id)
        await profiles.set_protection(session, profile_id, limits, minimum_bytes)
        before = {"limits": profile.limits, "minimum_bytes": profile.minimum_bytes}
        after = {"limits": limits, "minimum_bytes": minimum_bytes}
        of = Object("profile", profile_id, profile.name)
        await audit.note(session, by, "profile.edit", of, before=before, after=after)
    return replace(profile, limits=limits, minimum_bytes=minimum_bytes)
