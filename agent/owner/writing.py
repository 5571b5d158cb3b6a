"""Whether what the device delivers reaches the disk. No clock is read here."""

from agent.owner.events import Events
from core_rs import GrowthGuard
from protocol.timeouts import Timeouts

KIND = "capture_stalled"


class WritingWatch:
    """Tells of a disk that takes nothing, as a condition. One that is full, or failing, is told of by its own name."""

    def __init__(self, events: Events, timeouts: Timeouts) -> None:
        self._events = events
        self._guard = GrowthGuard(timeouts.growth_quiet, timeouts.growth_stalled)
        self._delivering_seconds = 0.0
        self._delivered_frames = 0

    def observe(self, seconds: float, at_ns: int, delivered_frames: int, durable_frame: int | None) -> None:
        """So many seconds later. `durable_frame` is None while there is nothing to write, or it is known why not."""
        if delivered_frames != self._delivered_frames:
            self._delivering_seconds += seconds
        self._delivered_frames = delivered_frames
        growth = self._guard.observe(self._delivering_seconds, durable_frame or 0)
        if durable_frame is None or growth == "growing":
            self._events.end(KIND, at_ns)
        elif growth == "stalled":
            self._events.begin(KIND, "critical", _WORDS, at_ns)


_WORDS = (
    "What is captured does not reach the disk: it takes too long, or hangs. Ten seconds are held in memory, what comes "
    "after is lost. Look into the disk of this node."
)
