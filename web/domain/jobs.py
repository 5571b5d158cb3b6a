"""Jobs as values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.states import JobState


@dataclass(frozen=True)
class Job:
    """One attempt at making a recording."""

    id: UUID
    recording_id: UUID
    recording_name: str
    node_id: UUID
    node_name: str
    attempt: int
    settings: JobSettings
    state: JobState
    wish: Wish
    epoch: int
    phase: Phase | None
    """Only while it is leased, as are the next three."""
    frames: int | None
    uploaded_bytes: int | None
    lease_seconds: float | None
    """Until the lease expires; below 0 once it has, and nobody has heard of the agent for so long."""
    created_at: datetime
    ended_at: datetime | None
    reason: str | None
    message: str | None


@dataclass(frozen=True)
class JobCount:
    """Of the jobs in one state."""

    jobs: int = 0
    of_today: int = 0
    """Those that ended within the last 24 hours."""


@dataclass(frozen=True)
class JobEvent:
    """A step in the life of a job."""

    kind: str
    actor: str
    epoch: int
    at: datetime
