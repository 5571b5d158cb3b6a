"""Encode presets, for whoever may start recordings or see the settings."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from protocol.ids import new_id
from protocol.messages import Limits
from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ChangedMeanwhileError, ConflictError, ForbiddenError, InvalidError
from web.domain.profiles import Profile, ProfileDraft
from web.services.auditing import audit
from web.store import profiles
from web.store.database import Database, Session


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


async def profile(db: Database, profile_id: UUID, *, by: Actor) -> Profile:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return await profiles.get(db, profile_id)


async def uses(db: Database, *, by: Actor) -> dict[UUID, int]:
    """How many recordings were made with each; none for those that are not named."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return await profiles.uses(db)


async def make(db: Database, draft: ProfileDraft, *, by: Actor) -> Profile:
    """Raises InvalidError when there is one of this name."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    profile_id = new_id()
    async with db.transaction() as session:
        await _require_free_name(session, draft.name)
        await profiles.add(session, profile_id, draft, created_by=by.name)
        of = Object("profile", profile_id, draft.name)
        await audit.note(session, by, "profile.create", of, after=dict(draft))
        return await profiles.get(session, profile_id)


async def change(db: Database, profile_id: UUID, draft: ProfileDraft, *, version: int, by: Actor) -> Profile:
    """For starts from now on; what was started keeps what it was started with. `version` is the one `by` has seen.

    Raises ChangedMeanwhileError when there is a newer one, InvalidError for a name that is taken, NotFoundError.
    """
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        before = await profiles.lock(session, profile_id)
        if before.version != version:
            raise ChangedMeanwhileError(
                f"“{before.name}” was changed by {before.changed_by} since you opened it.", version=before.version
            )
        await _require_free_name(session, draft.name, but=profile_id)
        await profiles.change(session, profile_id, draft, changed_by=by.name)
        after = await profiles.get(session, profile_id)
        of = Object("profile", profile_id, draft.name)
        await audit.note(session, by, "profile.edit", of, before=_facts(before), after=_facts(after))
        return after


async def make_default(db: Database, profile_id: UUID, *, by: Actor) -> None:
    """It is taken from now on when a start names none. Raises NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        before = await profiles.get(session, None)
        chosen = await profiles.lock(session, profile_id)
        if chosen.id != before.id:
            await profiles.set_default(session, profile_id)
            of = Object("profile", profile_id, chosen.name)
            await audit.note(session, by, "profile.prefer", of, before={"was": before.name})


async def delete(db: Database, profile_id: UUID, *, by: Actor) -> None:
    """Raises ConflictError for the default and for one that recordings were made with, NotFoundError."""
    by.require_everywhere(Permission.SETTINGS_EDIT)
    async with db.transaction() as session:
        found = await profiles.lock(session, profile_id)
        if found.is_default:
            raise ConflictError(f"“{found.name}” is taken when a start names none; choose another default first.")
        if used := (await profiles.uses(session)).get(profile_id):
            raise ConflictError(f"{used} recordings were made with “{found.name}”, which tell of it.", uses=used)
        await profiles.delete(session, profile_id)
        await audit.note(session, by, "profile.delete", Object("profile", profile_id, found.name))


async def _require_free_name(session: Session, name: str, *, but: UUID | None = None) -> None:
    if await profiles.is_name_taken(session, name, but=but):
        raise InvalidError(f"There is a profile “{name}” already; choose another name.", field="name")


def _facts(found: Profile) -> dict[str, Any]:
    return {
        "name": found.name,
        "encoding": found.encoding,
        "channel_mode": found.channel_mode,
        "minimum_bytes": found.minimum_bytes,
        "limits": found.limits,
    }
