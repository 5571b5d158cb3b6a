"""Encode presets, and upload policies as far as a start names them."""

from collections.abc import Sequence
from uuid import UUID

from piccolo.columns import Column
from pydantic import TypeAdapter

from protocol.messages import Encoding, Limits
from web.domain.errors import NotFoundError
from web.domain.profiles import Profile
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
    )
