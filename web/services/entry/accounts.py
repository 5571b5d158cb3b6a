"""People come in by one-time links, look after their own password, second factor and sessions, and sign out."""

from dataclasses import replace

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor, Source, system
from web.domain.audit import Object
from web.domain.errors import InvalidError, LinkSpentError, SecondFactorNeededError, SignInRequiredError
from web.domain.people import (
    ADMINISTRATOR,
    FROM_NOWHERE,
    IDLE_SECONDS,
    LINK_SECONDS,
    LoginSession,
    SignedIn,
    User,
    Visit,
)
from web.domain.roles import ADMINISTRATOR_ROLE
from web.services.access import people
from web.services.auditing import audit
from web.services.entry import login_sessions, second_factor, sign_in, tokens
from web.services.entry.passwords import Passwords
from web.services.keys import Keys
from web.store import accounts, grants
from web.store import people as stored_people
from web.store.database import Database, Session

_BY = system("link of the machine")


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


async def spend_code(db: Database, code: str, visit: Visit = FROM_NOWHERE) -> SignedIn:
    """Sign an administrator in, and make that account when there is none yet. Raises LinkSpentError."""
    code_id = token_id("link", code)
    async with db.transaction() as session:
        if code_id is None or not await accounts.spend_code(session, code_id, digest=token_digest(code)):
            raise LinkSpentError
        user = await _administrator(session)
        return await login_sessions.begin(session, user, visit, how="link of the machine", is_by_link=True)


async def authenticate_session(db: Database, token: str) -> tuple[Actor, User]:
    """Whose session this is, which counts as used now.

    Raises SignInRequiredError, SecondFactorNeededError for who has to set one up before anything else.
    """
    session = await session_of(db, token)
    if session.owes_second_factor:
        raise SecondFactorNeededError
    user = session.user
    return Actor("user", user.id, user.name, session.access, session_id=session.id), user


async def authenticate_for_second_factor(db: Database, token: str) -> tuple[Actor, User]:
    """The same, also for who has to set one up: until then nothing is held. Raises SignInRequiredError."""
    session = await session_of(db, token)
    user = session.user
    access = {} if session.owes_second_factor else session.access
    return Actor("user", user.id, user.name, access, session_id=session.id), user


async def session_of(db: Database, token: str) -> LoginSession:
    """The session itself, which counts as used now. Raises SignInRequiredError."""
    session_id = token_id("session", token)
    found = None
    if session_id is not None:
        found = await accounts.session_of(db, session_id, digest=token_digest(token), idle_seconds=IDLE_SECONDS)
    if found is None:
        raise SignInRequiredError
    return found


async def sign_out(db: Database, token: str, source: Source = FROM_NOWHERE.source) -> None:
    """End this session. One that has ended is none."""
    session_id = token_id("session", token)
    if session_id is None:
        return
    async with db.transaction() as session:
        user = await accounts.end_session(session, session_id, digest=token_digest(token))
        if user is not None:
            by = Actor("user", user.id, user.name, {}, source)
            await audit.note(session, by, "session.end", Object("session", session_id))


async def set_password(
    db: Database,
    passwords: Passwords,
    token: str,
    new_password: str,
    *,
    old_password: str = "",
    revoke_tokens: bool = False,
    visit: Visit = FROM_NOWHERE,
) -> SignedIn:
    """Change the password of the user of this session, end all sessions of that user, and begin one in their place.
    Tokens go on unless they are to be revoked.

    The old password is asked for when there is one, but not in a session that began by a link of the machine: that is
    for people who have forgotten it. Raises InvalidError with the field at fault, SlowDownError, SignInRequiredError,
    UnavailableError.
    """
    current = await session_of(db, token)
    await passwords.require_good(new_password, about=[current.user.name])
    await require_own_password(db, passwords, current, old_password, visit, field="old_password")
    new_hash = await passwords.hash(new_password)
    async with db.transaction() as session:
        await grants.change_in_turn(session)  # no token is made meanwhile in a session that ends here
        await _require_still(session, current)
        await _replace_password(session, current.user, new_hash, visit, revoke_tokens=revoke_tokens)
        user = replace(current.user, has_password=True)
        return await login_sessions.begin(
            session,
            user,
            visit,
            how="change of the password",
            is_by_link=current.is_by_link,
            is_by_issuer=current.is_by_issuer,
        )


