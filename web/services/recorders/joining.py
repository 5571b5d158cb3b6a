"""Nodes join by a code that works once, and hold tokens that follow one another."""

from dataclasses import asdict, dataclass, replace
from ipaddress import ip_address, ip_network
from uuid import UUID, uuid5

from protocol.ids import made_token, new_id, new_token, token_digest, token_id
from protocol.messages import CertificateRequest, EnrolAnswer, EnrolRequest, EventReport, TokenRequest
from web.domain.access import Actor, NodeActor, Permission, Source, system
from web.domain.audit import Object
from web.domain.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    TokenExpiredError,
    UnauthorisedError,
)
from web.domain.nodes import CodeStanding, EnrolmentCode, NodeCertificates, NodeToken, checked_name
from web.services.auditing import audit
from web.store import health_events, joining, nodes
from web.store.database import Database, Session
from web.store.joining import FoundCode, FoundToken, TokenEnd

_FIRST_CAPACITY = 4
_SAYS_COPY = (TokenEnd.SUCCESSOR, TokenEnd.JOINING)
"""Whoever still sends a token that ended so has an older copy of the node's folder."""


@dataclass(frozen=True)
class HeldToken:
    """A token that is good for another one at least."""

    node: NodeActor
    digest: str


# ---- codes ----


async def create_enrolment_code(
    db: Database, name: str, *, address_range: str | None = None, by: Actor
) -> EnrolmentCode:
    """A code that makes one node of this name within `timeouts.enrolment_code`, from these addresses or from any.

    Raises InvalidError for a name or range that is none, ConflictError when the name is taken.
    """
    by.require_everywhere(Permission.NODE_CREATE)
    name = checked_name(name)
    async with db.transaction() as session:
        if await nodes.is_name_taken(session, name):
            raise _name_is_taken(name)
        return await _add_code(db, session, name, None, address_range, by)


async def create_rejoin_code(
    db: Database, node_id: UUID, *, address_range: str | None = None, by: Actor
) -> EnrolmentCode:
    """A code with which a machine joins as this node, which keeps its id, name, settings and recordings.

    Until it is used nothing changes; then every token and agent that the node had before is refused.
    """
    async with db.transaction() as session:
        locked = await nodes.lock(session, node_id)
        by.require(Permission.NODE_CREATE, locked)
        return await _add_code(db, session, locked.name, node_id, address_range, by)


async def open_codes(db: Database, *, by: Actor) -> list[CodeStanding]:
    """Those of the actor's scope that can still be used, newest first."""
    by.require(Permission.NODE_CREATE)
    return [code for code in await joining.open_codes(db) if _may_see(code, by)]


async def code_standing(db: Database, code_id: UUID, *, by: Actor) -> CodeStanding:
    """How far a code is. Raises NotFoundError, ForbiddenError.

    The code of a new node is for who may make nodes; that of one that joins again, for who may do so with this node.
    """
    code = await joining.code(db, code_id)
    if code is None or not _may_see(code, by):
        by.require_everywhere(Permission.NODE_CREATE)
        raise NotFoundError("enrolment code", code_id)
    return code


async def revoke_code(db: Database, code_id: UUID, *, by: Actor) -> None:
    """Nobody joins by it any more. One that was used or revoked stays as it is. Raises NotFoundError."""
    code = await code_standing(db, code_id, by=by)
    async with db.transaction() as session:
        if await joining.revoke_code(session, code_id):
            await audit.note(session, by, "enrolment_code.revoke", Object("enrolment_code", code_id, code.node_name))


# ---- joining ----


