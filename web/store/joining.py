"""Digests of the codes with which nodes join, and of the tokens that they hold."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from web.domain.nodes import CodeStanding, CodeState, NodeCertificates, NodeToken
from web.store import tables
from web.store.database import Session


class TokenEnd(StrEnum):
    """What ended a token."""

    SUCCESSOR = "successor"
    REVOCATION = "revocation"
    JOINING = "joining"
    """The node joined again."""
    REMOVAL = "removal"


@dataclass(frozen=True)
class FoundToken:
    """A token that somebody sent, as it stands."""

    id: UUID
    node_id: UUID
    name: str
    """Of the node."""
    certificates: NodeCertificates
    is_new: bool
    """Never used before."""
    is_fresh: bool
    is_exchanged: bool
    """Whether it is good for another one, though it may be good for nothing else."""
    ended_by: TokenEnd | None
    is_long_ended: bool
    """Longer ago than requests are under way."""


@dataclass(frozen=True)
class FoundCode:
    """A code that somebody sent, used or not."""

    id: UUID
    node_name: str
    rejoins: UUID | None
    address_range: str | None

    @property
    def node_id(self) -> UUID:
        """The node that it makes, or that joins again by it."""
        return self.rejoins or self.id


async def add_code(
    session: Session,
    code_id: UUID,
    node_name: str,
    *,
    rejoins: UUID | None,
    address_range: str | None,
    digest: str,
    created_by: str,
    valid_seconds: float,
) -> datetime:
    """When it stops to be good."""
    row = await session.row(
        "add_enrolment_code",
        id=code_id,
        node_name=node_name,
        rejoins=rejoins,
        address_range=address_range,
        digest=digest,
        created_by=created_by,
        valid=timedelta(seconds=valid_seconds),
    )
    assert row is not None
    expires_at: datetime = row["expires_at"]
    return expires_at


async def find_code(session: Session, code_id: UUID, *, digest: str) -> FoundCode | None:
    """Also one that was used, revoked or is too old."""
    row = await session.row("enrolment_code", id=code_id, digest=digest)
    return None if row is None else FoundCode(**row)


async def use_code(session: Session, code_id: UUID, *, digest: str) -> bool:
    """Use it up; False when it is not good any more."""
    return await session.row("use_enrolment_code", id=code_id, digest=digest) is not None


async def revoke_code(session: Session, code_id: UUID) -> bool:
    """False when it was used or revoked before."""
    return await session.row("revoke_enrolment_code", id=code_id) is not None


async def code(session: Session, code_id: UUID) -> CodeStanding | None:
    return next(iter(await _codes(session, code_id)), None)


async def open_codes(session: Session) -> list[CodeStanding]:
    """Those that can still be used, newest first."""
    return await _codes(session, None)


async def add_token(
    session: Session, token_id: UUID, node_id: UUID, *, digest: str, life_seconds: float, grace_seconds: float
) -> None:
    """Once a digest."""
    await session.rows(
        "add_node_token",
        id=token_id,
        node_id=node_id,
        digest=digest,
        life=timedelta(seconds=life_seconds),
        grace=timedelta(seconds=grace_seconds),
    )


async def find_token(
    session: Session, node_id: UUID, *, digest: str, grace_seconds: float, tolerated_seconds: float
) -> FoundToken | None:
    """Also one that has ended."""
    row = await session.row(
        "node_token",
        node_id=node_id,
        digest=digest,
        grace=timedelta(seconds=grace_seconds),
        tolerated=timedelta(seconds=tolerated_seconds),
    )
    if row is None:
        return None
    certificates = NodeCertificates(row.pop("certificate"), row.pop("next_certificate"))
    ended_by = None if row["ended_by"] is None else TokenEnd(row["ended_by"])
    return FoundToken(**{**row, "certificates": certificates, "ended_by": ended_by})


async def use_token(session: Session, token_id: UUID) -> None:
    """Its first use, which ends every other token of its node."""
    await session.rows("use_node_token", id=token_id)


async def tokens_of(session: Session, node_id: UUID, *, grace_seconds: float) -> list[NodeToken]:
    """Those that are good for anything, newest first."""
    rows = await session.rows("node_tokens", node_id=node_id, grace=timedelta(seconds=grace_seconds))
    return [NodeToken(**row) for row in rows]


async def ask_for_successor(session: Session, node_id: UUID) -> None:
    """The agent hears of it with its next heartbeat."""
    await session.rows("renew_node_tokens", node_id=node_id)


async def end_tokens(session: Session, node_id: UUID, by: TokenEnd) -> int:
    """None is good any more; how many were."""
    return len(await session.rows("end_node_tokens", node_id=node_id, ended_by=by.value))


async def certificates_of(session: Session, node_id: UUID) -> NodeCertificates:
    """What the node is known by besides its token."""
    row = await session.row("node_certificates", node_id=node_id)
    return NodeCertificates(None, None) if row is None else NodeCertificates(**row)


async def keep_certificate(
    session: Session, node_id: UUID, certificate: str | None, *, following: str | None = None
) -> None:
    """The node shows this one from now on, or the following one, and no other; after None it may show any."""
    if certificate is None:
        table = tables.NodeCertificate
        await session.run(table.delete().where(table.node_id == node_id))
    else:
        await session.rows("keep_certificate", node_id=node_id, certificate=certificate, following=following)


async def _codes(session: Session, code_id: UUID | None) -> list[CodeStanding]:
    rows = await session.rows("enrolment_codes", code_id=code_id)
    return [CodeStanding(**{**row, "state": CodeState(row["state"])}) for row in rows]
