"""What people hold changes one act at a time: nobody gives what he does not hold, and an administrator is left."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from web.domain.access import Actor, Permission, Scope
from web.domain.errors import ForbiddenError, LastAdministratorError, SignInRequiredError, UnauthorisedError
from web.domain.grants import lacking, lacking_of
from web.store import access, accounts, grants, people, tokens
from web.store.database import Database, Session


@asynccontextmanager
async def in_turn(db: Database, by: Actor, *needs: Permission) -> AsyncIterator[tuple[Session, Actor]]:
    """A transaction for an act on accounts, tokens, groups or rights, and `by` with what he holds once it is his turn.

    It waits for every other such act. Whoever was disabled or signed out, lost a right or had his token revoked
    meanwhile does no more than he may do now. Raises ForbiddenError unless `by` holds what it needs on everything,
    before and after the wait; SignInRequiredError, UnauthorisedError when he is kept out by then.
    """
    for permission in needs:
        by.require_everywhere(permission)
    async with db.transaction() as session:
        await grants.change_in_turn(session)
        now = await _as_now(session, by)
        for permission in needs:
            now.require_everywhere(permission)
        yield session, now


@asynccontextmanager
async def changing(db: Database, by: Actor, *needs: Permission) -> AsyncIterator[tuple[Session, Actor]]:
    """The same for an act after which somebody may hold or be less: grants, groups, roles, accounts.

    Whoever comes to hold more by it loses a link for a new password: who made that may hold less. Raises besides
    LastAdministratorError at its end, and then nothing has happened, when nobody would be left who may do everything,
    or nobody of those who can sign in by themselves.
    """
    async with in_turn(db, by, *needs) as (session, now):
        before = await grants.administrators(session)
        linked = {one: await access.held_by(session, one) for one in await people.with_reset_link(session)}
        yield session, now
        after = await grants.administrators(session)
        if (before and not after) or (any(before.values()) and not any(after.values())):
            raise LastAdministratorError
        for user_id, held in linked.items():
            if lacking_of(await access.held_by(session, user_id), held) is not None:
                await people.end_links(session, user_id)


def require_holds(by: Actor, permissions: Collection[Permission], scope: Scope) -> None:
    """Raises ForbiddenError unless `by` holds each of them for all of the scope: else it is not his to give or take."""
    missing = lacking(permissions, scope, by.access)
    if missing is not None:
        raise ForbiddenError(
            missing,
            f"This role holds {missing}, which you do not hold there yourself; you can neither give nor take it.",
        )


async def require_holds_all_of(session: Session, user_id: UUID, *, by: Actor) -> None:
    """Raises ForbiddenError when this person may do anything that `by` may not: who acts on an account could use it."""
    if by.id == user_id:
        return
    missing = lacking_of(await access.held_by(session, user_id), by.access)
    if missing is not None:
        raise ForbiddenError(
            missing, f"This person holds {missing} where you do not; ask somebody who may do at least as much."
        )


async def _as_now(session: Session, by: Actor) -> Actor:
    """Raises SignInRequiredError, UnauthorisedError for who is not let in any more."""
    match by.kind:
        case "system":
            return by
        case "user":
            account = None if by.id is None else await accounts.account(session, by.id)
            if account is None or account.is_disabled:
                raise SignInRequiredError
            if by.session_id is not None and not await accounts.is_session(session, by.session_id):
                raise SignInRequiredError
            return replace(by, access=await access.held_by(session, account.user.id))
        case "token":
            token = None if by.id is None else await tokens.presented(session, by.id)
            if token is None or not token.is_good:
                raise UnauthorisedError
            return replace(by, access=token.access)