async def enrol(db: Database, request: EnrolRequest, *, source: Source | None = None) -> EnrolAnswer:
    """Use up a code: its node is made, with the id of the code, or joins again. The same secret gets the same answer.

    Raises UnauthorisedError for a code unknown, used, revoked, too old, or sent from elsewhere, ConflictError when the
    name was taken meanwhile.
    """
    source = source or Source()
    code_id, digest = token_id("code", request.code), token_digest(request.code)
    code = None if code_id is None else await joining.find_code(db, code_id, digest=digest)
    if code is None:
        raise _bad_code()
    _require_address(code, source)
    token = _first_token(code, request)
    async with db.transaction() as session:
        if code.rejoins is not None:
            await _require_node(session, code.rejoins)
        if not await joining.use_code(session, code.id, digest=digest):
            return await _answer_again(db, session, code, token, source)
        node_run = await (_join_again if code.rejoins else _make_node)(session, code, request.version)
        await _add_token(db, session, code.node_id, token_digest(token))
        await joining.keep_certificate(session, code.node_id, source.certificate)
        act = "node.join_again" if code.rejoins else "node.join"
        by = replace(system("enrolment code"), source=source)
        await audit.note(session, by, act, Object("node", code.node_id, code.node_name), after=_joined(code, source))
        await nodes.tell(session, code.node_id)
    return EnrolAnswer(node_id=code.node_id, name=code.node_name, token=token, node_run=node_run)


# ---- certificates ----


async def announce_certificate(db: Database, request: CertificateRequest, *, node: NodeActor) -> None:
    """Take the fingerprint of the certificate that the node will show next. The one that it shows now stays good until
    the other is used first. Raises InvalidError when it shows none, UnauthorisedError.
    """
    shown = node.source.certificate
    if shown is None:
        raise InvalidError("Announce a certificate over a connection that shows the present one.", field="sha256")
    async with db.transaction() as session:
        await _require_node(session, node.node_id)
        present = await joining.certificates_of(session, node.node_id)
        if not present.fits(shown):
            raise _bad_token()
        if request.sha256 in (shown, present.next_certificate):
            return
        await joining.keep_certificate(session, node.node_id, shown, following=request.sha256)
        after = {"certificate": shown, "next_certificate": request.sha256}
        of = Object("node", node.node_id, node.name)
        await audit.note(session, node, "node.announce_certificate", of, before=asdict(present), after=after)
        await nodes.tell(session, node.node_id)


async def certificates_of(db: Database, node_id: UUID, *, by: Actor) -> NodeCertificates:
    """What the node is known by besides its token. Raises NotFoundError, ForbiddenError."""
    await _require(db, node_id, Permission.NODE_CONTROL, by)
    return await joining.certificates_of(db, node_id)


# ---- tokens ----


async def authenticate_node(db: Database, token: str, *, source: Source | None = None) -> NodeActor:
    """Raises UnauthorisedError, also for a certificate of another node, TokenExpiredError for one that can only be
    exchanged for another.
    """
    source = source or Source()
    found = await _good_token(db, token, source)
    if not found.is_fresh:
        raise TokenExpiredError
    if found.is_new:
        async with db.transaction() as session:
            await _require_node(session, found.node_id)
            await joining.use_token(session, found.id)
    if source.certificate is not None and source.certificate == found.certificates.next_certificate:
        await _take_up_certificate(db, found, source)
    return NodeActor(found.node_id, found.name, source)


async def hold_token(db: Database, token: str, *, source: Source | None = None) -> HeldToken:
    """Like `authenticate_node`, also by a token that has run out and is good for another one only."""
    source = source or Source()
    found = await _good_token(db, token, source)
    return HeldToken(NodeActor(found.node_id, found.name, source), token_digest(token))


async def rotate_token(db: Database, held: HeldToken, request: TokenRequest) -> None:
    """Take the digest of the node's next token. The one that it has stays good until the next is used first.

    The same digest again changes nothing. Raises UnauthorisedError.
    """
    node = held.node
    async with db.transaction() as session:
        await _require_node(session, node.node_id)
        present = await _find(db, session, node.node_id, held.digest)
        known = await _find(db, session, node.node_id, request.digest)
        if any(one is not None and one.ended_by is not None for one in (present, known)):
            raise _bad_token()
        if known is None:
            await _add_token(db, session, node.node_id, request.digest)
            await audit.note(session, node, "node.rotate_token", Object("node", node.node_id, node.name))
            await nodes.tell(session, node.node_id)


