"""Agents lease jobs, report on them and end them."""

from uuid import UUID

from protocol.messages import ClaimedJob, ClaimRequest, EventsRequest, FinishRequest, HeartbeatAnswer, HeartbeatRequest
from web.domain.access import NodeActor
from web.store.database import Database


async def claim_next(db: Database, request: ClaimRequest, *, node: NodeActor) -> ClaimedJob | None:
    """Lease the node's next due job, or answer the same claim id the same again. None: nothing to do, or no capacity.

    Raises NodeRunSupersededError.
    """
    raise NotImplementedError


async def heartbeat(db: Database, request: HeartbeatRequest, *, node: NodeActor) -> HeartbeatAnswer:
    """Renew every reported lease that this run still holds, also an expired one that nobody rescued yet.

    Raises NodeRunSupersededError; a single job that ended or was superseded only reads so in the answer.
    """
    raise NotImplementedError


async def finish_job(db: Database, job_id: UUID, request: FinishRequest, *, node: NodeActor) -> None:
    """End a job without content. The same end again is accepted.

    Raises NotFoundError, NotYoursError, NodeRunSupersededError, EpochSupersededError, JobEndedError.
    """
    raise NotImplementedError


async def record_events(db: Database, request: EventsRequest, *, node: NodeActor) -> None:
    """Keep health events, each once by its id. Raises NodeRunSupersededError."""
    raise NotImplementedError


async def change_no_of(db: Database, *, node: NodeActor) -> int:
    """Raised in every transaction that creates, stops or cancels something of this node."""
    raise NotImplementedError


async def change_nos_of(db: Database, node_ids: list[UUID]) -> dict[UUID, int]:
    """The same for many nodes in one query, for the periodic look after lost notifications."""
    raise NotImplementedError
