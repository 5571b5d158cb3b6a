"""Accounts, sessions, and the codes of one-time links."""

from datetime import timedelta
from uuid import UUID

from protocol.ids import new_id
from web.domain.people import LoginSession, User
from web.domain.roles import ADMINISTRATOR_ROLE
from web.store import tables
from web.store.access import access_in
from web.store.database import Row, Session


async def has_password(session: Session) -> bool:
    """Whether anybody can sign in by a password."""
    table = tables.UserAccount
    return bool(await session.run(table.select(table.id).where(table.password_hash.is_not_null()).limit(1)))


async def first(session: Session) -> User | None:
    """The oldest account; None before the first sign-in."""
    table = tables.UserAccount
    rows = await session.run(table.select().order_by(table.created_at, table.id).limit(1))
    return _user(rows[0]) if rows else None


async def by_name(session: Session, name: str) -> tuple[User, str | None] | None:
    """An account and the hash of its password."""
    table = tables.UserAccount
    for row in await session.run(table.select().where(table.name == name)):
        return _user(row), row["password_hash"]
    return None


async def password_hash(session: Session, user_id: UUID) -> str | None:
    table = tables.UserAccount
    for row in await session.run(table.select(table.password_hash).where(table.id == user_id)):
        found: str | None = row["password_hash"]
        return found
    return None


async def add_first(session: Session, user_id: UUID, name: str) -> None:
    """Makes the first account, which may do everything, unless there is any."""
    await session.rows("add_first_account", id=user_id, name=name, grant_id=new_id(), role=ADMINISTRATOR_ROLE)


async def set_password(session: Session, user_id: UUID, password_hash: str) -> None:
    table = tables.UserAccount
    await session.run(table.update({table.password_hash: password_hash}).where(table.id == user_id))


async def add_code(session: Session, code_id: UUID, *, digest: str, valid_seconds: float) -> None:
    """A new code. Those that are too old go."""
    await session.rows("add_sign_in_code", id=code_id, digest=digest, valid=timedelta(seconds=valid_seconds))


async def is_code_good(session: Session, code_id: UUID, *, digest: str) -> bool:
    return await session.row("good_sign_in_code", id=code_id, digest=digest) is not None


async def spend_code(session: Session, code_id: UUID, *, digest: str) -> bool:
    """Whether it was good. It is not any more."""
    return await session.row("spend_sign_in_code", id=code_id, digest=digest) is not None


async def add_session(
    session: Session, session_id: UUID, user_id: UUID, *, digest: str, is_by_link: bool, valid_seconds: float
) -> None:
    """A new session. Those of the user that have run out go."""
    await session.rows(
        "add_login_session",
        id=session_id,
        user_id=user_id,
        digest=digest,
        is_by_link=is_by_link,
        valid=timedelta(seconds=valid_seconds),
    )


async def session_of(session: Session, session_id: UUID, *, digest: str, idle_seconds: float) -> LoginSession | None:
    """A session that is going on, which notes that it is used; None for any other."""
    row = await session.row("login_session", id=session_id, digest=digest, idle=timedelta(seconds=idle_seconds))
    if row is None:
        return None
    user = User(row["user_id"], row["name"], row["has_password"], row["created_at"])
    return LoginSession(row["id"], user, row["is_by_link"], access_in(row["grants"]))


async def end_session(session: Session, session_id: UUID, *, digest: str) -> None:
    """Streams of it hear of the end."""
    await session.rows("end_login_session", id=session_id, digest=digest)


async def end_sessions_of(session: Session, user_id: UUID) -> None:
    """All of them; their streams hear of it."""
    await session.rows("end_login_sessions", user_id=user_id)


def _user(row: Row) -> User:
    return User(row["id"], row["name"], row["password_hash"] is not None, row["created_at"])