async def tokens_of(db: Database, node_id: UUID, *, by: Actor) -> list[NodeToken]:
    """Those that are good for anything, newest first; never their secrets."""
    await _require(db, node_id, Permission.NODE_CONTROL, by)
    return await joining.tokens_of(db, node_id, grace_seconds=db.timeouts.node_token_grace)


async def ask_for_rotation(db: Database, node_id: UUID, *, by: Actor) -> None:
    """The agent makes another token as soon as it is heard; the one it has is refused once that is used."""
    async with db.transaction() as session:
        name = await _require(session, node_id, Permission.NODE_CONTROL, by)
        await joining.ask_for_successor(session, node_id)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)
        await audit.note(session, by, "node.ask_for_rotation", Object("node", node_id, name))


async def revoke_tokens(db: Database, node_id: UUID, *, by: Actor) -> None:
    """From now on the node's agent is refused, until it joins again. What it captures it goes on capturing."""
    async with db.transaction() as session:
        name = await _require(session, node_id, Permission.NODE_CONTROL, by)
        if await joining.end_tokens(session, node_id, TokenEnd.REVOCATION):
            await audit.note(session, by, "node.revoke_tokens", Object("node", node_id, name))
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def _add_code(
    db: Database, session: Session, name: str, rejoins: UUID | None, address_range: str | None, by: Actor
) -> EnrolmentCode:
    code_id = new_id()
    code = new_token("code", code_id)
    checked_range = _checked_range(address_range)
    expires_at = await joining.add_code(
        session,
        code_id,
        name,
        rejoins=rejoins,
        address_range=checked_range,
        digest=token_digest(code),
        created_by=by.name,
        valid_seconds=db.timeouts.enrolment_code,
    )
    about = {"node": name, "rejoins": rejoins, "address_range": checked_range}
    await audit.note(session, by, "enrolment_code.create", Object("enrolment_code", code_id, name), after=about)
    return EnrolmentCode(code_id, code, name, expires_at)


def _joined(code: FoundCode, source: Source) -> dict[str, object]:
    return {"code_id": code.id, **({"certificate": source.certificate} if source.certificate else {})}


def _may_see(code: CodeStanding, by: Actor) -> bool:
    scope = by.scope(Permission.NODE_CREATE)
    return scope.covers(code.node_id) if code.is_rejoining else scope.everything


