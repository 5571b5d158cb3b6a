"""Accounts as those who look after them see them, their sessions, and the links by which people come in."""

from datetime import datetime, timedelta
from uuid import UUID

from web.domain.errors import NotFoundError
from web.domain.people import NAME_LONGEST, Person, SessionSeen
from web.store import tables
from web.store.database import Row, Session

_NAMES_TRIED = 100


async def all_people(session: Session) -> list[Person]:
    """In the order of their names."""
    return [_person(row) for row in await session.rows("people", user_id=None)]


async def person(session: Session, user_id: UUID) -> Person:
    """Raises NotFoundError."""
    for row in await session.rows("people", user_id=user_id):
        return _person(row)
    raise NotFoundError("user", user_id)


async def by_subject(session: Session, issuer: str, subject: str) -> UUID | None:
    """The account that single sign-on means."""
    table = tables.UserAccount
    for row in await session.run(table.select(table.id).where((table.issuer == issuer) & (table.subject == subject))):
        found: UUID = row["id"]
        return found
    return None


async def add(
    session: Session, user_id: UUID, name: str, *, issuer: str | None = None, subject: str | None = None
) -> bool:
    """Whether nobody was called so."""
    row = await session.row("add_account", id=user_id, name=name, issuer=issuer, subject=subject)
    return row is not None


async def add_named_like(
    session: Session, user_id: UUID, name: str, *, issuer: str | None = None, subject: str | None = None
) -> str | None:
    """The name that the new account got: this one, or the first like it that is free. None when a twin was faster."""
    for number in range(1, _NAMES_TRIED):
        tail = "" if number == 1 else f" ({number})"
        free = f"{name[: NAME_LONGEST - len(tail)]}{tail}"
        if await add(session, user_id, free, issuer=issuer, subject=subject):
            return free
    return None


async def remove(session: Session, user_id: UUID) -> None:
    """With everything that is theirs alone. Their sessions are to be ended before."""
    table = tables.UserAccount
    await session.run(table.delete().where(table.id == user_id))


async def set_disabled(session: Session, user_id: UUID, *, is_disabled: bool) -> bool:
    """Whether that is new."""
    return await session.row("set_disabled", user_id=user_id, is_disabled=is_disabled) is not None


async def sessions_of(session: Session, user_id: UUID, *, idle_seconds: float) -> list[SessionSeen]:
    """Those that are going on, the one used last first."""
    rows = await session.rows("sessions_of", user_id=user_id, idle=timedelta(seconds=idle_seconds))
    return [SessionSeen(**row) for row in rows]


async def end_sessions(session: Session, user_id: UUID, *, only: UUID | None = None, but: UUID | None = None) -> int:
    """How many ended; their streams hear of it."""
    return len(await session.rows("end_sessions", user_id=user_id, only=only, but=but))


async def end_entries(session: Session, user_id: UUID) -> None:
    """Links for this person, and sign-ins that await a second factor, are worth nothing any more."""
    await session.rows("end_entries", user_id=user_id)


async def keep_invitation(
    session: Session, invitation_id: UUID, user_id: UUID, *, digest: str, created_by: str, valid_seconds: float
) -> datetime:
    """When it stops to be good. One that was made before does at once."""
    row = await session.row(
        "keep_invitation",
        id=invitation_id,
        user_id=user_id,
        digest=digest,
        created_by=created_by,
        valid=timedelta(seconds=valid_seconds),
    )
    assert row is not None
    expires_at: datetime = row["expires_at"]
    return expires_at


async def with_reset_link(session: Session) -> list[UUID]:
    """Who came in before and has a link for a new password that nobody has used yet."""
    return [row["user_id"] for row in await session.rows("people_with_reset_links")]


async def end_links(session: Session, user_id: UUID) -> None:
    """Links for this person are worth nothing any more."""
    table = tables.Invitation
    await session.run(table.delete().where(table.user_id == user_id))


async def invited(session: Session, invitation_id: UUID, *, digest: str) -> tuple[UUID, str] | None:
    """Whom a link that can still be used is for."""
    row = await session.row("invitation", id=invitation_id, digest=digest)
    return None if row is None else (row["user_id"], row["name"])


async def spend_invitation(session: Session, invitation_id: UUID, *, digest: str) -> UUID | None:
    """Whom it was for. It is not good any more."""
    row = await session.row("spend_invitation", id=invitation_id, digest=digest)
    return None if row is None else row["user_id"]


def _person(row: Row) -> Person:
    return Person(
        id=row["id"],
        name=row["name"],
        created_at=row["created_at"],
        disabled_at=row["disabled_at"],
        has_password=row["has_password"],
        has_second_factor=row["has_second_factor"],
        is_by_single_sign_on=row["subject"] is not None,
        invited_until=row["invited_until"],
        last_seen_at=row["last_seen_at"],
        groups=tuple(row["groups"]),
    )
