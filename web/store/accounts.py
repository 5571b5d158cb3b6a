"""Accounts, sessions, and the codes of one-time links."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from protocol.ids import new_id
from web.domain.people import LoginSession, User
from web.domain.roles import ADMINISTRATOR_ROLE
from web.domain.sign_in_rules import SecondFactorRule
from web.store import grants, tables
from web.store.access import access_in
from web.store.database import Row, Session


@dataclass(frozen=True)
class Account:
    """What decides whether somebody comes in."""

    user: User
    password_hash: str | None = field(repr=False)
    is_disabled: bool
    has_second_factor: bool


async def has_password(session: Session) -> bool:
    """Whether anybody can sign in by a password."""
    table = tables.UserAccount
    return bool(await session.run(table.select(table.id).where(table.password_hash.is_not_null()).limit(1)))


async def first_administrator(session: Session) -> User | None:
    """The oldest account of somebody who may do everything and is not disabled."""
    able = await grants.administrators(session)
    table = tables.UserAccount
    for row in await session.run(table.select().order_by(table.created_at, table.id)):
        if row["id"] in able:
            return _user(row)
    return None


async def by_name(session: Session, name: str) -> Account | None:
    table = tables.UserAccount
    for row in await session.run(table.select(table.id).where(table.name == name)):
        return await _account(session, "account", row["id"])
    return None


async def account(session: Session, user_id: UUID) -> Account | None:
    return await _account(session, "account", user_id)


async def hold(session: Session, user_id: UUID) -> Account | None:
    """The same, and nobody changes its password or disables it until this transaction ends."""
    return await _account(session, "hold_account", user_id)


async def add_first(session: Session, user_id: UUID, name: str) -> None:
    """Makes the first account, which may do everything, unless there is any."""
    await session.rows("add_first_account", id=user_id, name=name, grant_id=new_id(), role=ADMINISTRATOR_ROLE)


async def make_administrator(session: Session, user_id: UUID) -> None:
    """Gives this person the role that may do everything."""
    await session.rows("make_administrator", user_id=user_id, grant_id=new_id(), role=ADMINISTRATOR_ROLE)


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
    session: Session,
    session_id: UUID,
    user_id: UUID,
    *,
    digest: str,
    is_by_link: bool,
    is_by_issuer: bool,
    valid_seconds: float,
    address: str | None,
    browser: str,
) -> None:
    """A new session. Those of the user that have run out go."""
    await session.rows(
        "add_login_session",
        id=session_id,
        user_id=user_id,
        digest=digest,
        is_by_link=is_by_link,
        is_by_issuer=is_by_issuer,
        valid=timedelta(seconds=valid_seconds),
        address=address,
        browser=browser,
    )


async def session_of(session: Session, session_id: UUID, *, digest: str, idle_seconds: float) -> LoginSession | None:
    """A session that is going on, which notes that it is used; None for any other."""
    row = await session.row("login_session", id=session_id, digest=digest, idle=timedelta(seconds=idle_seconds))
    if row is None:
        return None
    return LoginSession(
        id=row["id"],
        user=_known_user(row),
        is_by_link=row["is_by_link"],
        is_by_issuer=row["is_by_issuer"],
        access=access_in(row["grants"]),
        has_second_factor=row["has_second_factor"],
        rule=SecondFactorRule(row["rule"]),
    )


async def is_session(session: Session, session_id: UUID) -> bool:
    """Whether nobody has ended it."""
    table = tables.LoginSession
    return bool(await session.run(table.select(table.id).where(table.id == session_id)))


async def end_session(session: Session, session_id: UUID, *, digest: str) -> User | None:
    """Whose it was, if it was still there. Streams of it hear of the end."""
    row = await session.row("end_login_session", id=session_id, digest=digest)
    return None if row is None else _known_user(row)


async def add_half(session: Session, half_id: UUID, user_id: UUID, *, digest: str, valid_seconds: float) -> None:
    """Somebody whose second factor is awaited."""
    await session.rows(
        "add_half_sign_in", id=half_id, user_id=user_id, digest=digest, valid=timedelta(seconds=valid_seconds)
    )


async def half(session: Session, half_id: UUID, *, digest: str) -> User | None:
    """Whose second factor is still awaited."""
    row = await session.row("half_sign_in", id=half_id, digest=digest)
    return None if row is None else _known_user(row)


async def end_half(session: Session, half_id: UUID, *, digest: str) -> bool:
    """Whether it was still awaited. It is not any more."""
    return await session.row("end_half_sign_in", id=half_id, digest=digest) is not None


async def _account(session: Session, query: str, user_id: UUID) -> Account | None:
    row = await session.row(query, user_id=user_id)
    if row is None:
        return None
    return Account(_user(row), row["password_hash"], row["is_disabled"], row["has_second_factor"])


def _known_user(row: Row) -> User:
    return User(row["user_id"], row["name"], row["has_password"], row["created_at"])


def _user(row: Row) -> User:
    return User(row["id"], row["name"], row["password_hash"] is not None, row["created_at"])
