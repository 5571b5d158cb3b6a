"""Jobs as values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.states import JobState

LEAVES_NOTHING = frozenset(
    {
        "below_minimum",
        "capture_not_started",
        "channel_map_does_not_fit",
        "encoding_does_not_fit",
        "ended_before_start",
        "interface_unknown",
        "node_did_not_answer",
        "not_claimed",
        "nothing_captured",
        "too_many_channels",
        "window_over",
    }
)
"""Reasons for which a job ends that captured nothing, or kept nothing."""


@dataclass(frozen=True)
class LastAttempt:
    """The newest attempt at a recording, and what decides whether there can be another."""

    id: UUID
    node_id: UUID
    attempt: int
    state: JobState
    settings: JobSettings
    window_ends_at: datetime | None
    """When its plan is over; None for one that runs until somebody stops it."""
    is_window_over: bool
    has_content: bool
    """Whether anything whole of this recording was delivered."""
    may_be_on_node: bool
    """Whether any attempt may have left audio there."""


@dataclass(frozen=True)
class Job:
    """One attempt at making a recording."""

    id: UUID
    recording_id: UUID
    recording_name: str
    folder: str
    """Of the recording."""
    node_id: UUID
    node_name: str | None
    """None for who may not know of the node."""
    attempt: int
    settings: JobSettings
    state: JobState
    wish: Wish
    epoch: int
    phase: Phase | None
    """Only while it is leased, as are the next four."""
    frames: int | None
    uploaded_bytes: int | None
    lease_seconds: float | None
    """Until the lease expires; below 0 once it has, and nobody has heard of the agent for so long."""
    start_frame: int | None
    """Of its take, at which the recording begins."""
    created_at: datetime
    ended_at: datetime | None
    reason: str | None
    message: str | None
    lost_at: datetime | None
    """When its node was last heard of it, where that is why it failed."""
    salvaged_at: datetime | None
    """When content of this attempt came after it had failed, and how much."""
    salvaged_ms: int | None


@dataclass(frozen=True)
class JobCount:
    """Of the jobs in one state."""

    jobs: int
    of_today: int
    """Those that ended within the last 24 hours."""


@dataclass(frozen=True)
class JobEvent:
    """A step in the life of a job."""

    kind: str
    actor: str
    epoch: int
    at: datetime
