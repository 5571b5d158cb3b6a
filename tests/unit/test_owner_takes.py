"""The takes of an interface, driven by hand: no device, no process, time as an argument."""

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.clock import Reading, boottime_ns
from agent.owner.config import Capture, Interface, OwnerConfig
from agent.owner.takes import RefusedError, Takes
from core_rs import PcmFormat, Take, counter_pcm
from protocol.timeouts import Timeouts

RATE = 48_000
TIMEOUTS = Timeouts()


class Bench:
    """Takes that are fed with a counter whose frame 1 was captured at `epoch_ns`."""

    def __init__(
        self, folder: Path, interface: str = "counter", timeouts: Timeouts = TIMEOUTS, rate: int = RATE
    ) -> None:
        self.folder = folder
        self.rate = rate
        self.config = OwnerConfig(
            Interface("synthetic", interface), Capture(2, rate, "s16"), folder, folder / "takes", folder, timeouts
        )
        self.takes = Takes(self.config, PcmFormat(2, rate, "s16"))
        self.epoch_ns = boottime_ns() - 10_000_000_000
        self.counter = 1

    def feed(self, frames: int) -> None:
        self.takes.captured(counter_pcm(self.counter, frames), self.instant(self.counter))
        self.counter += frames

    def instant(self, counter: int) -> int:
        return self.epoch_ns + (counter - 1) * 1_000_000_000 // self.rate

    def feed_seconds(self, seconds: int) -> None:
        """Never faster than it becomes durable, so that the ring holds it."""
        for _ in range(seconds * 4):
            self.feed(self.rate // 4)
            if running := self.takes.running:
                while running.writer.durable_frame < running.writer.next_frame - self.rate // 2:
                    time.sleep(0.002)
            self.takes.tick(self.instant(self.counter) / 1e9)

    def successor(self) -> "Bench":
        """The owner after this one has died."""
        follower = Bench(self.folder)
        follower.epoch_ns, follower.counter = self.epoch_ns, self.counter
        follower.takes.recover()
        return follower

    def tick_after(self, seconds: float) -> None:
        self.takes.tick(boottime_ns() / 1e9 + seconds)

    def take(self, take_id: str) -> Take:
        return Take.open(self.folder / "takes" / take_id)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_nothing_is_written_before_a_recording_needs_it(bench: Bench) -> None:
    bench.feed(1024)
    assert bench.takes.running is None
    assert not (bench.folder / "takes").exists()


def test_first_recording_begins_a_take_at_the_next_frame(bench: Bench) -> None:
    bench.feed(1024)
    begun = bench.takes.begin("a", bench.instant(500), None)
    bench.feed(1024)
    assert begun.start_frame == 0
    bench.takes.shut("node stopped")
    take = bench.take(begun.take_id)
    assert take.read(0, 1024) == counter_pcm(1025, 1024)
    assert take.marks["start:a"] == 0
    assert take.end
    assert (take.end.reason, take.end.end_frame) == ("node stopped", 1024)


def test_second_recording_begins_at_its_instant_in_the_same_take(bench: Bench) -> None:
    first = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    second = bench.takes.begin("b", bench.instant(2401), None)
    assert second.take_id == first.take_id
    assert second.start_frame == 2400


def test_start_before_the_take_begins_with_it(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    assert bench.takes.begin("b", bench.instant(1) - 5_000_000_000, None).start_frame == 0


def test_begin_gives_the_same_answer_ever_after(bench: Bench) -> None:
    first = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    assert bench.takes.begin("a", bench.instant(3000), None) == first
    bench.takes.end("a", None, 4800, None)
    again = bench.takes.begin("a", bench.instant(4000), None)
    assert (again.take_id, again.start_frame) == (first.take_id, first.start_frame)
    bench.takes.shut("node stopped")
    late = bench.successor().takes.begin("a", bench.instant(4000), None)
    assert (late.take_id, late.start_frame) == (first.take_id, first.start_frame)


def test_first_end_stays(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    assert bench.takes.end("a", bench.instant(2401), None, None) == 2400
    assert bench.takes.end("a", None, 4000, None) == 2400


def test_end_before_the_start_is_an_empty_recording(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    bench.takes.begin("b", bench.instant(2401), None)
    assert bench.takes.end("b", bench.instant(1), None, None) == 2400


def test_neighbours_that_meet_at_an_instant_share_its_frame(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    end_frame = bench.takes.end("a", bench.instant(2401), None, "2026-01-01T00:00:00.000000Z")
    begun = bench.takes.begin("b", bench.instant(2450), "2026-01-01T00:00:00.000000Z")
    assert begun.start_frame == end_frame == 2400


def test_end_ahead_keeps_the_need_until_the_take_gets_there(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    assert bench.takes.end("a", None, 2000, None) == 2000
    bench.tick_after(0)
    assert bench.takes.needs == ["a"]
    bench.feed(1024)
    bench.tick_after(0)
    assert bench.takes.needs == []


def test_unneeded_take_lingers_and_then_closes(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.takes.end("a", None, 1024, None)
    bench.tick_after(0)
    bench.tick_after(TIMEOUTS.take_linger - 1)
    assert bench.takes.running
    bench.tick_after(TIMEOUTS.take_linger + 1)
    assert bench.takes.running is None
    end = bench.take(begun.take_id).end
    assert end
    assert end.reason == "no longer needed"


def test_recording_that_begins_while_the_take_lingers_keeps_it(bench: Bench) -> None:
    first = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.takes.end("a", None, 1024, None)
    bench.tick_after(0)
    second = bench.takes.begin("b", bench.instant(1025), None)
    bench.tick_after(TIMEOUTS.take_linger + 1)
    assert bench.takes.running
    assert second.take_id == first.take_id


def test_dropped_recording_needs_nothing_and_has_no_end(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.takes.drop("a")
    bench.takes.drop("a")
    bench.takes.drop("never begun")
    assert bench.takes.needs == []
    bench.takes.shut("node stopped")
    assert "end:a" not in bench.take(begun.take_id).marks


def test_end_of_what_was_never_begun_is_refused(bench: Bench) -> None:
    with pytest.raises(RefusedError) as refusal:
        bench.takes.end("a", None, None, None)
    assert refusal.value.code == "unknown_recording"


def test_take_that_closes_under_a_recording_ends_it(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.takes.shut("node stopped")
    assert bench.takes.end("a", None, None, None) == 1024


def test_no_take_begins_after_the_end_was_asked_for(bench: Bench) -> None:
    bench.takes.shut("node stopped")
    with pytest.raises(RefusedError) as refusal:
        bench.takes.begin("a", bench.instant(1), None)
    assert refusal.value.code == "ending"


def test_take_notes_the_clock_at_start_and_end_and_in_between(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.tick_after(0)
    bench.tick_after(1)
    bench.tick_after(TIMEOUTS.clock_pair + 1)
    bench.takes.shut("node stopped")
    assert len(bench.take(begun.take_id).clock_pairs) == 3


def test_recording_that_ends_while_the_device_is_silent_is_complete_at_once(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.epoch_ns = boottime_ns() - 100_000_000
    bench.feed(2400)
    bench.takes.interrupted("device_lost")
    end_frame = bench.takes.end("a", bench.instant(3601), None, None)
    bench.tick_after(0)
    assert bench.takes.needs == []
    bench.counter = 12_001
    bench.feed(1000)
    bench.takes.shut("node stopped")
    take = bench.take(begun.take_id)
    assert end_frame == 3600
    assert [(gap.start_frame, gap.frames, gap.cause) for gap in take.gaps] == [
        (2400, 1200, "device_lost"),
        (3600, 8400, "device_lost"),
    ]
    assert take.read(12_000, 13_000) == counter_pcm(12_001, 1000)


def test_take_that_ends_while_the_device_is_silent_lists_the_silence(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.epoch_ns = boottime_ns() - 2_000_000_000
    bench.feed(48_000)
    bench.takes.interrupted("device_stalled")
    bench.takes.shut("node stopped")
    take = bench.take(begun.take_id)
    assert take.end
    most_frames = (boottime_ns() - bench.epoch_ns) * RATE // 1_000_000_000
    assert 2 * RATE - 4_800 <= take.end.end_frame <= most_frames + 4_800
    assert take.end.gap_frames == take.end.end_frame - 48_000


def test_drain_that_is_too_slow_is_written_as_a_kill(tmp_path: Path) -> None:
    hurried = Bench(tmp_path, timeouts=replace(TIMEOUTS, owner_drain=0.000001, flush=5.0))
    begun = hurried.takes.begin("a", hurried.instant(1), None)
    hurried.feed(96_000)
    hurried.takes.shut("node stopped")
    take = hurried.take(begun.take_id)
    while take.end is None:
        take = hurried.take(begun.take_id)
    assert not take.end.drained


def test_unfinished_take_is_found_behind_a_hundred_newer_ones(bench: Bench) -> None:
    old = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    other = Bench(bench.folder, "tone")
    for number in range(100):
        other.takes.begin(str(number), boottime_ns(), None)
        other.takes.tick(boottime_ns() / 1e9)
        other.takes.drop(str(number))
        other.tick_after(TIMEOUTS.take_linger + 1)
    running = bench.successor().takes.running
    assert running
    assert running.take_id == old.take_id


def test_ends_that_meet_close_the_take_once(tmp_path: Path) -> None:
    for turn in range(30):
        bench = Bench(tmp_path / str(turn))
        begun = bench.takes.begin("a", bench.instant(1), None)
        bench.feed(1024)
        ends: list[Callable[[], object]] = [
            lambda takes=bench.takes: takes.shut("node stopped"),
            lambda takes=bench.takes: takes.shut("disarmed"),
            lambda takes=bench.takes: takes.end("a", None, 512, None),
            lambda takes=bench.takes: takes.tick(boottime_ns() / 1e9 + 100),
            lambda takes=bench.takes: takes.interrupted("device_lost"),
        ]
        with ThreadPoolExecutor(len(ends)) as pool:
            for end in [pool.submit(end) for end in ends]:
                end.result()
        take = bench.take(begun.take_id)
        assert take.end
        assert take.end.reason in {"node stopped", "disarmed", "no longer needed"}
        assert (tmp_path / str(turn) / "takes" / begun.take_id / "ledger").read_text().count('"entry":"end"') == 1


def test_release_keeps_what_a_recording_still_needs(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    assert bench.takes.release(begun.take_id, 4800) == 0
    with pytest.raises(RefusedError) as refusal:
        bench.takes.release("another", 0)
    assert refusal.value.code == "take_closed"


def test_sealed_take_of_another_interface_is_left_alone(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(1024)
    bench.takes.shut("node stopped")
    other = Bench(bench.folder, "tone")
    other.takes.recover()
    assert not other.takes.knows("a")


def test_take_that_could_not_be_written_goes_on_once_the_disk_has_room(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeouts=replace(TIMEOUTS, flush=0.001))
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    running = bench.takes.running
    assert running
    wait_until(lambda: running.writer.durable_frame == 4800)
    with no_file_longer_than(5_000):
        bench.feed(48_000)
        wait_until(lambda: running.writer.fault is not None)
    bench.tick_after(0)
    bench.feed(4800)
    assert bench.takes.end("a", None, begun.start_frame + 57_600, None) == 57_600
    bench.tick_after(TIMEOUTS.take_linger + 1)
    bench.takes.shut("node stopped")
    take = bench.take(begun.take_id)
    assert take.end
    assert (take.end.end_frame, take.end.drained) == (57_600, True)
    assert [gap.cause for gap in take.gaps] == ["write_error"]
    assert take.read(52_800, 57_600) == counter_pcm(52_801, 4800)


def test_successor_does_not_capture_beside_a_needed_take_that_cannot_be_written(bench: Bench) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    follower = Bench(bench.folder)
    with no_file_longer_than(10), pytest.raises(OSError, match="large"):
        follower.takes.recover()
    again = bench.successor()
    assert again.takes.running
    assert (again.takes.running.take_id, again.takes.needs) == (begun.take_id, ["a"])


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wait_until(question: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# ---- clocks ----


@pytest.mark.parametrize("step_seconds", [1, -1, 3600, -3600, 86_400 * 365])
def test_wall_clock_that_is_set_moves_no_frame_and_is_in_the_map_with_both_its_sides(
    bench: Bench, step_seconds: int
) -> None:
    begun = bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    at, utc = bench.instant(4801), time.time_ns()
    bench.takes.tick(at / 1e9, Reading(at, utc))
    stepped = Reading(at + 250_000_000, utc + 250_000_000 + step_seconds * 10**9)
    bench.takes.tick(stepped.boottime_ns / 1e9, stepped)
    bench.takes.tick(stepped.boottime_ns / 1e9, stepped)
    bench.feed(4800)
    bench.takes.end("a", None, 9600, None)
    bench.takes.shut("node stopped")
    take = bench.take(begun.take_id)
    assert take.read(0, 9600) == counter_pcm(1, 9600)
    assert take.gaps == []
    sides = [pair for pair in take.clock_pairs if pair.boottime_ns == stepped.boottime_ns]
    assert [pair.utc_ns for pair in sides] == [utc + 250_000_000, stepped.utc_ns]
    assert sides[0].frame == sides[1].frame
    (event,) = bench.takes.events.newest()
    assert (event.kind, event.began_ns) == ("clock_stepped", stepped.boottime_ns)
    assert f"{abs(step_seconds)}.000 s" in event.message


def test_slewing_clock_and_a_little_jitter_are_no_step(bench: Bench) -> None:
    bench.takes.begin("a", bench.instant(1), None)
    bench.feed(4800)
    at, utc = bench.instant(4801), time.time_ns()
    for second in range(1000):
        slew = second * 500_000 + (second % 7) * 3_000_000
        bench.takes.tick(at / 1e9, Reading(at + second * 10**9, utc + second * 10**9 + slew))
    assert bench.takes.events.newest() == []


# ---- armed interfaces ----

BRIEF = replace(Timeouts(), ring=2.0, segment=1.0, flush=0.02, take_linger=1.0)


@pytest.mark.parametrize("rate", [8_000, 44_100, 96_000])
def test_start_reaches_back_exactly_its_preroll_over_ring_and_segments(tmp_path: Path, rate: int) -> None:
    bench = Bench(tmp_path, timeouts=BRIEF, rate=rate)
    bench.feed(1024)
    bench.takes.arm(3_000)
    bench.feed_seconds(6)
    pressed = bench.counter - rate // 3
    begun = bench.takes.begin("a", bench.instant(pressed), None, preroll_ms=2_500)
    assert (begun.start_frame, begun.press_frame) == (pressed - 1025 - rate * 5 // 2, pressed - 1025)
    end_frame = bench.takes.end("a", bench.instant(pressed + 100), None, None)
    bench.takes.shut("node stopped")
    heard = bench.take(begun.take_id).read(begun.start_frame, end_frame)
    assert heard == counter_pcm(pressed - rate * 5 // 2, rate * 5 // 2 + 100)


def test_armed_take_holds_its_preroll_and_a_segment_more_at_most(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeouts=BRIEF)
    bench.takes.arm(2_000)
    held = []
    for _ in range(8):
        bench.feed_seconds(1)
        running = bench.takes.running
        assert running
        files = sorted(running.folder.glob("*.wav"))
        held.append(sum(path.stat().st_size for path in files) / 4 / RATE)
    assert all(seconds >= 2 for seconds in held[2:])
    assert max(held) <= 2 + 1 + BRIEF.take_linger + 2 * 0.25 + 0.1
    assert bench.takes.needs == []


def test_start_reaches_back_no_further_than_the_arming(bench: Bench) -> None:
    bench.takes.begin("before", bench.instant(1), None)
    bench.feed(4800)
    bench.takes.arm(60_000)
    bench.feed(4800)
    begun = bench.takes.begin("a", bench.instant(7201), None, preroll_ms=1_000)
    assert (begun.start_frame, begun.press_frame) == (4800, 7200)


def test_interface_that_is_not_armed_is_not_reached_back_into(bench: Bench) -> None:
    bench.takes.begin("before", bench.instant(1), None)
    bench.feed(9600)
    begun = bench.takes.begin("a", bench.instant(4801), None, preroll_ms=50)
    assert (begun.start_frame, begun.press_frame) == (4800, 4800)


def test_reach_of_a_start_is_the_same_answer_ever_after_also_from_the_next_owner(bench: Bench) -> None:
    bench.takes.arm(1_000)
    bench.feed(9600)
    begun = bench.takes.begin("a", bench.instant(9601), None, preroll_ms=100)
    bench.feed(4800)
    assert bench.takes.begin("a", bench.instant(12_000), None, preroll_ms=100) == begun
    bench.takes.shut("node stopped")
    assert bench.successor().takes.begin("a", bench.instant(12_000), None, preroll_ms=0) == begun


def test_disarming_closes_what_nobody_needs_and_no_recording(bench: Bench) -> None:
    bench.takes.arm(1_000)
    bench.feed(4800)
    bench.takes.arm(0)
    assert bench.takes.running is None
    bench.takes.arm(1_000)
    bench.takes.begin("a", bench.instant(4801), None)
    bench.takes.arm(0)
    assert bench.takes.needs == ["a"]


def test_recordings_hold_an_armed_take_until_they_are_released(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeouts=BRIEF)
    bench.takes.arm(500)
    bench.feed_seconds(1)
    begun = bench.takes.begin("a", bench.instant(RATE // 2), None)
    bench.takes.end("a", bench.instant(RATE), None, None)
    bench.feed_seconds(6)
    take = bench.take(begun.take_id)
    assert take.held_from_frame <= begun.start_frame
    held_from_frame = bench.takes.release(begun.take_id, 7 * RATE)
    assert begun.start_frame < held_from_frame <= 5.5 * RATE, "what a start may want stays"
    bench.feed_seconds(1)
    take = bench.take(begun.take_id)
    assert 3 * RATE < take.held_from_frame <= bench.counter - RATE // 2


def test_armed_take_that_undelivered_recordings_hold_for_long_is_followed_by_another(tmp_path: Path) -> None:
    bench = Bench(tmp_path, timeouts=replace(BRIEF, orphan_capture=2.0))
    bench.takes.arm(500)
    bench.feed_seconds(1)
    begun = bench.takes.begin("a", bench.instant(RATE // 2), None)
    bench.takes.end("a", bench.instant(RATE), None, None)
    bench.feed_seconds(6)
    assert bench.takes.running
    assert bench.takes.running.take_id != begun.take_id
    assert bench.take(begun.take_id).held_from_frame <= begun.start_frame
    assert bench.takes.preroll_ms == 500
