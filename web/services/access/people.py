"""Those who look after accounts invite people, help them in again, and keep them out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ConflictError, InvalidError, LinkSpentError
from web.domain.people import IDLE_SECONDS, INVITATION_SECONDS, Invitation, Person, SessionSeen, tidy_name
from web.services.access import rights
from web.services.auditing import audit
from web.store import accounts, people, second_factors
from web.store.database import Database, Session


async def all_people(db: Database, *, by: Actor) -> list[Person]:
    """In the order of their names."""
    by.require_everywhere(Permission.USER_READ)
    return await people.all_people(db)


async def person(db: Database, user_id: UUID, *, by: Actor) -> Person:
    """Raises NotFoundError."""
    by.require_everywhere(Permission.USER_READ)
    return await people.person(db, user_id)


async def invite(db: Database, name: str, *, by: Actor) -> Invitation:
    """A new account that may do nothing yet, and the link by which that person sets a password, within 7 days.

    Raises InvalidError when the name is none, or somebody is called so.
    """
    by.require_everywhere(Permission.USER_CREATE)
    tidy, user_id = tidy_name(name), new_id()
    async with rights.in_turn(db, by, Permission.USER_CREATE) as (session, by):
        if not await people.add(session, user_id, tidy):
            raise InvalidError(f"Somebody is called “{tidy}” already.", field="name")
        await audit.note(session, by, "user.invite", Object("user", user_id, tidy))
        return await _link(session, user_id, tidy, by)


async def reset_link(db: Database, user_id: UUID, *, by: Actor) -> Invitation:
    """A link by which this person sets a new password, within 7 days; the second factor is asked for as ever.

    The old password works until then, and the link no longer than this person holds no more than now. Raises
    NotFoundError, ConflictError for a disabled person and for oneself.
    """
    _require_other(user_id, by)
    async with rights.in_turn(db, by, Permission.USER_EDIT) as (session, by):
        found = await _subject(session, user_id, by)
        if found.disabled_at is not None:
            raise ConflictError(f"{found.name} is disabled; enable the account first.")
        await audit.note(session, by, "user.reset_link", Object("user", user_id, found.name))
        return await _link(session, user_id, found.name, by)


async def disable(db: Database, user_id: UUID, *, by: Actor) -> None:
    """Keep this person out: sessions and open pages end at once, links and tokens are worth nothing.

    Raises NotFoundError, LastAdministratorError.
    """
    async with rights.changing(db, by, Permission.USER_EDIT) as (session, by):
        found = await _subject(session, user_id, by)
        if await people.set_disabled(session, user_id, is_disabled=True):
            await people.end_sessions(session, user_id)
            await people.end_entries(session, user_id)
            await audit.note(session, by, "user.disable", Object("user", user_id, found.name))


async def enable(db: Database, user_id: UUID, *, by: Actor) -> None:
    """Let this person in again, with what was held before. Raises NotFoundError."""
    async with _acting_on(db, user_id, by, Permission.USER_EDIT) as (session, by, found):
        if await people.set_disabled(session, user_id, is_disabled=False):
            await audit.note(session, by, "user.enable", Object("user", user_id, found.name))


async def remove(db: Database, user_id: UUID, *, by: Actor) -> None:
    """Remove the account. What this person did stays on the record. Raises NotFoundError, LastAdministratorError."""
    async with rights.changing(db, by, Permission.USER_DELETE) as (session, by):
        found = await _subject(session, user_id, by)
        await accounts.hold(session, user_id)  # before its sessions, as whoever signs in does
        await people.end_sessions(session, user_id)
        await audit.note(session, by, "user.delete", Object("user", user_id, found.name))
        await people.remove(session, user_id)


async def remove_second_factor(db: Database, user_id: UUID, *, by: Actor) -> None:
    """For somebody who has lost both telephone and recovery codes. Sessions end.

    Raises NotFoundError, ConflictError for oneself.
    """
    _require_other(user_id, by)
    async with _acting_on(db, user_id, by, Permission.USER_EDIT) as (session, by, found):
        if await second_factors.remove(session, user_id):
            await people.end_sessions(session, user_id)
            await audit.note(session, by, "second_factor.remove", Object("user", user_id, found.name))


async def sessions_of(db: Database, user_id: UUID, *, by: Actor) -> list[SessionSeen]:
    """Those that are going on, the one used last first; everybody may see his own."""
    if by.id != user_id:
        by.require_everywhere(Permission.USER_READ)
    return await people.sessions_of(db, user_id, idle_seconds=IDLE_SECONDS)


async def end_sessions(
    db: Database, user_id: UUID, *, by: Actor, only: UUID | None = None, but: UUID | None = None
) -> int:
    """How many ended: all of this person, one, or all but one. Open pages end with them. Raises NotFoundError."""
    needs = () if by.id == user_id else (Permission.USER_EDIT,)
    async with _acting_on(db, user_id, by, *needs) as (session, by, found):
        ended = await people.end_sessions(session, user_id, only=only, but=but)
        if ended:
            await audit.note(session, by, "session.end", Object("user", user_id, found.name), after={"ended": ended})
        return ended


async def invited(db: Database, code: str) -> tuple[UUID, str]:
    """Id and name of whom a link is for. Looking at it does not use it. Raises LinkSpentError."""
    invitation_id = token_id("invitation", code)
    found = None if invitation_id is None else await people.invited(db, invitation_id, digest=token_digest(code))
    if found is None:
        raise LinkSpentError("This link was used or is too old; ask whoever sent it for a new one.")
    return found


def _require_other(user_id: UUID, by: Actor) -> None:
    """What needs no password of somebody else needs one's own. Raises ForbiddenError, ConflictError."""
    by.require_everywhere(Permission.USER_EDIT)
    if by.id == user_id:
        raise ConflictError("Change your own password and second factor under “Your account”.")


@asynccontextmanager
async def _acting_on(
    db: Database, user_id: UUID, by: Actor, *needs: Permission
) -> AsyncIterator[tuple[Session, Actor, Person]]:
    """A transaction about this person, on whom `by` may act, as he is once it is his turn."""
    async with rights.in_turn(db, by, *needs) as (session, now):
        yield session, now, await _subject(session, user_id, now)


async def _subject(session: Session, user_id: UUID, by: Actor) -> Person:
    """Who is acted on. Raises NotFoundError, ForbiddenError: nobody takes over an account that may do more."""
    found = await people.person(session, user_id)
    await rights.require_holds_all_of(session, user_id, by=by)
    return found


async def _link(session: Session, user_id: UUID, name: str, by: Actor) -> Invitation:
    invitation_id = new_id()
    code = new_token("invitation", invitation_id)
    expires_at = await people.keep_invitation(
        session,
        invitation_id,
        user_id,
        digest=token_digest(code),
        created_by=by.name,
        valid_seconds=INVITATION_SECONDS,
    )
    return Invitation(user_id, name, expires_at, code)
