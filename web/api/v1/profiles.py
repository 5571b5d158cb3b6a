"""Profiles: how recordings are encoded."""

from uuid import UUID

from protocol.messages import Limits
from web.api.endpoints import Call
from web.api.v1.models import ProfileAnswer, ProfileList, ProfileProtection
from web.domain.access import Actor
from web.services import profiles


async def index(call: Call, by: Actor) -> ProfileList:
    """List the profiles."""
    found = await profiles.all_profiles(call.controller.db, by=by)
    return ProfileList(items=[ProfileAnswer.model_validate(profile) for profile in found])


async def protect(call: Call, by: Actor, profile_id: UUID, body: ProfileProtection) -> ProfileAnswer:
    """Set what ends the recordings of a profile by itself, and what is too little for one."""
    changed = await profiles.protect(
        call.controller.db, profile_id, limits=Limits(**dict(body.limits)), minimum_bytes=body.minimum_bytes, by=by
    )
    return ProfileAnswer.model_validate(changed)
