"""People sign in by a password, then by a second factor if they have one. Guessing gets slower with every wrong try."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor
from web.domain.audit import Object, Outcome, stranger
from web.domain.errors import InvalidError, SignInRequiredError, SlowDownError
from web.domain.people import FROM_NOWHERE, HALF_SECONDS, HalfSignedIn, SignedIn, User, Visit
from web.domain.tries import Counter, of_code, of_password
from web.services.auditing import audit
from web.services.entry import login_sessions, second_factor
from web.services.entry.passwords import Passwords
from web.services.keys import Keys
from web.store import accounts, tries
from web.store.accounts import Account
from web.store.database import Database

_NOT_RIGHT = "Name or password is not right."


async def sign_in(
    db: Database, passwords: Passwords, name: str, password: str, visit: Visit = FROM_NOWHERE
) -> SignedIn | HalfSignedIn:
    """Begin a session by a password, or ask for the second factor of who has one.

    Names of nobody, and people who are kept out, are answered as a wrong password is, and as late. Raises InvalidError,
    which does not tell what was wrong, SlowDownError, and UnavailableError in a flood of sign-ins.
    """
    account = await accounts.by_name(db, name.strip())
    await require_right_password(db, passwords, account, name, password, visit)
    assert account is not None
    assert account.password_hash is not None
    outdated = passwords.is_outdated(account.password_hash)
    newer = await passwords.hash(password) if outdated else None
    async with db.transaction() as session:
        held = await accounts.hold(session, account.user.id)
        if held is None or held.is_disabled or held.password_hash != account.password_hash:
            raise InvalidError(_NOT_RIGHT, field="password")
        if newer is not None:
            await accounts.set_password(session, held.user.id, newer)
        if not held.has_second_factor:
            return await login_sessions.begin(session, held.user, visit, how="password")
        half_id = new_id()
        token = new_token("half", half_id)
        digest = token_digest(token)
        await accounts.add_half(session, half_id, held.user.id, digest=digest, valid_seconds=HALF_SECONDS)
        return HalfSignedIn(held.user.name, token)


async def who_waits(db: Database, token: str) -> str:
    """The name of whose second factor is awaited. Raises SignInRequiredError."""
    half_id = token_id("half", token)
    found = None if half_id is None else await accounts.half(db, half_id, digest=token_digest(token))
    if found is None:
        raise SignInRequiredError
    return found.name


async def finish(db: Database, keys: Keys, token: str, code: str, visit: Visit = FROM_NOWHERE) -> SignedIn:
    """Begin the session of somebody whose password was right, by a code of the second factor or for recovery.

    Raises InvalidError, SlowDownError, and SignInRequiredError once it took too long, or something changed meanwhile.
    """
    half_id = token_id("half", token)
    user = None if half_id is None else await accounts.half(db, half_id, digest=token_digest(token))
    if half_id is None or user is None:
        raise SignInRequiredError
    await require_right_code(db, keys, user, code, visit)
    async with db.transaction() as session:
        held = await accounts.hold(session, user.id)
        is_awaited = await accounts.end_half(session, half_id, digest=token_digest(token))
        if held is None or held.is_disabled or not is_awaited:
            raise SignInRequiredError
        return await login_sessions.begin(session, held.user, visit, how="password and second factor")


async def require_right_password(
    db: Database, passwords: Passwords, account: Account | None, name: str, password: str, visit: Visit
) -> None:
    """Counts the try. Raises InvalidError, which does not tell whether there is the account, SlowDownError, and
    UnavailableError.
    """
    address = visit.source.address
    is_known = account is not None and await tries.is_known(db, account.user.id, address)
    counters = of_password(name.strip(), address, is_known=is_known)
    await _take(db, counters)
    known = None if account is None or account.is_disabled else account.password_hash
    if not await passwords.is_right(password, known) or known is None:
        await _note_failure(db, account.user if account else None, visit, "password")
        raise InvalidError(_NOT_RIGHT, field="password")
    await tries.give_back(db, counters)


async def require_right_code(db: Database, keys: Keys, user: User, code: str, visit: Visit) -> None:
    """Counts the try, and uses the code up. Raises InvalidError, SlowDownError."""
    async with trying_code(db, user, visit):
        await second_factor.take(db, keys, user.id, code)


@asynccontextmanager
async def trying_code(db: Database, user: User, visit: Visit) -> AsyncIterator[None]:
    """Counts a try of a second factor, and notes it as a failure when the block raises InvalidError.

    A block that ends well was a right try. Raises SlowDownError before it begins.
    """
    is_known = await tries.is_known(db, user.id, visit.source.address)
    counters = of_code(user.id, visit.source.address, is_known=is_known)
    await _take(db, counters)
    try:
        yield
    except InvalidError:
        await _note_failure(db, user, visit, "second factor")
        raise
    await tries.give_back(db, counters)


async def _take(db: Database, counters: Sequence[Counter]) -> None:
    """Counts before anything is compared, so that many tries at once are no way around."""
    async with db.transaction() as session:
        for counter in counters:
            seconds = await tries.take(session, counter)
            if seconds > 0:
                raise SlowDownError(seconds)


async def _note_failure(db: Database, user: User | None, visit: Visit, what: str) -> None:
    """A name of nobody is not kept: it may be a password in the wrong field."""
    by = stranger(visit.source) if user is None else Actor("user", user.id, user.name, {}, visit.source)
    of = None if user is None else Object("user", user.id, user.name)
    await audit.note(db, by, "session.begin", of, outcome=Outcome.DENIED, reason=f"wrong {what}")
