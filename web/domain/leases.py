"""Who may still report on a job, and deliver to it."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal
from uuid import UUID

from protocol.messages import Origin, Phase, Wish
from web.domain.errors import (
    ConflictError,
    EpochSupersededError,
    JobEndedError,
    NodeRunSupersededError,
    NotYoursError,
)
from web.domain.states import JobState, RecordingState

_WISHES = (Wish.RUN, Wish.STOP, Wish.CANCEL)


@dataclass(frozen=True)
class HeldJob:
    """A job as it stands, as far as it decides what may happen to it."""

    id: UUID
    recording_id: UUID
    node_id: UUID
    state: JobState
    wish: Wish
    epoch: int
    reason: str | None
    is_wanted_again: bool = False
    """What it delivered was damaged here, and nothing else stands for its recording."""

    @property
    def was_asked_to_end(self) -> bool:
        return self.wish is not Wish.RUN


@dataclass(frozen=True)
class LostJob:
    """A job whose lease ran out longer ago than its phase allows."""

    id: UUID
    recording_id: UUID
    node_id: UUID
    node_name: str
    epoch: int
    wish: Wish
    phase: Phase
    last_renewed_at: datetime


@dataclass(frozen=True)
class UnclaimedJob:
    """A due start that no node took in time."""

    id: UUID
    recording_id: UUID
    node_id: UUID
    node_name: str
    epoch: int
    is_node_seen: bool
    is_node_draining: bool
    window: Literal["none", "open", "over"]
    """Of its plan, if it has one; while it is open the job can be taken late."""


class Delivery(Enum):
    """As what content of a job is taken."""

    RESULT = "result"
    SALVAGE = "salvage"
    """Late, of a job that failed."""
    REPLACEMENT = "replacement"
    """In place of what was damaged here after its seal, or lacks a part."""


def rises(wish: Wish, to: Wish) -> bool:
    """Whether `to` is more than `wish`. Wishes only rise."""
    return _WISHES.index(to) > _WISHES.index(wish)


def recording_state_in(phase: Phase) -> RecordingState:
    """What the recording is while its job is in this phase."""
    match phase:
        case Phase.STARTING:
            return RecordingState.QUEUED
        case Phase.CAPTURING:
            return RecordingState.RECORDING
        case Phase.FINISHING | Phase.UPLOADING:
            return RecordingState.FINISHING


def require_run(node_run: int, current_run: int) -> None:
    """Raises NodeRunSupersededError for any run but the current one."""
    if node_run != current_run:
        raise NodeRunSupersededError(node_run, current_run)


def require_own(job: HeldJob, node_id: UUID) -> None:
    """Raises NotYoursError for the job of another node."""
    if job.node_id != node_id:
        raise NotYoursError(job.id, node_id)


def require_live(job: HeldJob, *, epoch: int) -> None:
    """Raises EpochSupersededError for any epoch but the current one, JobEndedError after the end."""
    if epoch != job.epoch:
        raise EpochSupersededError(job.id, epoch, job.epoch)
    if job.state is not JobState.RUNNING:
        raise JobEndedError(job.id, job.state, job.reason)


def delivery_of(job: HeldJob, *, epoch: int, origin: Origin) -> Delivery:
    """As what content is taken that a node offers for this job.

    Salvage comes from a node that held the job once. Raises as require_live when content is none of these, and
    ConflictError when somebody asked for the end without delivering.
    """
    is_wanted = job.wish is not Wish.CANCEL
    if origin is Origin.SALVAGED and job.state is JobState.FAILED and is_wanted and 1 <= epoch <= job.epoch:
        return Delivery.SALVAGE
    if job.is_wanted_again and epoch == job.epoch:
        return Delivery.REPLACEMENT
    require_live(job, epoch=epoch)
    if not is_wanted:
        raise ConflictError("This recording is to be cancelled; its content is not wanted.")
    return Delivery.RESULT
