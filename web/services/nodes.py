"""Nodes join, start, and say what they have; people set what they may do."""

from uuid import UUID

from protocol.messages import CaptureFormat, EnrolAnswer, EnrolRequest, InterfaceRef, Inventory, RunAnswer, RunRequest
from web.domain.access import Actor, NodeActor
from web.domain.nodes import EnrolmentCode
from web.store.database import Database


async def create_enrolment_code(db: Database, name: str, *, by: Actor) -> EnrolmentCode:
    """A code that makes one node of this name within 15 minutes. Raises ConflictError when the name is taken."""
    raise NotImplementedError


async def enrol(db: Database, request: EnrolRequest) -> EnrolAnswer:
    """Use up a code and make its node. Raises UnauthorisedError for a code unknown, used or too old."""
    raise NotImplementedError


async def authenticate_node(db: Database, token: str) -> NodeActor:
    """Raises UnauthorisedError."""
    raise NotImplementedError


async def begin_run(db: Database, request: RunRequest, *, node: NodeActor) -> RunAnswer:
    """A new run of the node's agent: older runs are refused from now on, live leases move to this one."""
    raise NotImplementedError


async def update_inventory(db: Database, inventory: Inventory, *, node: NodeActor) -> None:
    """Keep what the node has; interfaces that are no longer listed stay, marked absent. Raises NodeRunSupersededError."""
    raise NotImplementedError


async def set_capacity(db: Database, node_id: UUID, capacity: int, *, by: Actor) -> None:
    """How many recordings may capture at once on this node."""
    raise NotImplementedError


async def set_capture_format(
    db: Database, node_id: UUID, interface: InterfaceRef, capture: CaptureFormat | None, *, by: Actor
) -> None:
    """The format from the next take on; None follows the default. Raises InvalidError for what it cannot do."""
    raise NotImplementedError


async def prefer_interface(db: Database, node_id: UUID, interface: InterfaceRef, *, by: Actor) -> None:
    """The interface that is taken when a start names none."""
    raise NotImplementedError
