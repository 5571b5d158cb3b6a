"""Encode presets, and upload policies as far as a start names them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from piccolo.columns import Column
from pydantic import TypeAdapter

from protocol.messages import Encoding, Limits
from web.domain.errors import NotFoundError
from web.domain.profiles import Profile, ProfileDraft
from web.store import tables
from web.store.database import Row, Session

_ENCODING: TypeAdapter[Encoding] = TypeAdapter(Encoding)


async def get(session: Session, profile_id: UUID | None) -> Profile:
    """None is the default profile. Raises NotFoundError."""
    table = tables.Profile
    condition = table.is_default.eq(True) if profile_id is None else table.id == profile_id
    for row in await session.run(table.select().where(condition)):
        return _profile(row)
    raise NotFoundError("profile", profile_id or "by default")


async def set_protection(session: Session, profile_id: UUID, limits: Limits, minimum_bytes: int | None) -> None:
    """What ends its recordings, and what is too little for one."""
    table = tables.Profile
    values: dict[Column | str, int | None] = {
        table.length_limit_ms: limits.length_ms,
        table.size_limit_bytes: limits.size_bytes,
        table.idle_limit_ms: limits.idle_ms,
        table.minimum_bytes: minimum_bytes,
    }
    await session.run(table.update(values).where(table.id == profile_id))


async def is_name_taken(session: Session, name: str, *, but: UUID | None = None) -> bool:
    table = tables.Profile
    return any(row["id"] != but for row in await session.run(table.select(table.id).where(table.name == name)))


async def add(session: Session, profile_id: UUID, draft: ProfileDraft, *, created_by: str) -> None:
    """A profile that is not the default."""
    await session.rows("add_profile", id=profile_id, changed_by=created_by, **_values(draft))


async def change(session: Session, profile_id: UUID, draft: ProfileDraft, *, changed_by: str) -> None:
    """Makes the profile, which the caller has locked, its next version."""
    await session.rows("change_profile", id=profile_id, changed_by=changed_by, **_values(draft))


async def lock(session: Session, profile_id: UUID) -> Profile:
    """Nobody else changes it until the transaction ends. Raises NotFoundError."""
    table = tables.Profile
    for row in await session.run(table.select().where(table.id == profile_id).lock_rows("UPDATE")):
        return _profile(row)
    raise NotFoundError("profile", profile_id)


async def set_default(session: Session, profile_id: UUID) -> None:
    """The one that is taken when a start names none."""
    table = tables.Profile
    await session.run(table.update({table.is_default: False}).where(table.is_default.eq(True)))
    await session.run(table.update({table.is_default: True}).where(table.id == profile_id))


async def delete(session: Session, profile_id: UUID) -> None:
    table = tables.Profile
    await session.run(table.delete().where(table.id == profile_id))


async def uses(session: Session) -> dict[UUID, int]:
    """How many recordings were made with each."""
    return {row["profile_id"]: row["recordings"] for row in await session.rows("profile_uses")}


async def by_name(session: Session) -> list[Profile]:
    """All of them, in the order of their names."""
    return [_profile(row) for row in await session.run(tables.Profile.select().order_by(tables.Profile.name))]


async def unknown_upload_policies(session: Session, policy_ids: Sequence[UUID]) -> list[UUID]:
    """Those of the ids that are no upload policy's."""
    if not policy_ids:
        return []
    table = tables.UploadPolicy
    known = {row["id"] for row in await session.run(table.select(table.id).where(table.id.is_in(list(policy_ids))))}
    return [policy_id for policy_id in policy_ids if policy_id not in known]


def _values(draft: ProfileDraft) -> dict[str, Any]:
    limits = draft.limits.over(Limits())
    return {
        "name": draft.name,
        "encoding": draft.encoding.model_dump(mode="json", exclude_none=True),
        "channel_mode": draft.channel_mode,
        "minimum_bytes": draft.minimum_bytes,
        "length_limit_ms": limits.length_ms,
        "size_limit_bytes": limits.size_bytes,
        "idle_limit_ms": limits.idle_ms,
    }


def _profile(row: Row) -> Profile:
    return Profile(
        id=row["id"],
        name=row["name"],
        encoding=_ENCODING.validate_python(row["encoding"]),
        channel_mode=row["channel_mode"],
        minimum_bytes=row["minimum_bytes"],
        limits=Limits(
            length_ms=row["length_limit_ms"], size_bytes=row["size_limit_bytes"], idle_ms=row["idle_limit_ms"]
        ),
        is_default=row["is_default"],
        version=row["version"],
        changed_by=row["changed_by"],
        changed_at=row["changed_at"],
    )
