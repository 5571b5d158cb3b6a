"""What ends a recording by itself: its length, its size, silence, a full disk; and which end came first.

Decided here as the recording grows, so that it holds with the controller away. Every end that is bound passes `first`.
"""

from dataclasses import dataclass

from agent.owner.handle import OwnerStatus, Silence
from agent.recording.plan import Plan
from agent.states import JobState
from protocol.messages import EndReason


@dataclass(frozen=True)
class End:
    """The first frame that is not part of the recording any more, and why."""

    frame: int
    reason: EndReason


@dataclass(frozen=True)
class Seen:
    """What a limit may hang on, as far as it is known."""

    next_frame: int = 0
    """The take has come to here."""
    silence: Silence | None = None
    """How long each channel has been silent, and up to where that is judged."""
    size_end_frame: int | None = None
    """The rendition is full here."""
    full_since_seconds: float = 0.0
    """For so long no disk has had room."""
    durable_frame: int = 0

    @classmethod
    def of(cls, status: OwnerStatus, size_end_frame: int | None, full_since_seconds: float) -> "Seen":
        return cls(
            next_frame=status.next_frame,
            silence=status.silence,
            size_end_frame=size_end_frame,
            full_since_seconds=full_since_seconds,
            durable_frame=status.durable_frame,
        )


@dataclass(frozen=True)
class Limits:
    """The limits of one recording."""

    state: JobState
    full_ends_after_seconds: float | None = None

    def reached(self, seen: Seen) -> End | None:
        """The earliest end that the take has come to."""
        passed = [end for end in self._ends(seen) if end.frame <= max(seen.next_frame, seen.durable_frame)]
        return min(passed, key=lambda end: end.frame, default=None)

    def first(self, end: End, seen: Seen) -> End:
        """This end, which somebody asked for, or a limit that came before it. At the same frame a plan is kept."""
        earliest = min(self._ends(seen), key=lambda limit: limit.frame, default=end)
        if earliest.frame < end.frame or (earliest.frame == end.frame and end.reason is EndReason.STOPPED):
            return earliest
        return end

    @property
    def length_end_frame(self) -> int | None:
        """Known from the first frame on; gaps count."""
        return self._after(self.state.claimed.settings.limits.length_ms, self.state.start_frame)

    def _ends(self, seen: Seen) -> list[End]:
        """One row a limit; a nominal length is one too, and comes before those at its frame."""
        start_frame = self.state.start_frame or 0
        table = (
            (EndReason.PLANNED_END, Plan(self.state).end_frame),
            (EndReason.LENGTH_LIMIT, self.length_end_frame),
            (EndReason.SIZE_LIMIT, seen.size_end_frame),
            (EndReason.IDLE_LIMIT, self._idle_end_frame(seen)),
            (EndReason.DISK_FULL, seen.durable_frame if self._is_hopeless(seen) else None),
        )
        return [End(max(start_frame, frame), reason) for reason, frame in table if frame is not None]

    def _idle_end_frame(self, seen: Seen) -> int | None:
        """Once the budget has run out: a sound that is not judged yet would begin it anew."""
        silence, channels = seen.silence, sorted(self.state.used_channels)
        if silence is None or not channels or not silence.judged_frame <= seen.next_frame:
            return None
        silent_from = max(self.state.start_frame or 0, silence.since(channels))
        end_frame = self._after(self.state.claimed.settings.limits.idle_ms, silent_from)
        return end_frame if end_frame is not None and end_frame <= silence.judged_frame else None

    def _after(self, ms: int | None, frame: int | None) -> int | None:
        if ms is None or frame is None:
            return None
        return frame + ms * self.state.claimed.settings.capture.sample_rate_hz // 1000

    def _is_hopeless(self, seen: Seen) -> bool:
        return self.full_ends_after_seconds is not None and seen.full_since_seconds > self.full_ends_after_seconds
