"""The watch over the signal of one interface: what is no sound is known within ten seconds, a quiet room is left alone.

Nothing here reads a clock: all time comes with the windows that are judged, so hours can be tried in seconds.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.owner.events import Events, Severity


@dataclass(frozen=True)
class SignalLimits:
    """Where sound ends and a fault begins. Seconds are of audio, levels RMS over a window of a quarter of a second."""

    zeros_seconds: float = 5.0
    """No converter gives exact zeros for so long."""
    frozen_seconds: float = 3.0
    """Nor one other value, nor the same buffers again and again."""
    sound_dbfs: float = -50.0
    """From here on somebody speaks, or something happens; below it is as silent as a room gets."""
    floor_dbfs: float = -80.0
    """No open microphone gets below this; what does is muted, unplugged, or turned down."""
    above_floor_db: float = 3.0
    """So much louder than the floor ends what the floor began."""
    low_seconds: float = 8.0
    """On end at the floor."""
    dead_seconds: float = 6.0
    """Altogether, with sound on the other channel of the pair and none on this one."""
    clipping_seconds: float = 5.0
    """Clipping is judged over so long, and over when there was none for so long."""
    clipping_share: float = 0.001
    """Of the frames in that time, at full scale in runs."""
    clipping_windows: int = 4
    """Over so many windows they must spread: a bang is no overload."""
    break_seconds: float = 1.0
    """A longer gap ends every count: what was not heard is not known to be silent."""


class LevelsLike(Protocol):
    """`core_rs.ChannelLevels`."""

    @property
    def rms_dbfs(self) -> float: ...
    @property
    def clipped_frames(self) -> int: ...
    @property
    def zero_frames(self) -> int: ...
    @property
    def frozen_frames(self) -> int: ...


class WindowLike(Protocol):
    """`core_rs.SignalWindow`."""

    @property
    def boottime_ns(self) -> int: ...
    @property
    def frame(self) -> int | None: ...
    @property
    def frames(self) -> int: ...
    @property
    def repeated_frames(self) -> int: ...
    @property
    def channels(self) -> Sequence[LevelsLike]: ...


@dataclass(frozen=True)
class Silence:
    """How long each channel of the take that is being written has been silent, in its frames."""

    judged_frame: int
    """Up to here."""
    since_frames: tuple[int, ...]
    """The end of the last sound of each channel, or where listening began; `judged_frame` while there is sound."""

    def since(self, channels: Sequence[int]) -> int:
        """The end of the last sound on any of these channels."""
        return max(self.since_frames[channel] for channel in channels)


class SignalWatch:
    """Judges windows as they come, and tells what it finds as conditions.

    `no_sound_yet` and `exact_zeros` concern all channels at once, before the first sound and after it; `frozen`
    concerns all or one; `dead_channel`, `low_level` and `clipping` one.
    """

    def __init__(self, channels: int, sample_rate_hz: int, events: Events, limits: SignalLimits | None = None) -> None:
        self._rate = sample_rate_hz
        self._limits = limits or SignalLimits()
        self._events = events
        self._channels = [_Channel() for _ in range(channels)]
        self._repeats = _Run()
        self._lasting: set[tuple[str, int | None]] = set()
        self._has_heard = False
        self._next: _Place | None = None
        self.silence: Silence | None = None
        """None while no take is written."""

    def observe(self, window: WindowLike) -> None:
        start = _Place(window.boottime_ns, window.frame)
        end = start.after(window.frames, self._rate)
        if self._next is None or self._is_broken(self._next, start):
            self._begin_anew()
        self._next = end
        self._repeats.extend(window.repeated_frames, window.frames, end, self._rate)
        for channel, levels in zip(self._channels, window.channels, strict=True):
            channel.extend(levels, window.frames, end, self._rate)
        self._judge_zeros(start)
        self._judge_frozen(start)
        for number in range(len(self._channels)):
            self._judge_level(number, start, end)
            self._judge_clipping(number, start, end)
        self._note_silence(start, end)

    # ---- what is found ----

    def _judge_zeros(self, start: "_Place") -> None:
        runs = [channel.zeros for channel in self._channels]
        if any(channel.moves for channel in self._channels) and not self._repeats.since:
            self._has_heard = True
        is_silent = all(run.lasts(self._limits.zeros_seconds) for run in runs)
        if is_silent and not self._has_heard:
            self._begin("no_sound_yet", "critical", _NO_SOUND_YET, _latest(runs))
        elif is_silent and ("no_sound_yet", None) not in self._lasting:
            self._begin("exact_zeros", "critical", _EXACT_ZEROS, _latest(runs))
        elif not all(run.fills for run in runs):
            self._end("no_sound_yet", start)
            self._end("exact_zeros", start)

    def _judge_frozen(self, start: "_Place") -> None:
        seconds = self._limits.frozen_seconds
        runs = [channel.frozen for channel in self._channels]
        if self._repeats.lasts(seconds):
            self._begin("frozen", "warning", _REPEATED, self._repeats.since)
        elif all(run.lasts(seconds) for run in runs):
            self._begin("frozen", "warning", _FROZEN, _latest(runs))
        elif not self._repeats.fills and not all(run.fills for run in runs):
            self._end("frozen", start)
        for number, run in enumerate(runs):
            if not run.fills:
                self._end("frozen", start, number)
            elif run.lasts(seconds) and ("frozen", None) not in self._lasting:
                self._begin("frozen", "warning", f"Channel {number + 1}: {_FROZEN}", run.since, number)

    def _judge_level(self, number: int, start: "_Place", end: "_Place") -> None:
        limits, channel = self._limits, self._channels[number]
        seconds = (end.ns - start.ns) / 1e9
        if channel.rms_dbfs > limits.floor_dbfs:
            channel.low_since = channel.dead_since = None
            channel.dead_seconds = 0.0
        else:
            channel.low_since = None if channel.zeros.fills else channel.low_since or start
            if self._partner_sounds(number):
                channel.dead_since = channel.dead_since or start
                channel.dead_seconds += seconds
        others_move = any(other.moves for other in self._channels if other is not channel)
        words = f"Channel {number + 1} {_DEAD}"
        if channel.dead_seconds >= limits.dead_seconds:
            self._begin("dead_channel", "warning", words, channel.dead_since, number)
        elif others_move and channel.zeros.lasts(limits.zeros_seconds):
            self._begin("dead_channel", "warning", words, channel.zeros.since, number)
        low_seconds = (end.ns - channel.low_since.ns) / 1e9 if channel.low_since else 0.0
        if low_seconds >= limits.low_seconds and ("dead_channel", number) not in self._lasting:
            self._begin("low_level", "warning", f"Channel {number + 1} {_LOW}", channel.low_since, number)
        if channel.rms_dbfs > limits.floor_dbfs + limits.above_floor_db:
            self._end("dead_channel", start, number)
        if channel.rms_dbfs > limits.floor_dbfs + limits.above_floor_db or channel.zeros.fills:
            self._end("low_level", start, number)

    def _judge_clipping(self, number: int, start: "_Place", end: "_Place") -> None:
        limits, recent = self._limits, self._channels[number].clipped
        if clipped_frames := self._channels[number].clipped_frames:
            recent.append((start, end, clipped_frames))
        while recent and (end.ns - recent[0][1].ns) / 1e9 >= limits.clipping_seconds:
            _, last, _ = recent.popleft()
            if not recent:
                self._end("clipping", last, number)
        share = sum(frames for _, _, frames in recent) / (limits.clipping_seconds * self._rate)
        if len(recent) >= limits.clipping_windows and share >= limits.clipping_share:
            self._begin("clipping", "warning", f"Channel {number + 1} {_CLIPPING}", recent[0][0], number)

    def _note_silence(self, start: "_Place", end: "_Place") -> None:
        """A new take has other frames, so that everything counts from its first one."""
        if start.frame is None or end.frame is None:
            self.silence = None
            for channel in self._channels:
                channel.heard_to = None
            return
        for channel in self._channels:
            if channel.sounds(self._limits.sound_dbfs):
                channel.heard_to = end.frame
            elif channel.heard_to is None:
                channel.heard_to = start.frame
        self.silence = Silence(end.frame, tuple(channel.heard_to or 0 for channel in self._channels))

    # ---- how ----

    def _is_broken(self, expected: "_Place", found: "_Place") -> bool:
        if expected.frame is not None and found.frame is not None:
            missing = found.frame - expected.frame
            return not 0 <= missing <= self._limits.break_seconds * self._rate
        return abs(found.ns - expected.ns) / 1e9 > self._limits.break_seconds

    def _begin_anew(self) -> None:
        for channel in self._channels:
            channel.begin_anew()

    def _partner_sounds(self, number: int) -> bool:
        partner = number ^ 1
        return partner < len(self._channels) and self._channels[partner].sounds(self._limits.sound_dbfs)

    def _begin(
        self, kind: str, severity: Severity, message: str, since: "_Place | None", channel: int | None = None
    ) -> None:
        if since is None or (kind, channel) in self._lasting:
            return
        self._lasting.add((kind, channel))
        self._events.begin(kind, severity, message, since.ns, channel=channel, frame=since.frame)

    def _end(self, kind: str, at: "_Place", channel: int | None = None) -> None:
        if (kind, channel) in self._lasting:
            self._lasting.discard((kind, channel))
            self._events.end(kind, at.ns, channel=channel, frame=at.frame)


@dataclass(frozen=True)
class _Place:
    ns: int
    frame: int | None

    def after(self, frames: int, rate: int) -> "_Place":
        """So many frames later, or earlier."""
        frame = None if self.frame is None else max(0, self.frame + frames)
        return _Place(self.ns + frames * 1_000_000_000 // rate, frame)


@dataclass
class _Run:
    """Something that goes on without a break, up to the newest frame."""

    since: _Place | None = None
    seconds: float = 0.0
    fills: bool = False
    """The whole newest window."""

    def extend(self, run_frames: int, window_frames: int, end: _Place, rate: int) -> None:
        self.fills = run_frames >= window_frames
        if not self.fills or self.since is None:
            self.since = end.after(-run_frames, rate) if run_frames > 1 else None
        self.seconds = run_frames / rate

    def lasts(self, seconds: float) -> bool:
        return self.since is not None and self.seconds >= seconds


@dataclass
class _Channel:
    zeros: _Run = field(default_factory=_Run)
    frozen: _Run = field(default_factory=_Run)
    rms_dbfs: float = float("-inf")
    clipped_frames: int = 0
    clipped: deque[tuple[_Place, _Place, int]] = field(default_factory=deque)
    """Windows with clipped frames, no older than clipping is judged over."""
    low_since: _Place | None = None
    dead_since: _Place | None = None
    dead_seconds: float = 0.0
    heard_to: int | None = None

    def extend(self, levels: LevelsLike, frames: int, end: _Place, rate: int) -> None:
        self.zeros.extend(levels.zero_frames, frames, end, rate)
        self.frozen.extend(levels.frozen_frames, frames, end, rate)
        self.rms_dbfs = levels.rms_dbfs
        self.clipped_frames = levels.clipped_frames

    @property
    def moves(self) -> bool:
        """Whether anything but one value came in the newest window."""
        return not self.zeros.fills and not self.frozen.fills

    def sounds(self, sound_dbfs: float) -> bool:
        return self.moves and self.rms_dbfs >= sound_dbfs

    def begin_anew(self) -> None:
        self.low_since = self.dead_since = self.heard_to = None
        self.dead_seconds = 0.0


def _latest(runs: Sequence[_Run]) -> _Place | None:
    return max((run.since for run in runs if run.since), key=lambda place: place.ns, default=None)


_NO_SOUND_YET = (
    "The input has delivered nothing but exact zeros since its capture began. Check that it is not muted, and that the "
    "right input is chosen."
)
_EXACT_ZEROS = "The input went silent: it delivers exact zeros. Check that it is not muted, and its cable."
_FROZEN = "The input delivers one and the same value. Unplug the device and plug it in again."
_REPEATED = "The device delivers the same piece of sound again and again. Unplug it and plug it in again."
_DEAD = "delivers nothing while others have sound. Check its microphone and cable."
_LOW = "is quieter than any open microphone. Check that it is plugged in and turned up."
_CLIPPING = "is too loud and distorted. Turn its gain down."
