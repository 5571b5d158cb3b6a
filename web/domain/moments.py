"""What happened in the course of a recording, placed in its sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from protocol.messages import GapReport, RecordingFacts
from web.domain.health import HealthEvent

LEAD_SECONDS = 3.0
"""Whoever wants to hear a moment begins so long before it."""


@dataclass(frozen=True)
class Moment:
    """A gap, or a health event by its severity."""

    kind: Literal["gap", "info", "warning", "critical"]
    title: str
    message: str
    at_seconds: float | None
    """In the sound; None for what has no place there, such as a fault that was found afterwards."""
    length_seconds: float
    happened_at: datetime | None

    @property
    def hear_from_seconds(self) -> float | None:
        """Where to begin in order to hear it."""
        return None if self.at_seconds is None else max(0.0, self.at_seconds - LEAD_SECONDS)


def moments_in(
    facts: RecordingFacts | None,
    events: Sequence[HealthEvent],
    *,
    started_at: datetime | None,
    length_seconds: float,
) -> list[Moment]:
    """In their order in the sound; those without a place come last.

    An event is placed by its instant, a gap to the frame.
    """
    gaps = [] if facts is None else [_gap(gap, facts.sample_rate_hz) for gap in facts.gaps]
    placed = [_event(event, started_at, length_seconds) for event in events]
    return sorted(gaps + placed, key=lambda moment: (moment.at_seconds is None, moment.at_seconds or 0.0))


def _gap(gap: GapReport, sample_rate_hz: int) -> Moment:
    length = gap.frames / sample_rate_hz
    unsure = f", ± {gap.uncertainty_frames} frames" if gap.uncertainty_frames else ""
    return Moment(
        kind="gap",
        title=f"Gap: {gap.cause.replace('_', ' ')}",
        message=f"{length:.3f} s are missing ({gap.frames} frames{unsure}); there is silence in their place.",
        at_seconds=gap.start_frame / sample_rate_hz,
        length_seconds=length,
        happened_at=None,
    )


def _event(event: HealthEvent, started_at: datetime | None, length_seconds: float) -> Moment:
    at = None if started_at is None else (event.happened_at - started_at).total_seconds()
    return Moment(
        kind=event.severity.value,
        title=event.kind.replace("_", " ").capitalize(),
        message=event.message,
        at_seconds=at if at is not None and 0.0 <= at < length_seconds else None,
        length_seconds=0.0,
        happened_at=event.happened_at,
    )
