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
    node_id: UUID
    attempt: int
    settings: JobSettings
    state: JobState
    wish: Wish
    epoch: int
    phase: Phase | None
    """Only while it is leased, as are `frames` and `uploaded_bytes`."""
    frames: int | None
    uploaded_bytes: int | None
    created_at: datetime
    ended_at: datetime | None
    reason: str | None
    message: str | None
