"""People sign in by a one-time link or a password, and sign out."""

from uuid import UUID

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor
from web.domain.errors import InvalidError, LinkSpentError, SignInRequiredError
from web.domain.people import (
    ADMINISTRATOR,
    IDLE_SECONDS,
    LINK_SECONDS,
    LONGEST_SECONDS,
    LoginSession,
    SignedIn,
    User,
    require_good_password,
)
from web.services.passwords import Passwords
from web.store import accounts
from web.store.database import Database, Session


async def sign_in_link_code(db: Database) -> str:
    """A code that signs the administrator in once, within 15 minutes.

    Only for people at the controller's own machine: whoever has the code needs nothing else.
    """
    code_id = new_id()
    code = new_token("link", code_id)
    await accounts.add_code(db, code_id, digest=token_digest(code), valid_seconds=LINK_SECONDS)
    return code


async def require_good_code(db: Database, code: str) -> None:
    """Raises LinkSpentError for a code that cannot be spent. Changes nothing: looking at a link is not using it."""
    code_id = token_id("link", code)
    if code_id is None or not await accounts.is_code_good(db, code_id, digest=token_digest(code)):
        raise LinkSpentError


async def spend_code(db: Database, code: str) -> SignedIn:
    """Sign the administrator in, and make that account when there is none yet. Raises LinkSpentError."""
    code_id = token_id("link", code)
    async with db.transaction() as session:
        if code_id is None or not await accounts.spend_code(session, code_id, digest=token_digest(code)):
            raise LinkSpentError
        return await _begin_session(session, await _administrator(session), is_by_link=True)


async def sign_in(db: Database, passwords: Passwords, name: str, password: str) -> SignedIn:
    """Begin a session by a password. An unknown name takes as long as a wrong password.

    Raises InvalidError, which does not tell what was wrong, and UnavailableError in a flood of sign-ins.
    """
    found = await accounts.by_name(db, name.strip())
    known = None if found is None else found[1]
    if not await passwords.is_right(password, known) or found is None or known is None:
        raise InvalidError("Name or password is not right.", field="password")
    user, _ = found
    newer = await passwords.hash(password) if passwords.is_outdated(known) else None
    async with db.transaction() as session:
        if newer is not None:
            await accounts.set_password(session, user.id, newer)
        return await _begin_session(session, user, is_by_link=False)


async def authenticate_session(db: Database, token: str) -> tuple[Actor, User]:
    """Whose session this is, which counts as used now. Raises SignInRequiredError."""
    session = await _session_of(db, token)
    user = session.user
    return Actor("user", user.id, user.name, session.access), user


async def sign_out(db: Database, token: str) -> None:
    """End this session. One that has ended is none."""
    session_id = token_id("session", token)
    if session_id is not None:
        await accounts.end_session(db, session_id, digest=token_digest(token))


async def set_password(
    db: Database, passwords: Passwords, token: str, new_password: str, *, old_password: str = ""
) -> SignedIn:
    """Change the password of the user of this session, end all sessions of that user, and begin one in their place.

    The old password is asked for when there is one, but not in a session that began by a link: that is for people who
    have forgotten it. Raises InvalidError with the field at fault, SignInRequiredError, UnavailableError.
    """
    current = await _session_of(db, token)
    require_good_password(new_password)
    if current.user.has_password and not current.is_by_link:
        known = await accounts.password_hash(db, current.user.id)
        if not await passwords.is_right(old_password, known):
            raise InvalidError("This is not the password that was set before.", field="old_password")
    new_hash = await passwords.hash(new_password)
    async with db.transaction() as session:
        await accounts.set_password(session, current.user.id, new_hash)
        await accounts.end_sessions_of(session, current.user.id)
        user = User(current.user.id, current.user.name, True, current.user.created_at)
        return await _begin_session(session, user, is_by_link=current.is_by_link)


async def has_anybody_a_password(db: Database) -> bool:
    """Whether anybody can sign in without a one-time link."""
    return await accounts.has_password(db)


async def _administrator(session: Session) -> User:
    await accounts.add_first(session, new_id(), ADMINISTRATOR)
    found = await accounts.first(session)
    assert found is not None
    return found


async def _begin_session(session: Session, user: User, *, is_by_link: bool) -> SignedIn:
    session_id: UUID = new_id()
    token = new_token("session", session_id)
    await accounts.add_session(
        session,
        session_id,
        user.id,
        digest=token_digest(token),
        is_by_link=is_by_link,
        valid_seconds=LONGEST_SECONDS,
    )
    return SignedIn(user, token)


async def _session_of(db: Database, token: str) -> LoginSession:
    session_id = token_id("session", token)
    found = None
    if session_id is not None:
        found = await accounts.session_of(db, session_id, digest=token_digest(token), idle_seconds=IDLE_SECONDS)
    if found is None:
        raise SignInRequiredError
    return found
