"""Who has to have a second factor is settled here, by whoever may change the settings."""

from uuid import UUID

from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ChangedMeanwhileError, ConflictError
from web.domain.sign_in_rules import SecondFactorRule, SignInRule
from web.services.access import rights
from web.services.auditing import audit
from web.store import access, accounts, sign_in_rules, tokens
from web.store.database import Database, Session


async def rule(db: Database, *, by: Actor) -> SignInRule:
    """As it is now. Raises ForbiddenError."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return await sign_in_rules.get(db)


async def lacking(db: Database, *, by: Actor) -> dict[SecondFactorRule, int]:
    """For each rule, how many people it would lead to set up a second factor. Raises ForbiddenError."""
    by.require_everywhere(Permission.SETTINGS_READ)
    return {one: await sign_in_rules.lacking(db, one) for one in SecondFactorRule}


async def change(db: Database, wanted: SecondFactorRule, *, was: SecondFactorRule, by: Actor) -> SignInRule:
    """From now on; whoever lacks a second factor is led to set one up with the next page.

    Raises ChangedMeanwhileError when it is not as `by` has seen it, ConflictError when `by`, or the owner of that
    token, would be asked for one and has none, ForbiddenError.
    """
    async with rights.in_turn(db, by, Permission.SETTINGS_EDIT) as (session, by):
        before = await sign_in_rules.get(session)
        if wanted is not was:
            await _require_own(session, wanted, by)
        if not await sign_in_rules.change(session, wanted, was=was, changed_by=by.name):
            raise ChangedMeanwhileError(f"{before.changed_by} has changed this rule since you opened it.")
        if wanted is not was:
            after = {"second_factor": wanted}
            await audit.note(session, by, "sign_in_rule.edit", _OF, before={"second_factor": was}, after=after)
        return await sign_in_rules.get(session)


_OF = Object("sign_in_rule")


async def _require_own(session: Session, wanted: SecondFactorRule, by: Actor) -> None:
    """Nobody asks of others what he does not have: whoever makes the rule, also by a token, can still come in."""
    person_id = await _person(session, by)
    account = None if person_id is None else await accounts.account(session, person_id)
    if account is None or account.password_hash is None or account.has_second_factor:
        return
    if not wanted.asks(await access.held_by(session, account.user.id)):
        return
    if by.kind == "token":
        name = account.user.name
        raise ConflictError(
            f"{name}, whose token this is, would have to have a second factor; {name} sets it up first, under "
            "“Your account”."
        )
    raise ConflictError("You would have to have a second factor yourself; set it up first, under “Your account”.")


async def _person(session: Session, by: Actor) -> UUID | None:
    """Who is behind it; None for the machine, and for tokens of nobody."""
    if by.id is None or by.kind == "user":
        return by.id
    return (await tokens.get(session, by.id)).owner_id
