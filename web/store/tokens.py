"""Tokens of programs, by their digests."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from web.domain.access import Access, Permission, everywhere
from web.domain.errors import NotFoundError
from web.domain.tokens import Token, TokenRequest
from web.store.access import access_in
from web.store.database import Row, Session

_KNOWN = frozenset(map(str, Permission))


@dataclass(frozen=True)
class PresentedToken:
    """What has to be known of a token that somebody shows."""

    token: Token
    digest: str
    held: Access
    """By its owner, now; nothing for one without."""
    is_owner_disabled: bool
    is_use_old: bool
    """Whether its last use was noted more than a minute ago."""

    @property
    def is_good(self) -> bool:
        """Whether it lets anybody in now."""
        return not (self.token.is_expired or self.is_owner_disabled)

    @property
    def access(self) -> Access:
        """What it lets a program do."""
        return self.token.narrowed(everywhere() if self.token.owner_id is None else self.held)


async def add_boundless(session: Session, token_id: UUID, name: str, *, digest: str, created_by: str) -> None:
    """One of nobody, which may do everything and does not end by itself."""
    await session.rows("add_boundless_token", id=token_id, name=name, digest=digest, created_by=created_by)


async def add(
    session: Session,
    token_id: UUID,
    wanted: TokenRequest,
    *,
    digest: str,
    owner_id: UUID | None,
    created_by: str,
    not_after: datetime | None,
) -> None:
    """It ends when it is wanted to, and never after `not_after`."""
    await session.rows(
        "add_access_token",
        id=token_id,
        name=wanted.name,
        digest=digest,
        user_id=owner_id,
        permissions=sorted(set(wanted.permissions)),
        node_ids=wanted.node_ids,
        folders=wanted.folders,
        valid=None if wanted.days is None else timedelta(days=wanted.days),
        not_after=not_after,
        created_by=created_by,
    )


async def get(session: Session, token_id: UUID) -> Token:
    """Raises NotFoundError."""
    for row in await session.rows("access_tokens", token_id=token_id, user_id=None, before=None, limit=1):
        return _token(row)
    raise NotFoundError("token", token_id)


async def latest(
    session: Session, *, owner_id: UUID | None = None, before: UUID | None = None, limit: int
) -> list[Token]:
    """The newest of one owner or of all, or those behind one."""
    return [
        _token(row)
        for row in await session.rows("access_tokens", token_id=None, user_id=owner_id, before=before, limit=limit)
    ]


async def presented(session: Session, token_id: UUID) -> PresentedToken | None:
    row = await session.row("presented_token", id=token_id)
    if row is None:
        return None
    return PresentedToken(
        _token(row), row["digest"], access_in(row["grants"]), row["is_owner_disabled"], row["is_use_old"]
    )


async def note_use(session: Session, token_id: UUID, address: str | None) -> None:
    await session.rows("note_token_use", id=token_id, address=address)


async def remove(session: Session, token_id: UUID) -> None:
    await session.rows("remove_access_token", id=token_id)


async def good_ones_of(session: Session, owner_id: UUID) -> int:
    """How many of somebody have not run out."""
    row = await session.row("good_tokens_of", user_id=owner_id)
    return 0 if row is None else int(row["number"])


async def remove_all_of(session: Session, owner_id: UUID) -> list[tuple[UUID, str]]:
    """Id and name of each that there was."""
    return [(row["id"], row["name"]) for row in await session.rows("remove_tokens_of", user_id=owner_id)]


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        owner_id=row["user_id"],
        owner_name=row["owner_name"],
        permissions=None if row["permissions"] is None else _permissions(row["permissions"]),
        node_ids=row["node_ids"] or [],
        folders=row["folders"] or [],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        is_expired=row["is_expired"],
        last_used_at=row["last_used_at"],
        last_used_from=row["last_used_from"],
    )


def _permissions(words: Collection[str]) -> frozenset[Permission]:
    return frozenset(Permission(word) for word in words if word in _KNOWN)
