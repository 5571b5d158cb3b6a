"""What an operator should know, and how a recording's end reads in it (J8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from protocol.messages import EndReason, InterfaceRef, Origin, RecordingFacts
from web.domain.endings import CUT_SHORT
from web.domain.states import Health, JobState, Severity

_AS_HEALTH = {Severity.INFO: Health.HEALTHY, Severity.WARNING: Health.WARNING, Severity.CRITICAL: Health.CRITICAL}


@dataclass(frozen=True)
class HealthEvent:
    id: UUID
    node_id: UUID | None
    """None is the controller itself."""
    recording_id: UUID | None
    job_id: UUID | None
    interface: InterfaceRef | None
    kind: str
    severity: Severity
    message: str
    state: Literal["open", "acknowledged", "muted", "resolved"]
    happened_at: datetime
    """Or began."""
    is_condition: bool
    """Whether it is something that lasts for a while, not only happens."""
    ended_at: datetime | None
    """When a condition was over, as far as somebody said so."""
    lasts: bool
    """A condition that is not over, of something that goes on."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, in the words of the controller."""

    kind: str
    severity: Severity
    message: str


def health_of_end(state: JobState, *, was_asked: bool, severities: Iterable[Severity]) -> Health:
    """The health of a recording whose job ended in `state`, never better than its own events.

    `was_asked` says that somebody or the plan wanted this end.
    """
    by_end = Health.HEALTHY
    if state is JobState.FAILED:
        by_end = Health.CRITICAL
    elif not was_asked:
        by_end = Health.WARNING
    return max([by_end, *(_AS_HEALTH[severity] for severity in severities)], key=list(Health).index)


def findings_in(facts: RecordingFacts, origin: Origin) -> list[Finding]:
    """What the facts of a sealed cache file say against it."""
    found = []
    if facts.gaps:
        missing_seconds = sum(gap.frames for gap in facts.gaps) / facts.sample_rate_hz
        count = "1 gap" if len(facts.gaps) == 1 else f"{len(facts.gaps)} gaps"
        found.append(Finding("gap", Severity.WARNING, f"{count}, {missing_seconds:.3f} s missing in all."))
    cut_short = CUT_SHORT.get(facts.end_reason)
    if cut_short is not None and origin in (Origin.NORMAL, Origin.TRUNCATED):
        found.append(Finding(facts.end_reason.replace(" ", "_"), cut_short.severity, cut_short.message))
    elif origin is not Origin.NORMAL:
        found.append(
            Finding(str(origin), Severity.WARNING, f"The content is {origin}: it ended by “{facts.end_reason}”.")
        )
    elif facts.end_reason is EndReason.CAPTURE_DIED:
        found.append(Finding("capture_died", Severity.WARNING, "The capture died before the end that was asked for."))
    if facts.frames and all(level.peak_dbfs is None for level in facts.levels):
        found.append(
            Finding("exact_zeros", Severity.CRITICAL, "Every sample is zero: the input delivered no sound at all.")
        )
    return found
