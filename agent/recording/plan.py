"""When a recording begins and ends, in this boot's time and in frames of its take."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from agent.owner import clock
from agent.states import Instant, JobState
from protocol.messages import EndReason, Wish

SLACK_NS = 5_000_000_000
"""A device that delivers nothing would never reach a nominal length; then the clock decides."""


@dataclass(frozen=True)
class Plan:
    """What a job says about time. Readings are CLOCK_BOOTTIME nanoseconds."""

    state: JobState

    @property
    def starts_ns(self) -> int | None:
        """Of a planned start."""
        return _reading(self.state.starts_at, self.state.claimed.settings.starts_at)

    @property
    def begins_ns(self) -> int:
        """Of the first frame: the planned start, or when somebody asked for it."""
        starts_ns = self.starts_ns
        return self.state.requested_at.or_now_ns() if starts_ns is None else starts_ns

    @property
    def ends_ns(self) -> int | None:
        """Of a planned end; for a nominal length about, since the device's clock decides."""
        duration_ms = self.state.claimed.settings.duration_ms
        if duration_ms is not None:
            return self.begins_ns + duration_ms * 1_000_000
        return _reading(self.state.ends_at, self.state.claimed.settings.ends_at)

    @property
    def end_frame(self) -> int | None:
        """Of a nominal length, once the recording has begun; it is counted from the press, whatever came before."""
        settings = self.state.claimed.settings
        asked_frame = self.state.start_frame if self.state.press_frame is None else self.state.press_frame
        if settings.duration_ms is None or asked_frame is None:
            return None
        return asked_frame + settings.duration_ms * settings.capture.sample_rate_hz // 1000

    @property
    def preroll_ms(self) -> int:
        """How far the start reaches back: of a press, and of that alone. A retry would take what came after it."""
        claimed = self.state.claimed
        return claimed.settings.preroll_ms if self.starts_ns is None and claimed.attempt == 1 else 0

    @property
    def start_instant(self) -> str | None:
        """What neighbours call the instant of the start."""
        return _instant_name(self.state.claimed.settings.starts_at)

    @property
    def end_instant(self) -> str | None:
        return _instant_name(self.state.claimed.settings.ends_at)

    def is_over(self, now_ns: int, next_frame: int) -> bool:
        """Whether the planned end is reached, by a take that has come to this frame."""
        if self.ends_ns is None:
            return False
        if self.end_frame is not None:
            late_ns = 0
            if self.starts_ns is None and self.state.begun_at is not None:
                late_ns = max(0, self.state.begun_at.or_now_ns() - self.begins_ns)
            return next_frame >= self.end_frame or now_ns >= self.ends_ns + late_ns + SLACK_NS
        return now_ns >= self.ends_ns

    def seconds_to_end(self, now_ns: int) -> float | None:
        return None if self.ends_ns is None else (self.ends_ns - now_ns) / 1e9

    @property
    def end_reason(self) -> EndReason:
        """Why an end was bound of which only the mark is left."""
        if self.state.end_reason is not None:
            return self.state.end_reason
        planned = self.state.has_planned_end and self.state.wish is Wish.RUN
        return EndReason.PLANNED_END if planned else EndReason.STOPPED


def _reading(instant: Instant | None, utc: datetime | None) -> int | None:
    """One that was noted before a reboot is found by the wall clock."""
    if instant is not None and instant.of_this_boot:
        return instant.boottime_ns
    if utc is None:
        return None
    return clock.boottime_ns() + int((utc.timestamp() - time.time()) * 1e9)


def _instant_name(utc: datetime | None) -> str | None:
    return None if utc is None else utc.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
