"""People whom an issuer vouches for have an account of their own, with the roles that their groups there mean."""

from uuid import UUID

import structlog

from protocol.ids import new_id
from web.domain.access import Actor, system
from web.domain.audit import Object, Outcome
from web.domain.errors import InvalidError, LastAdministratorError
from web.domain.grants import GrantDraft, Holder
from web.domain.people import SignedIn, User, Visit
from web.domain.roles import ScopeKind
from web.domain.single_sign_on import Identity, Issuer
from web.services.access import rights
from web.services.auditing import audit
from web.services.entry import login_sessions
from web.store import accounts, grants, people
from web.store.accounts import Account
from web.store.database import Database, Session

_BY = system("single sign-on")
"""Grants that bear this name come and go with groups of the issuer; others stay as people gave them."""
_log = structlog.get_logger()


async def sign_in(db: Database, issuer: Issuer, identity: Identity, visit: Visit) -> SignedIn:
    """Begin the session of this person; the account is made at the first time.

    An account is found by issuer and subject alone: who has the same name, or the same mail address, is somebody else.
    Groups and roles that the mapping names are given and taken. Raises InvalidError for somebody who is disabled.
    """
    account = await _account_of(db, identity)
    user = account.user
    if account.is_disabled:
        raise await _kept_out(db, user, visit)
    try:
        await _follow_groups(db, issuer, identity, user, may_take=True)
    except LastAdministratorError:
        _log.warning("the last administrator keeps what the issuer does not tell of any more", user=user.name)
        await _follow_groups(db, issuer, identity, user, may_take=False)
    async with db.transaction() as session:
        held = await accounts.hold(session, user.id)
        if held is not None and not held.is_disabled:
            return await login_sessions.begin(session, held.user, visit, how="single sign-on", is_by_issuer=True)
    raise await _kept_out(db, user, visit)


async def _kept_out(db: Database, user: User, visit: Visit) -> InvalidError:
    by, of = Actor("user", user.id, user.name, {}, visit.source), Object("user", user.id, user.name)
    await audit.note(db, by, "session.begin", of, outcome=Outcome.DENIED, reason="disabled")
    return InvalidError("Your account is disabled here; ask an administrator.")


async def _account_of(db: Database, identity: Identity) -> Account:
    """Also when two browsers of one person are the first at the same moment."""
    async with db.transaction() as session:
        user_id = await people.by_subject(session, identity.issuer, identity.subject)
        if user_id is None:
            user_id = await _make(session, identity)
        if user_id is None:
            user_id = await people.by_subject(session, identity.issuer, identity.subject)
        found = None if user_id is None else await accounts.account(session, user_id)
        if found is None:
            raise InvalidError("No account could be made for you; ask an administrator.")
        return found


async def _make(session: Session, identity: Identity) -> UUID | None:
    """An account under the issuer's name for the person, or one like it; None when a twin was faster."""
    plain = "".join(letter for letter in " ".join(identity.name.split()) if letter.isprintable())
    user_id = new_id()
    name = await people.add_named_like(session, user_id, plain, issuer=identity.issuer, subject=identity.subject)
    if name is None:
        return None
    await audit.note(session, _BY, "user.create", Object("user", user_id, name))
    return user_id


async def _follow_groups(db: Database, issuer: Issuer, identity: Identity, user: User, *, may_take: bool) -> None:
    """Gives what groups of this person mean, and takes what they mean no longer. Raises LastAdministratorError."""
    async with rights.changing(db, _BY) as (session, _):
        await _follow_memberships(session, issuer, identity, user, may_take=may_take)
        await _follow_roles(session, issuer, identity, user, may_take=may_take)


async def _follow_memberships(
    session: Session, issuer: Issuer, identity: Identity, user: User, *, may_take: bool
) -> None:
    targets = {group: target.group for group, target in issuer.mapping.items() if target.group is not None}
    wanted = {name for group, name in targets.items() if group in identity.groups}
    there = {group.name: group for group in await grants.groups(session)}
    for name in sorted(set(targets.values()) - there.keys()):
        _log.warning("single sign-on names a group that there is not", group=name)
    for name in sorted(set(targets.values()) & there.keys()):
        of = Object("group", there[name].id, name)
        if name in wanted:
            if await grants.join(session, there[name].id, user.id):
                await audit.note(session, _BY, "group.join", of, after={"member": user.name})
        elif may_take and await grants.leave(session, there[name].id, user.id):
            await audit.note(session, _BY, "group.leave", of, before={"member": user.name})


async def _follow_roles(session: Session, issuer: Issuer, identity: Identity, user: User, *, may_take: bool) -> None:
    targets = {group: target.role for group, target in issuer.mapping.items() if target.role is not None}
    wanted = {name for group, name in targets.items() if group in identity.groups}
    roles = {stored.role.name: stored.role.id for stored in await grants.roles(session)}
    of = Object("user", user.id, user.name)
    for name in sorted(set(targets.values()) - roles.keys()):
        _log.warning("single sign-on names a role that there is not", role=name)
    for name in sorted(wanted & roles.keys()):
        draft = GrantDraft(role_id=roles[name], scope=ScopeKind.EVERYTHING)
        if await grants.add_grant(session, new_id(), Holder("user", user.id), draft, created_by=_BY.name):
            await audit.note(session, _BY, "grant.create", of, after={"role": name})
    for held in await grants.held_grants(session, user_id=user.id):
        is_ours = held.created_by == _BY.name and held.holder == Holder("user", user.id)
        if is_ours and may_take and held.role_name not in wanted:
            await grants.delete_grant(session, held.id)
            await audit.note(session, _BY, "grant.delete", of, before={"role": held.role_name})
