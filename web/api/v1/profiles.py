"""Profiles: how recordings are encoded."""

from web.api.endpoints import Call
from web.api.v1.models import ProfileAnswer, ProfileList
from web.domain.access import Actor
from web.services import profiles


async def index(call: Call, by: Actor) -> ProfileList:
    """List the profiles."""
    found = await profiles.all_profiles(call.controller.db, by=by)
    return ProfileList(items=[ProfileAnswer.model_validate(profile) for profile in found])
