"""How a job and its recording end together."""

from dataclasses import dataclass
from datetime import datetime

from web.domain.states import Health, JobState, Mark


@dataclass(frozen=True)
class Ending:
    """The last three are of an end with content only."""

    state: JobState
    reason: str
    """One word for programs."""
    message: str | None
    """The same in words, with what can be done; None when all is well."""
    health: Health
    mark: Mark | None = None
    duration_ms: int | None = None
    started_at: datetime | None = None
