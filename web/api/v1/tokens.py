"""Tokens: made for programs, listed, revoked."""

from datetime import datetime
from uuid import UUID

from web.api.endpoints import Call
from web.api.v1.models import Answer, PageQuery
from web.domain.access import Actor, Permission
from web.domain.tokens import Token, TokenRequest
from web.services.entry import tokens


class TokenAnswer(Answer):
    id: UUID
    name: str
    owner_id: UUID | None
    """Whose permissions it has a part of; null: it was made at the controller's own machine."""
    owner_name: str | None
    permissions: list[Permission] | None
    """Null is all that its owner holds."""
    node_ids: list[UUID]
    folders: list[str]
    """Without nodes and folders, all that its owner reaches."""
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    is_expired: bool
    last_used_at: datetime | None
    """To the minute."""
    last_used_from: str | None


class TokenPage(Answer):
    items: list[TokenAnswer]
    """Newest first."""
    next: UUID | None
    """For `before`; null on the last page."""


class NewTokenAnswer(TokenAnswer):
    secret: str
    """Shown only this once."""


async def index(call: Call, by: Actor, query: PageQuery) -> TokenPage:
    """List the tokens of everybody."""
    found = await tokens.all_tokens(call.controller.db, by=by, before=query.before, limit=query.limit + 1)
    items = [_answer(token) for token in found[: query.limit]]
    return TokenPage(items=items, next=items[-1].id if len(found) > query.limit else None)


async def create(call: Call, by: Actor, body: TokenRequest) -> NewTokenAnswer:
    """Make a token of the same owner, which lasts no longer than the one that asks."""
    made = await tokens.make(call.controller.db, body, by=by)
    return NewTokenAnswer(**dict(_answer(made.token)), secret=made.secret)


async def current(call: Call, by: Actor) -> TokenAnswer:
    """Show the token that asks."""
    return _answer(await tokens.current(call.controller.db, by=by))


async def revoke(call: Call, by: Actor, token_id: UUID) -> None:
    """Revoke a token."""
    await tokens.revoke(call.controller.db, token_id, by=by)


def _answer(token: Token) -> TokenAnswer:
    permissions = None if token.permissions is None else sorted(token.permissions)
    return TokenAnswer(
        id=token.id,
        name=token.name,
        owner_id=token.owner_id,
        owner_name=token.owner_name,
        permissions=permissions,
        node_ids=token.node_ids,
        folders=token.folders,
        created_by=token.created_by,
        created_at=token.created_at,
        expires_at=token.expires_at,
        is_expired=token.is_expired,
        last_used_at=token.last_used_at,
        last_used_from=token.last_used_from,
    )
