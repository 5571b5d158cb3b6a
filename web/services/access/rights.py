"""What people hold changes one act at a time: nobody gives what he does not hold, and an administrator is left."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from uuid import UUID

from web.domain.access import Actor, Permission, Scope
from web.domain.errors import ForbiddenError, LastAdministratorError
from web.domain.grants import lacking, lacking_of
from web.store import access, grants, people
from web.store.database import Database, Session


@asynccontextmanager
async def changing(db: Database) -> AsyncIterator[Session]:
    """A transaction for an act after which somebody may hold or be less: grants, groups, roles, accounts.

    It waits for every other such act. Whoever comes to hold more by it loses a link for a new password: who made that
    may hold less. Raises LastAdministratorError at its end, and then nothing has happened, when nobody would be left
    who may do everything, or nobody of those who can sign in by themselves.
    """
    async with db.transaction() as session:
        await grants.change_in_turn(session)
        before = await grants.administrators(session)
        linked = {one: await access.held_by(session, one) for one in await people.with_reset_link(session)}
        yield session
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