def _checked_range(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return str(ip_network(text.strip(), strict=False))
    except ValueError as fault:
        raise InvalidError(
            "Give an address or a range of them, as 192.0.2.7 or 192.0.2.0/24.", field="address_range"
        ) from fault


def _require_address(code: FoundCode, source: Source) -> None:
    if code.address_range is None:
        return
    try:
        is_within = ip_address(source.address or "") in ip_network(code.address_range)
    except ValueError:
        is_within = False
    if not is_within:
        raise UnauthorisedError(
            f"This enrolment code works from {code.address_range} only, and this is {source.address or 'elsewhere'}; "
            "make another one for this address."
        )


def _first_token(code: FoundCode, request: EnrolRequest) -> str:
    if request.secret is None:
        return new_token("node", code.node_id)
    return made_token("node", code.node_id, code=request.code, secret=request.secret)


async def _make_node(session: Session, code: FoundCode, version: str) -> int:
    if not await nodes.add(session, code.node_id, code.node_name, capacity=_FIRST_CAPACITY, version=version):
        raise _name_is_taken(code.node_name)
    return 0


async def _join_again(session: Session, code: FoundCode, version: str) -> int:
    await joining.end_tokens(session, code.node_id, TokenEnd.JOINING)
    return await nodes.fence(session, code.node_id, version=version)


async def _answer_again(db: Database, session: Session, code: FoundCode, token: str, source: Source) -> EnrolAnswer:
    """For the agent that holds the token which this code gave. Raises UnauthorisedError for any other."""
    found = await _find(db, session, code.node_id, token_digest(token))
    if found is None or found.ended_by is not None or not found.certificates.fits(source.certificate):
        raise _bad_code()
    node_run = await nodes.share_run(session, code.node_id) if code.rejoins else 0
    return EnrolAnswer(node_id=code.node_id, name=found.name, token=token, node_run=node_run)


async def _add_token(db: Database, session: Session, node_id: UUID, digest: str) -> None:
    await joining.add_token(
        session,
        new_id(),
        node_id,
        digest=digest,
        life_seconds=db.timeouts.node_token,
        grace_seconds=db.timeouts.node_token_grace,
    )


async def _good_token(db: Database, token: str, source: Source) -> FoundToken:
    """One that is good at least for another one, and on this connection. Raises UnauthorisedError."""
    node_id = token_id("node", token)
    found = None if node_id is None else await _find(db, db, node_id, token_digest(token))
    if found is None:
        raise _bad_token()
    if found.ended_by in _SAYS_COPY and found.is_long_ended:
        await _tell_of_copy(db, found)
    if found.ended_by is not None or not found.is_exchanged:
        raise _bad_token()
    if not found.certificates.fits(source.certificate):
        raise UnauthorisedError(
            f"This is the token of {found.name}, and not its certificate. Announce another one while the old one is "
            "good, or let the node join again (“Join again” on its page)."
        )
    return found


async def _take_up_certificate(db: Database, found: FoundToken, source: Source) -> None:
    """The first use of the one that was announced ends the one before."""
    async with db.transaction() as session:
        await _require_node(session, found.node_id)
        present = await joining.certificates_of(session, found.node_id)
        if present.next_certificate != source.certificate:
            return
        await joining.keep_certificate(session, found.node_id, source.certificate)
        of = Object("node", found.node_id, found.name)
        node = NodeActor(found.node_id, found.name, source)
        before, after = {"certificate": present.certificate}, {"certificate": source.certificate}
        await audit.note(session, node, "node.take_up_certificate", of, before=before, after=after)
        await nodes.tell(session, found.node_id)


async def _find(db: Database, session: Session, node_id: UUID, digest: str) -> FoundToken | None:
    return await joining.find_token(
        session,
        node_id,
        digest=digest,
        grace_seconds=db.timeouts.node_token_grace,
        tolerated_seconds=db.timeouts.lease,
    )


async def _tell_of_copy(db: Database, found: FoundToken) -> None:
    """Once a token, in a transaction of its own: the request is refused."""
    event = EventReport(
        id=uuid5(found.id, "was used after it had ended"),
        kind="old_token_used",
        severity="critical",
        message=(
            f"Somebody uses an old token of {found.name} and was refused: a copy of the node's folder probably runs "
            "elsewhere, or was brought back from a backup. End it there, or let that machine join again on the node's "
            "page if it is the right one."
        ),
        age_ms=0,
    )
    async with db.transaction() as session:
        await health_events.add_report(session, event, node_id=found.node_id)


async def _require(session: Session, node_id: UUID, permission: Permission, by: Actor) -> str:
    """The node's name; it stays as it is until the transaction ends. Raises NotFoundError, ForbiddenError."""
    locked = await nodes.lock(session, node_id)
    by.require(permission, locked)
    return locked.name


async def _require_node(session: Session, node_id: UUID) -> None:
    """Keeps it from being changed. Raises UnauthorisedError when it was removed."""
    try:
        await nodes.lock(session, node_id)
    except NotFoundError as gone:
        raise _bad_token() from gone


def _bad_token() -> UnauthorisedError:
    return UnauthorisedError(
        "This node token is not valid any more. Make a code for this node in the console (“Join again”), and run "
        "`reelkeeper agent --controller … --code …` on the node; what it captures goes on meanwhile."
    )


def _bad_code() -> UnauthorisedError:
    return UnauthorisedError("This enrolment code is unknown, used or too old; make a new one.")


def _name_is_taken(name: str) -> ConflictError:
    return ConflictError(f"There is a node “{name}” already; choose another name.")
