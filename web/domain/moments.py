"""What happened in the course of a recording, placed in its sound."""

import math
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
    """Or began."""
    ended_at: datetime | None = None
    lasts: bool = False
    """Whether it is not over."""

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

    An event is placed by its instant, a condition by the part of its span in which there is sound, a gap to the frame.
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
    begin, end = _span(event, started_at, length_seconds)
    is_heard = begin < length_seconds and end >= 0.0
    return Moment(
        kind=event.severity.value,
        title=event.kind.replace("_", " ").capitalize(),
        message=event.message,
        at_seconds=max(begin, 0.0) if is_heard else None,
        length_seconds=min(end, length_seconds) - max(begin, 0.0) if is_heard else 0.0,
        happened_at=event.happened_at,
        ended_at=event.ended_at,
        lasts=event.lasts,
    )


def _span(event: HealthEvent, started_at: datetime | None, length_seconds: float) -> tuple[float, float]:
    """In seconds of the recording. A condition that nobody called over reaches to its end."""
    if started_at is None:
        return math.inf, math.inf
    begin = (event.happened_at - started_at).total_seconds()
    if event.ended_at is not None:
        return begin, (event.ended_at - started_at).total_seconds()
    return begin, length_seconds if event.is_condition else begin
