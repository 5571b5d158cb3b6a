"""What the watch over a signal finds in hours of windows, without waiting for one second."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from agent.owner.events import Events, OwnerEvent
from agent.owner.signal import SignalLimits, SignalWatch

RATE = 48_000
WINDOW = RATE // 4
ROOM, SPEECH, FLOOR, ZERO = -62.0, -25.0, -92.0, float("-inf")


@dataclass(frozen=True)
class Levels:
    rms_dbfs: float
    clipped_frames: int = 0
    zero_frames: int = 0
    frozen_frames: int = 1


@dataclass(frozen=True)
class Window:
    boottime_ns: int
    frame: int | None
    frames: int
    repeated_frames: int
    channels: Sequence[Levels]


@dataclass
class Ear:
    """Feeds a watch, window after window."""

    channels: int = 2
    take: bool = True
    events: Events = field(default_factory=Events)
    frame: int = 0
    ns: int = 0

    def __post_init__(self) -> None:
        self.watch = SignalWatch(self.channels, RATE, self.events)
        self._zeros = [0] * self.channels
        self._frozen = [1] * self.channels
        self._repeated = 0

    def hear(
        self,
        seconds: float,
        *rms_dbfs: float,
        frozen: Sequence[int] = (),
        clipped: Sequence[int] = (),
        repeated: bool = False,
    ) -> "Ear":
        """So long, at these levels."""
        for _ in range(round(seconds * 4)):
            self._repeated = self._repeated + WINDOW if repeated else 0
            for number, level in enumerate(rms_dbfs):
                self._zeros[number] = self._zeros[number] + WINDOW if level == ZERO else 0
                self._frozen[number] = self._frozen[number] + WINDOW if number in frozen else 1
            heard = [
                Levels(level, 200 if number in clipped else 0, self._zeros[number], self._frozen[number])
                for number, level in enumerate(rms_dbfs)
            ]
            self.watch.observe(Window(self.ns, self.frame if self.take else None, WINDOW, self._repeated, heard))
            self.skip(0.25)
        return self

    def skip(self, seconds: float) -> "Ear":
        """Nothing is delivered."""
        self.frame += round(seconds * RATE)
        self.ns += round(seconds * 1e9)
        return self

    @property
    def found(self) -> list[tuple[str, int | None]]:
        return [(event.kind, event.channel) for event in self.events.newest()]

    @property
    def lasting(self) -> list[tuple[str, int | None]]:
        return [(event.kind, event.channel) for event in self.events.newest() if event.lasts]

    def only(self) -> OwnerEvent:
        (event,) = self.events.newest()
        return event


def test_exact_zeros_after_sound_have_their_span_to_the_frame() -> None:
    ear = Ear().hear(2, SPEECH, SPEECH).hear(20, ZERO, ZERO).hear(1, SPEECH, SPEECH)
    event = ear.only()
    assert (event.kind, event.severity) == ("exact_zeros", "critical")
    assert (event.began_frame, event.ended_frame) == (2 * RATE, 22 * RATE)
    assert (event.began_ns, event.ended_ns) == (2 * 10**9, 22 * 10**9)


@pytest.mark.parametrize("fault", ["zeros", "frozen", "repeated", "dead", "floor", "low", "clipping"])
def test_every_fault_is_known_within_ten_seconds(fault: str) -> None:
    ear = Ear().hear(30, SPEECH, SPEECH)
    match fault:
        case "zeros":
            ear.hear(9.5, ZERO, ZERO)
        case "frozen":
            ear.hear(9.5, SPEECH, SPEECH, frozen=(0, 1))
        case "repeated":
            ear.hear(9.5, SPEECH, SPEECH, repeated=True)
        case "dead":
            ear.hear(9.5, ROOM, ZERO)
        case "floor":
            ear.hear(9.5, SPEECH, FLOOR)
        case "low":
            ear.hear(9.5, FLOOR, FLOOR)
        case "clipping":
            ear.hear(9.5, SPEECH, SPEECH, clipped=(1,))
    assert ear.lasting


def test_input_that_never_gave_a_sound_is_told_apart_from_one_that_went_silent() -> None:
    ear = Ear().hear(600, ZERO, ZERO)
    assert ear.found == [("no_sound_yet", None)]
    ear.hear(1, SPEECH, SPEECH)
    assert ear.lasting == []
    ear.hear(60, ZERO, ZERO)
    assert ear.lasting == [("exact_zeros", None)]


def test_quiet_room_is_no_fault_however_long() -> None:
    ear = Ear().hear(1800, ROOM, -70.0)
    assert ear.found == []


def test_pauses_between_words_that_a_gate_makes_exactly_zero_are_no_fault() -> None:
    ear = Ear()
    for _ in range(60):
        ear.hear(2, SPEECH, SPEECH).hear(4.5, ZERO, ZERO)
    assert ear.found == []


def test_dead_channel_is_named_and_is_over_with_its_first_sound() -> None:
    ear = Ear().hear(5, SPEECH, SPEECH).hear(60, SPEECH, ZERO)
    assert ear.lasting == [("dead_channel", 1)]
    ear.hear(0.25, SPEECH, ROOM)
    assert ear.lasting == []


def test_channel_at_its_own_floor_is_dead_only_when_the_other_has_sound() -> None:
    ear = Ear().hear(5, SPEECH, SPEECH)
    for _ in range(5):
        ear.hear(1, SPEECH, FLOOR).hear(1, ROOM, FLOOR)
    assert ("dead_channel", 1) not in ear.found
    ear.hear(2, SPEECH, FLOOR)
    assert ("dead_channel", 1) in ear.lasting


def test_silent_partner_in_a_quiet_room_is_no_dead_channel() -> None:
    assert Ear().hear(600, SPEECH, ROOM).found == []


def test_lone_channel_has_no_partner() -> None:
    assert Ear(channels=1).hear(60, SPEECH).found == []
    assert Ear(channels=3).hear(60, SPEECH, SPEECH, ROOM).found == []


def test_all_channels_that_freeze_are_one_fault() -> None:
    ear = Ear().hear(5, SPEECH, SPEECH).hear(10, SPEECH, SPEECH, frozen=(0, 1))
    assert ear.lasting == [("frozen", None)]
    ear.hear(1, SPEECH, SPEECH)
    assert ear.lasting == []


def test_one_channel_that_freezes_is_named() -> None:
    ear = Ear().hear(5, SPEECH, SPEECH).hear(10, SPEECH, SPEECH, frozen=(0,))
    assert ear.only().channel == 0
    assert ear.only().began_frame == 5 * RATE - 1


def test_one_bang_is_no_clipping_and_overload_is() -> None:
    ear = Ear().hear(10, SPEECH, SPEECH).hear(0.5, SPEECH, SPEECH, clipped=(0,)).hear(10, SPEECH, SPEECH)
    assert ear.found == []
    ear.hear(3, SPEECH, SPEECH, clipped=(0,))
    assert ear.lasting == [("clipping", 0)]
    ear.hear(6, SPEECH, SPEECH)
    event = ear.only()
    assert (event.began_frame, event.ended_frame) == (round(20.5 * RATE), round(23.5 * RATE))


def test_level_at_the_edge_does_not_flutter() -> None:
    limits = SignalLimits()
    ear = Ear(channels=1).hear(10, limits.floor_dbfs - 1)
    for _ in range(100):
        ear.hear(1, limits.floor_dbfs + 1).hear(9, limits.floor_dbfs - 1)
    assert ear.found == [("low_level", 0)]
    ear.hear(1, ROOM)
    assert ear.lasting == []


def test_condition_goes_on_over_a_gap_of_the_device_and_keeps_its_begin() -> None:
    ear = Ear().hear(2, SPEECH, SPEECH).hear(8, ZERO, ZERO).skip(30).hear(8, ZERO, ZERO).hear(1, SPEECH, SPEECH)
    event = ear.only()
    assert (event.began_frame, event.ended_frame) == (2 * RATE, 48 * RATE)


def test_without_a_take_there_are_no_frames() -> None:
    ear = Ear(take=False).hear(2, SPEECH, SPEECH).hear(8, ZERO, ZERO)
    assert ear.only().began_frame is None
    assert ear.only().began_ns == 2 * 10**9
    assert ear.watch.silence is None


def test_silence_begins_where_the_last_sound_of_a_channel_ended() -> None:
    ear = Ear().hear(2, SPEECH, SPEECH).hear(3, ROOM, SPEECH).hear(4, ROOM, ROOM)
    silence = ear.watch.silence
    assert silence is not None
    assert silence.judged_frame == 9 * RATE
    assert (silence.since([0]), silence.since([1]), silence.since([0, 1])) == (2 * RATE, 5 * RATE, 5 * RATE)


def test_what_was_not_heard_is_not_known_to_be_silent() -> None:
    ear = Ear().hear(2, SPEECH, SPEECH).hear(5, ROOM, ROOM).skip(30).hear(5, ROOM, ROOM)
    silence = ear.watch.silence
    assert silence is not None
    assert silence.since([0, 1]) == 37 * RATE


def test_dropped_frames_of_an_overrun_do_not_break_a_silence() -> None:
    ear = Ear().hear(2, SPEECH, SPEECH).hear(5, ROOM, ROOM).skip(0.5).hear(5, ROOM, ROOM)
    silence = ear.watch.silence
    assert silence is not None
    assert silence.since([0, 1]) == 2 * RATE


def test_another_take_counts_its_own_frames() -> None:
    ear = Ear().hear(20, SPEECH, SPEECH)
    ear.frame = 0
    ear.hear(1, ROOM, ROOM)
    silence = ear.watch.silence
    assert silence is not None
    assert (silence.judged_frame, silence.since([0, 1])) == (RATE, 0)
