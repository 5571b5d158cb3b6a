"""Start, stop and cancel recordings."""

from uuid import UUID

from web.domain.access import Actor
from web.domain.recordings import Recording, StartRecording
from web.store.database import Database


async def start_recording(db: Database, request: StartRecording, *, by: Actor) -> Recording:
    """Make a recording and its first job, once per `request.id`, however often it is asked for.

    Raises NotFoundError (node, profile or interface not known to the actor), InvalidError (no preferred interface,
    channels beyond the capture format, a format that the codec cannot carry, a window that is over), CapacityError
    when the node is busy, ConflictError when the id was used for another request.
    """
    raise NotImplementedError


async def stop_recording(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Wish for the end: what was captured until now is delivered. Twice is once; before the claim it cancels."""
    raise NotImplementedError


async def cancel_recording(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Wish for the end without delivering. After the end nothing changes."""
    raise NotImplementedError
