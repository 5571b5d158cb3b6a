"""Tokens with which programs act in the name of a person: made, listed, revoked, and known when they are shown."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import NOTHING, Actor, Permission, Source
from web.domain.audit import Object
from web.domain.errors import InvalidError, NotFoundError, UnauthorisedError
from web.domain.tokens import NewToken, Token, TokenRequest
from web.services.access import rights
from web.services.auditing import audit
from web.store import nodes, tokens
from web.store.database import Database, Session


async def create_token(db: Database, name: str, *, by: Actor) -> str:
    """A token of nobody that may do everything and does not end by itself: for people at the controller's machine."""
    new = new_id()
    secret = new_token("user", new)
    async with rights.in_turn(db, by, Permission.USER_EDIT) as (session, by):
        await tokens.add_boundless(session, new, name, digest=token_digest(secret), created_by=by.name)
        await audit.note(session, by, "token.create", Object("token", new, name))
    return secret


async def make(db: Database, wanted: TokenRequest, *, by: Actor) -> NewToken:
    """A token of who asks, or, when a token asks, of the same owner.

    Raises InvalidError for a permission that is not held, a node that is not known, an end that only people who give
    rights may leave open; ForbiddenError for a token that may not do this in the name of its owner.
    """
    async with rights.in_turn(db, by) as (session, by):
        owner = await _owner(session, by)
        await _require_held(session, db, wanted, by)
        new = new_id()
        secret = new_token("user", new)
        await tokens.add(
            session,
            new,
            wanted,
            digest=token_digest(secret),
            owner_id=owner.id,
            created_by=by.name,
            not_after=owner.until,
        )
        made = await tokens.get(session, new)
        await audit.note(session, by, "token.create", Object("token", new, made.name), after=_noted(made))
    return NewToken(made, secret)


async def own(db: Database, *, by: Actor) -> list[Token]:
    """Of a person, newest first."""
    return [] if by.kind != "user" else await tokens.latest(db, owner_id=by.id, limit=_OWN_LIMIT)


async def all_tokens(db: Database, *, by: Actor, before: UUID | None = None, limit: int) -> list[Token]:
    """Of everybody, newest first."""
    by.require_everywhere(Permission.USER_READ)
    return await tokens.latest(db, before=before, limit=limit)


async def current(db: Database, *, by: Actor) -> Token:
    """The token that asks. Raises NotFoundError when no token does."""
    if by.kind != "token" or by.id is None:
        raise NotFoundError("token", by.id)
    return await tokens.get(db, by.id)


async def require_visible(db: Database, token_id: UUID, *, by: Actor) -> Token:
    """One's own, or anybody's for who may read users. Raises NotFoundError."""
    return await _visible(db, token_id, by)


async def revoke(db: Database, token_id: UUID, *, by: Actor) -> None:
    """It is good for nothing at once. Raises NotFoundError, ForbiddenError for somebody else's."""
    async with rights.in_turn(db, by) as (session, by):
        found = await _visible(session, token_id, by)
        if not _is_own(found, by):
            by.require_everywhere(Permission.USER_EDIT)
        await tokens.remove(session, token_id)
        await audit.note(session, by, "token.revoke", Object("token", token_id, found.name), before=_noted(found))


async def good_ones_of(db: Database, owner_id: UUID) -> int:
    """How many tokens of this person have not run out."""
    return await tokens.good_ones_of(db, owner_id)


async def revoke_all_of(session: Session, owner_id: UUID, *, by: Actor) -> None:
    """In the transaction that gives this person another password."""
    for revoked, name in await tokens.remove_all_of(session, owner_id):
        await audit.note(session, by, "token.revoke", Object("token", revoked, name), reason="new password")


async def authenticate(db: Database, secret: str, source: Source | None = None) -> Actor:
    """Whose token this is, which counts as used now. Raises UnauthorisedError."""
    source = source or Source()
    found_id = token_id("user", secret)
    found = None if found_id is None else await tokens.presented(db, found_id)
    if found is None or not hmac.compare_digest(found.digest, token_digest(secret)):
        raise UnauthorisedError
    token = found.token
    if token.is_expired:
        raise UnauthorisedError("This token has expired; make a new one.")
    if found.is_owner_disabled:
        raise UnauthorisedError("The owner of this token is disabled.")
    if found.is_use_old:
        await tokens.note_use(db, token.id, source.address)
    return Actor("token", token.id, token.actor_name, found.access, source)


_OWN_LIMIT = 500


@dataclass(frozen=True)
class _Owner:
    id: UUID | None
    until: datetime | None
    """No token that is made in this name lasts longer."""


async def _owner(session: Session, by: Actor) -> _Owner:
    if by.kind == "user":
        return _Owner(by.id, None)
    by.require_everywhere(Permission.USER_EDIT)
    if by.id is None:
        return _Owner(None, None)
    asking = await tokens.get(session, by.id)
    return _Owner(asking.owner_id, asking.expires_at)


async def _require_held(session: Session, db: Database, wanted: TokenRequest, by: Actor) -> None:
    lacking = sorted(one for one in wanted.permissions if by.scope(one) == NOTHING)
    if lacking:
        raise InvalidError(f"You do not hold {', '.join(lacking)} yourself.", field="permissions")
    if wanted.days is None and not by.scope(Permission.USER_EDIT).everything:
        raise InvalidError("Choose an end; only administrators make tokens without one.", field="days")
    if wanted.node_ids:
        known = await nodes.by_name(session, scope=by.nodes, seen_within=db.timeouts.node_not_seen)
        if unknown := set(wanted.node_ids) - {node.id for node in known}:
            raise InvalidError(f"There is no node {min(unknown)}.", field="node_ids")


async def _visible(session: Session, token_id: UUID, by: Actor) -> Token:
    found = await tokens.get(session, token_id)
    if not (_is_own(found, by) or by.scope(Permission.USER_READ).everything):
        raise NotFoundError("token", token_id)
    return found


def _is_own(token: Token, by: Actor) -> bool:
    """A person's own; of tokens, the one that asks."""
    return (by.kind == "user" and token.owner_id == by.id) or (by.kind == "token" and token.id == by.id)


def _noted(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "owner": token.owner_name,
        "permissions": None if token.permissions is None else sorted(token.permissions),
        "node_ids": [str(one) for one in token.node_ids],
        "folders": token.folders,
        "expires_at": token.expires_at and token.expires_at.isoformat(),
    }
