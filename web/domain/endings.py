"""How a job and its recording end together."""

from dataclasses import dataclass
from datetime import datetime

from protocol.messages import EndReason, Origin
from web.domain.states import Health, JobState, Mark, Severity


@dataclass(frozen=True)
class CutShort:
    """An end before the one that was asked for, of content that is good up to there."""

    severity: Severity
    """Of the event that tells of it."""
    message: str


CUT_SHORT: dict[EndReason, CutShort] = {
    EndReason.LENGTH_LIMIT: CutShort(
        Severity.WARNING, "It ended by itself at its limit of length. What was said later is not on record."
    ),
    EndReason.SIZE_LIMIT: CutShort(
        Severity.WARNING, "It ended by itself at its limit of size. What was said later is not on record."
    ),
    EndReason.IDLE_LIMIT: CutShort(Severity.INFO, "It ended by itself after so long a silence as its limit says."),
    EndReason.DISK_FULL: CutShort(
        Severity.CRITICAL, "It ended since its node had no space left. What was said later is not on record."
    ),
}
"""A silence that ends a recording is what was wanted; a limit of length or size only protects, so that somebody should
look whether the end came too early."""


def was_planned(reason: EndReason) -> bool:
    """Whether a recording that ended so ended as it was meant to, although nobody asked for it at that moment."""
    return reason in (EndReason.PLANNED_END, EndReason.IDLE_LIMIT)


def mark_of(origin: Origin, reason: EndReason) -> Mark | None:
    """What is said of the content, besides how the recording ended."""
    if origin is not Origin.NORMAL:
        return Mark(origin.value)
    return Mark.TRUNCATED if reason in CUT_SHORT else None


@dataclass(frozen=True)
class Ending:
    """Mark, duration and start are of an end with content only."""

    state: JobState
    reason: str
    """One word for programs."""
    message: str | None
    """The same in words, with what can be done; None when all is well."""
    health: Health
    mark: Mark | None = None
    duration_ms: int | None = None
    started_at: datetime | None = None
    lost_at: datetime | None = None
    """Of an end for want of contact: when the node was last heard of the job."""
