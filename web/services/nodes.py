"""Nodes join, start, and say what they have; people set what they may do."""

import hmac
from uuid import UUID

from protocol.ids import made_token, new_id, new_token, token_digest, token_id
from protocol.messages import (
    CaptureFormat,
    EnrolAnswer,
    EnrolRequest,
    InterfaceRef,
    Inventory,
    RunAnswer,
    RunRequest,
)
from web.domain.access import Actor, NodeActor, Permission
from web.domain.errors import ConflictError, InvalidError, NotFoundError, UnauthorisedError
from web.domain.health import Finding
from web.domain.leases import require_run
from web.domain.nodes import MINIMUM_BYTES_LIMIT, PREROLL_LIMIT_SECONDS, EnrolmentCode, Interface
from web.domain.states import Severity
from web.store import health_events, jobs, nodes, secrets
from web.store.database import Database, Session

_CODE_SECONDS = 900.0
_FIRST_CAPACITY = 4


async def create_enrolment_code(db: Database, name: str, *, by: Actor) -> EnrolmentCode:
    """A code that makes one node of this name within 15 minutes. Raises ConflictError when the name is taken."""
    by.require_everywhere(Permission.NODE_CREATE)
    code_id = new_id()
    code = new_token("code", code_id)
    async with db.transaction() as session:
        if await nodes.is_name_taken(session, name):
            raise _name_is_taken(name)
        expires_at = await secrets.add_enrolment_code(
            session, code_id, name, digest=token_digest(code), created_by=by.name, valid_seconds=_CODE_SECONDS
        )
    return EnrolmentCode(code, name, expires_at)


async def enrol(db: Database, request: EnrolRequest) -> EnrolAnswer:
    """Use up a code and make its node, which takes over the id of the code. The same secret gets the same answer again.

    Raises UnauthorisedError for a code unknown, used or too old, ConflictError when the name was taken meanwhile.
    """
    node_id = token_id("code", request.code)
    if node_id is None:
        raise _bad_code()
    if request.secret is None:
        token = new_token("node", node_id)
    else:
        token = made_token("node", node_id, code=request.code, secret=request.secret)
    async with db.transaction() as session:
        name = await secrets.use_enrolment_code(session, node_id, digest=token_digest(request.code))
        if name is None:
            return EnrolAnswer(node_id=node_id, name=await _name_by_token(session, node_id, token), token=token)
        if not await nodes.add(
            session,
            node_id,
            name,
            token_digest=token_digest(token),
            capacity=_FIRST_CAPACITY,
            version=request.version,
        ):
            raise _name_is_taken(name)
        await nodes.tell(session, node_id)
    return EnrolAnswer(node_id=node_id, name=name, token=token)


async def authenticate_node(db: Database, token: str) -> NodeActor:
    """Raises UnauthorisedError."""
    node_id = token_id("node", token)
    found = None if node_id is None else await nodes.name_and_token_digest(db, node_id)
    if node_id is None or found is None or not hmac.compare_digest(found[1], token_digest(token)):
        raise UnauthorisedError("This node token is not valid; enrol the node again.")
    return NodeActor(node_id, found[0])


async def _name_by_token(session: Session, node_id: UUID, token: str) -> str:
    """The node that this code made, for the agent that holds its token. Raises UnauthorisedError for any other."""
    found = await nodes.name_and_token_digest(session, node_id)
    if found is None or not hmac.compare_digest(found[1], token_digest(token)):
        raise _bad_code()
    return found[0]


async def begin_run(db: Database, request: RunRequest, *, node: NodeActor) -> RunAnswer:
    """A new run of the node's agent: older runs are refused from now on, live leases move to this one.

    The same request id is the same run. Raises NodeRunSupersededError when a newer one has begun since.
    """
    async with db.transaction() as session:
        current_run = (await nodes.lock(session, node.node_id)).node_run
        node_run = await _run_that_began(session, node.node_id, request)
        if node_run is None:
            node_run = await _next_run(session, node.node_id, request, current_run)
        else:
            require_run(node_run, current_run)
        await nodes.see(session, node.node_id)
        await nodes.move_leases(session, node.node_id, node_run=node_run, lease=db.timeouts.lease)
        await nodes.tell(session, node.node_id)
        armed = (await nodes.news(session, node.node_id)).armed
        return RunAnswer(node_run=node_run, jobs=await jobs.leased_of(session, node.node_id), armed=armed)


async def update_inventory(db: Database, inventory: Inventory, *, node: NodeActor) -> None:
    """Keep what the node has; an interface that is no longer listed is marked absent. Raises NodeRunSupersededError."""
    async with db.transaction() as session:
        require_run(inventory.node_run, (await nodes.lock(session, node.node_id)).node_run)
        await nodes.keep_inventory(session, node.node_id, inventory)
        await nodes.see(session, node.node_id)
        await nodes.tell(session, node.node_id)


