"""Profiles: how recordings are encoded."""

from uuid import UUID

from protocol.messages import Limits
from web.api.endpoints import Call
from web.api.v1.models import ProfileAnswer, ProfileChange, ProfileList, ProfileProtection
from web.domain.access import Actor
from web.domain.profiles import ProfileDraft
from web.services.work import profiles


async def index(call: Call, by: Actor) -> ProfileList:
    """List the profiles."""
    found = await profiles.all_profiles(call.controller.db, by=by)
    return ProfileList(items=[ProfileAnswer.model_validate(profile) for profile in found])


async def create(call: Call, by: Actor, body: ProfileDraft) -> ProfileAnswer:
    """Make a profile."""
    return ProfileAnswer.model_validate(await profiles.make(call.controller.db, body, by=by))


async def show(call: Call, by: Actor, profile_id: UUID) -> ProfileAnswer:
    """Show a profile."""
    return ProfileAnswer.model_validate(await profiles.profile(call.controller.db, profile_id, by=by))


async def change(call: Call, by: Actor, profile_id: UUID, body: ProfileChange) -> ProfileAnswer:
    """Change a profile for starts from now on."""
    draft = ProfileDraft(**{name: getattr(body, name) for name in ProfileDraft.model_fields})
    return ProfileAnswer.model_validate(
        await profiles.change(call.controller.db, profile_id, draft, version=body.version, by=by)
    )


async def make_default(call: Call, by: Actor, profile_id: UUID) -> None:
    """Take a profile from now on when a start names none."""
    await profiles.make_default(call.controller.db, profile_id, by=by)


async def remove(call: Call, by: Actor, profile_id: UUID) -> None:
    """Remove a profile that nothing was made with."""
    await profiles.delete(call.controller.db, profile_id, by=by)


async def protect(call: Call, by: Actor, profile_id: UUID, body: ProfileProtection) -> ProfileAnswer:
    """Set what ends the recordings of a profile by itself, and what is too little for one."""
    changed = await profiles.protect(
        call.controller.db, profile_id, limits=Limits(**dict(body.limits)), minimum_bytes=body.minimum_bytes, by=by
    )
    return ProfileAnswer.model_validate(changed)
