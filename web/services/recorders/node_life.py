"""How a node leaves: it takes on nothing new, somebody knows that it is away, it is gone for good."""

from uuid import UUID

from web.domain.access import Actor, Permission
from web.domain.audit import Object
from web.domain.errors import ConflictError
from web.services.auditing import audit
from web.store import joining, nodes
from web.store.database import Database, Session
from web.store.joining import TokenEnd
from web.store.nodes import LockedNode


async def drain(db: Database, node_id: UUID, *, by: Actor) -> None:
    """Nothing new is started, claimed or kept before a start there; what runs ends as it was planned."""
    await _set_draining(db, node_id, True, by)


async def end_drain(db: Database, node_id: UUID, *, by: Actor) -> None:
    """It takes on recordings again."""
    await _set_draining(db, node_id, False, by)


async def remove(db: Database, node_id: UUID, *, by: Actor) -> None:
    """The node is gone for good: its agent is refused, its recordings stay in the library, its name is free.

    Raises ConflictError while it takes on recordings, or has one that has not ended.
    """
    async with db.transaction() as session:
        locked = await _locked(session, node_id, Permission.NODE_DELETE, by)
        if not locked.is_draining:
            raise ConflictError(f"{locked.name} takes on recordings; set it to drain first, then remove it.")
        if owed := await nodes.owed(session, node_id):
            what = "1 recording" if owed == 1 else f"{owed} recordings"
            raise ConflictError(
                f"{locked.name} still owes {what}; wait until it has delivered, or cancel what it never will deliver."
            )
        await joining.end_tokens(session, node_id, TokenEnd.REMOVAL)
        await nodes.remove(session, node_id)
        await audit.note(session, by, "node.remove", Object("node", node_id, locked.name))
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def acknowledge(db: Database, node_id: UUID, *, by: Actor) -> None:
    """What is said of the node itself is known, its absence above all: until more is said it needs nobody."""
    async with db.transaction() as session:
        locked = await _locked(session, node_id, Permission.HEALTH_CONTROL, by)
        events = await nodes.acknowledge(session, node_id)
        if events:
            about = {"events": events}
            await audit.note(session, by, "node.acknowledge", Object("node", node_id, locked.name), after=about)
        await nodes.tell(session, node_id)


async def _set_draining(db: Database, node_id: UUID, is_draining: bool, by: Actor) -> None:
    async with db.transaction() as session:
        locked = await _locked(session, node_id, Permission.NODE_CONTROL, by)
        if locked.is_draining != is_draining:
            await nodes.drain(session, node_id, is_draining=is_draining)
            act = "node.drain" if is_draining else "node.end_drain"
            await audit.note(session, by, act, Object("node", node_id, locked.name))
        await nodes.raise_change_no(session, node_id)
        await nodes.tell(session, node_id)


async def _locked(session: Session, node_id: UUID, permission: Permission, by: Actor) -> LockedNode:
    """Raises NotFoundError, ForbiddenError."""
    locked = await nodes.lock(session, node_id)
    by.require(permission, locked)
    return locked