async def set_capacity(db: Database, node_id: UUID, capacity: int, *, by: Actor) -> None:
    """How many recordings may capture at once on this node, 1 to 64."""
    if not 1 <= capacity <= 64:
        raise InvalidError("A node may capture 1 to 64 recordings at once.", field="capacity")
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        await nodes.set_capacity(session, node_id, capacity)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_capture_format(
    db: Database, node_id: UUID, interface: InterfaceRef, capture: CaptureFormat | None, *, by: Actor
) -> None:
    """The format from the next take on; None follows the default. Raises InvalidError for what it cannot do."""
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        found = [one for one in await nodes.interfaces_of(session, node_id, scope=by.nodes) if one.ref == interface]
        if not found:
            raise NotFoundError("interface", interface.name)
        if capture is not None:
            _require_able(found[0], capture)
        await nodes.set_capture(session, node_id, interface, capture)
        if found[0].is_armed:
            await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def set_minimum_bytes(db: Database, node_id: UUID, minimum_bytes: int | None, *, by: Actor) -> None:
    """The least audio of a recording of this node whose profile does not say; None takes the default."""
    if minimum_bytes is not None and not 0 <= minimum_bytes <= MINIMUM_BYTES_LIMIT:
        raise InvalidError(f"Give 0 to {MINIMUM_BYTES_LIMIT} bytes, or nothing for the default.", field="minimum_bytes")
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        await nodes.set_minimum_bytes(session, node_id, minimum_bytes)
        await nodes.tell(session, node_id)


async def arm_interface(
    db: Database, node_id: UUID, interface: InterfaceRef, preroll_seconds: int, *, by: Actor
) -> None:
    """Keep the last seconds of an interface although nobody records it, so that a start can reach back; 0 ends it."""
    if not 0 <= preroll_seconds <= PREROLL_LIMIT_SECONDS:
        raise InvalidError(
            f"An interface can keep up to {PREROLL_LIMIT_SECONDS} seconds; 0 keeps nothing.", field="preroll_seconds"
        )
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        if not await nodes.arm(session, node_id, interface, preroll_seconds):
            raise NotFoundError("interface", interface.name)
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def prefer_interface(db: Database, node_id: UUID, interface: InterfaceRef, *, by: Actor) -> None:
    """The interface that is taken when a start names none."""
    async with db.transaction() as session:
        await _require_manage(session, node_id, by)
        if not await nodes.prefer(session, node_id, interface):
            raise NotFoundError("interface", interface.name)
        await nodes.tell(session, node_id)


async def _run_that_began(session: Session, node_id: UUID, request: RunRequest) -> int | None:
    if request.request_id is None:
        return None
    return await nodes.run_of_request(session, node_id, request.request_id)


async def _next_run(session: Session, node_id: UUID, request: RunRequest, current_run: int) -> int:
    node_run = await nodes.begin_run(session, node_id, previous_run=request.previous_run, version=request.version)
    if request.request_id is not None:
        await nodes.keep_run_request(session, node_id, request.request_id, node_run=node_run)
    if current_run > request.previous_run:
        await health_events.add(session, _unknown_run(current_run), node_id=node_id, job_id=None)
    return node_run


async def _require_manage(session: Session, node_id: UUID, by: Actor) -> None:
    by.require(Permission.NODE_EDIT)
    if not by.scope(Permission.NODE_EDIT).covers(node_id):
        raise NotFoundError("node", node_id)
    await nodes.lock(session, node_id)


def _require_able(interface: Interface, capture: CaptureFormat) -> None:
    if capture.channels > interface.max_channels:
        raise InvalidError(f"“{interface.label}” has {interface.max_channels} channels.", field="channels")
    if capture.sample_rate_hz not in interface.sample_rates_hz:
        rates = ", ".join(str(rate) for rate in interface.sample_rates_hz)
        raise InvalidError(f"“{interface.label}” does {rates} Hz.", field="sample_rate_hz")
    if capture.sample_type not in interface.sample_types:
        raise InvalidError(f"“{interface.label}” does {', '.join(interface.sample_types)}.", field="sample_type")


def _unknown_run(node_run: int) -> Finding:
    return Finding(
        "unknown_run",
        Severity.WARNING,
        f"Run {node_run} of this node is unknown to the agent that has just started: an answer was lost, or a copy of "
        "the node's folder runs elsewhere. If it does, end it there.",
    )


def _bad_code() -> UnauthorisedError:
    return UnauthorisedError("This enrolment code is unknown, used or too old; make a new one.")


def _name_is_taken(name: str) -> ConflictError:
    return ConflictError(f"There is a node “{name}” already; choose another name.")