async def accept_invitation(
    db: Database,
    passwords: Passwords,
    code: str,
    password: str,
    visit: Visit = FROM_NOWHERE,
    *,
    revoke_tokens: bool = False,
) -> SignedIn | None:
    """Set the password of whom this link is for, and sign in; None when the second factor of an old account is asked
    for at the sign-in that has to follow. Tokens go on unless they are to be revoked.

    Raises LinkSpentError, InvalidError, UnavailableError. A link stays good until a password was set by it.
    """
    _, name = await people.invited(db, code)
    await passwords.require_good(password, about=[name])
    new_hash = await passwords.hash(password)
    invitation_id = token_id("invitation", code)
    async with db.transaction() as session:
        await grants.change_in_turn(session)
        user_id = None
        if invitation_id is not None:
            user_id = await stored_people.spend_invitation(session, invitation_id, digest=token_digest(code))
        held = None if user_id is None else await accounts.hold(session, user_id)
        if held is None or held.is_disabled:
            raise LinkSpentError
        await _replace_password(session, held.user, new_hash, visit, revoke_tokens=revoke_tokens)
        if held.has_second_factor:
            return None
        return await login_sessions.begin(session, replace(held.user, has_password=True), visit, how="invitation")


async def require_own_password(
    db: Database, passwords: Passwords, current: LoginSession, password: str, visit: Visit, *, field: str
) -> None:
    """Whoever merely found the browser open does not know it. Not asked of who has none, or came by a link of the
    machine. Raises InvalidError for the field, SlowDownError, UnavailableError.
    """
    if not current.user.has_password or current.is_by_link:
        return
    account = await accounts.account(db, current.user.id)
    try:
        await sign_in.require_right_password(db, passwords, account, current.user.name, password, visit)
    except InvalidError as fault:
        raise InvalidError("This is not your present password.", field=field) from fault


async def add_second_factor(
    db: Database, keys: Keys, token: str, code: str, visit: Visit = FROM_NOWHERE
) -> tuple[SignedIn, list[str]]:
    """Ask for codes from now on, after a first one: a session in place of all there were, and the recovery codes.

    One transaction: what breaks off leaves no second factor without codes for recovery, and no older session to go on.
    Raises InvalidError, SlowDownError, SignInRequiredError.
    """
    current = await session_of(db, token)
    second_factor.require_app_code(code)
    async with sign_in.trying_code(db, current.user, visit), db.transaction() as session:
        await _require_still(session, current)
        await second_factor.take(session, keys, current.user.id, code)
        codes = await second_factor.confirm(session, current.user, by=_acting(current, visit))
        await stored_people.end_sessions(session, current.user.id)
        begun = await login_sessions.begin(
            session,
            current.user,
            visit,
            how="second factor added",
            is_by_link=current.is_by_link,
            is_by_issuer=current.is_by_issuer,
        )
        return begun, codes


async def renew_recovery_codes(
    db: Database, keys: Keys, token: str, code: str, visit: Visit = FROM_NOWHERE
) -> list[str]:
    """Ten others, for a right code. Raises InvalidError, SlowDownError, SignInRequiredError."""
    current = await session_of(db, token)
    await sign_in.require_right_code(db, keys, current.user, code, visit)
    return await second_factor.new_recovery_codes(db, current.user, by=_acting(current, visit))


async def remove_second_factor(db: Database, keys: Keys, token: str, code: str, visit: Visit = FROM_NOWHERE) -> None:
    """Ask for no codes any more, for a right one. Raises InvalidError, SlowDownError, SignInRequiredError."""
    current = await session_of(db, token)
    await sign_in.require_right_code(db, keys, current.user, code, visit)
    await second_factor.remove(db, current.user, by=_acting(current, visit))


async def has_anybody_a_password(db: Database) -> bool:
    """Whether anybody can sign in without a one-time link."""
    return await accounts.has_password(db)


async def _administrator(session: Session) -> User:
    """The oldest; made when nobody is one, also when others have accounts already."""
    await grants.change_in_turn(session)
    found = await accounts.first_administrator(session)
    if found is None:
        user_id = new_id()
        name = await stored_people.add_named_like(session, user_id, ADMINISTRATOR)
        await accounts.make_administrator(session, user_id)
        await audit.note(session, _BY, "user.create", Object("user", user_id, name), after={"role": ADMINISTRATOR_ROLE})
        found = await accounts.first_administrator(session)
    assert found is not None
    return found


async def _replace_password(session: Session, user: User, new_hash: str, visit: Visit, *, revoke_tokens: bool) -> None:
    """And with it everything that the old one has opened, or was about to."""
    await accounts.set_password(session, user.id, new_hash)
    await stored_people.end_sessions(session, user.id)
    await stored_people.end_entries(session, user.id)
    by = Actor("user", user.id, user.name, {}, visit.source)
    await audit.note(session, by, "password.change", Object("user", user.id, user.name))
    if revoke_tokens:
        await tokens.revoke_all_of(session, user.id, by=by)


async def _require_still(session: Session, current: LoginSession) -> None:
    """Holds the account. Raises SignInRequiredError when the session was ended meanwhile."""
    held = await accounts.hold(session, current.user.id)
    if held is None or held.is_disabled or not await accounts.is_session(session, current.id):
        raise SignInRequiredError


def _acting(current: LoginSession, visit: Visit) -> Actor:
    return Actor("user", current.user.id, current.user.name, current.access, visit.source)
