"""How a device is kept open, with backends that misbehave."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.clock import SleepWatch, boottime_ns
from agent.owner.config import Capture, Interface, OwnerConfig
from agent.owner.device import Device
from agent.owner.events import OwnerEvent
from agent.owner.sources import DeviceError, DeviceGoneError, FormatRefusedError, Sink
from agent.owner.takes import Takes
from agent.owner.trouble import Trouble, read_trouble, write_trouble
from core_rs import PcmFormat, Take
from protocol.timeouts import Timeouts

FORMAT = PcmFormat(2, 48_000, "s16")
TIMEOUTS = replace(Timeouts().scaled(0.02), owner_request=0.5, growth_stalled=0.15)
HASTY = replace(TIMEOUTS, owner_start=0.1)


class FakeBackend:
    """A device whose openings go as they are told, one after the other; the last one goes on for ever.

    An opening that delivers does so once, and from the last one on again and again.
    """

    format = FORMAT

    def __init__(self, *openings: str) -> None:
        self._openings = list(openings)
        self.opened: list[str] = []
        self.closed = 0
        self.restarted = 0
        self._sink: Sink | None = None
        self.let_go = threading.Event()
        self._is_closed = threading.Event()

    def open(self, sink: Sink) -> "FakeBackend":
        opening = self._openings.pop(0) if len(self._openings) > 1 else self._openings[0]
        self.opened.append(opening)
        self._sink = sink
        if opening == "other":
            raise FormatRefusedError("It is there with 1 channel and was captured with 2. Set it back.")
        if opening == "gone":
            raise DeviceGoneError("It is not there. Plug it in.")
        if opening == "hang":
            self.let_go.wait()
        if opening == "die":
            raise SystemExit
        if opening == "raise":
            raise KeyError("nothing that a backend should raise")
        if opening == "fail":
            sink.failed("device_lost")
        if opening == "deliver":
            self._deliver(sink)
        return self

    def _deliver(self, sink: Sink) -> None:
        sink.captured(bytes(4 * 480), 480, boottime_ns())
        if len(self._openings) == 1 and self.opened[-1] in self._openings:
            threading.Thread(target=self._go_on, args=(sink,), daemon=True).start()

    def _go_on(self, sink: Sink) -> None:
        while not self._is_closed.wait(0.01):
            sink.captured(bytes(4 * 480), 480, boottime_ns())

    def restart(self) -> bool:
        self.restarted += 1
        if self.opened[-1] == "wedged" and self._sink:
            self._deliver(self._sink)
        return self.opened[-1] != "not restartable"

    def close(self) -> None:
        if self.opened[-1] == "cling":
            self.let_go.wait()
        self.closed += 1
        if self.opened[-1] == "close badly":
            raise KeyError("nothing that a source should raise")

    def end(self) -> None:
        """Nothing is delivered any more."""
        self._is_closed.set()

    def hook(self, name: str, value: float) -> None:
        raise NotImplementedError


@contextmanager
def kept(
    backend: FakeBackend,
    folder: Path,
    *,
    must_open: bool,
    found: Trouble | None = None,
    kind: type[Device] = Device,
    timeouts: Timeouts = TIMEOUTS,
) -> Iterator[Device]:
    config = OwnerConfig(Interface("fake", "x"), Capture(2, 48_000, "s16"), folder, folder, folder, timeouts)
    device = kind(backend, Takes(config, FORMAT), timeouts, folder, found)
    try:
        device.start(must_open=must_open)
        yield device
    finally:
        backend.let_go.set()
        backend.end()
        device.close()


def kinds(device: Device) -> list[str]:
    return [event.kind for event in device.events.newest()]


def wait_until_opened(backend: FakeBackend, times: int) -> None:
    wait_until(lambda: len(backend.opened) >= times)


def wait_until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(3000):
        if holds():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come so far")


def test_device_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(DeviceGoneError), kept(FakeBackend("gone"), tmp_path, must_open=True):
        pass


def test_device_that_hangs_fails_the_start_within_its_limit(tmp_path: Path) -> None:
    backend = FakeBackend("hang")
    with (
        pytest.raises(DeviceError, match="does not open"),
        kept(backend, tmp_path, must_open=True, timeouts=HASTY),
    ):
        pass


def test_device_that_a_take_waits_for_is_tried_until_it_is_there(tmp_path: Path) -> None:
    backend = FakeBackend("gone", "gone", "deliver")
    with kept(backend, tmp_path, must_open=False) as device:
        wait_until_opened(backend, 3)
        wait_until(lambda: kinds(device) == ["device_lost", "device_returned"])


@pytest.mark.parametrize("silence", ["silent", "fail"])
def test_silent_device_is_closed_and_opened_again(tmp_path: Path, silence: str) -> None:
    backend = FakeBackend("deliver", silence, "deliver")
    with kept(backend, tmp_path, must_open=True):
        wait_until_opened(backend, 3)
        assert backend.closed >= 2


@pytest.mark.parametrize("opening", ["raise", "close badly"])
def test_fault_of_a_library_that_nobody_expected_is_no_reason_to_give_the_device_up(
    tmp_path: Path, opening: str
) -> None:
    backend = FakeBackend("deliver", opening, "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until_opened(backend, 3)
        wait_until(lambda: device.standing == "capturing")


def test_device_that_hangs_when_it_is_opened_again_says_so_until_it_does_not(tmp_path: Path) -> None:
    backend = FakeBackend("deliver", "hang", "deliver")
    with kept(backend, tmp_path, must_open=False, timeouts=HASTY) as device:
        wait_until(lambda: backend.opened == ["deliver", "hang"] and device.is_stuck)
        backend.let_go.set()
        wait_until(lambda: len(backend.opened) == 3)
        wait_until(lambda: not device.is_stuck)


def test_device_that_does_not_let_itself_be_closed_says_so_until_it_does(tmp_path: Path) -> None:
    backend = FakeBackend("cling", "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: device.is_stuck)
        assert backend.opened == ["cling"]
        backend.let_go.set()
        wait_until(lambda: len(backend.opened) == 2)
        wait_until(lambda: not device.is_stuck)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_device_that_nobody_keeps_any_more_is_left_to_another_process(tmp_path: Path) -> None:
    with kept(FakeBackend("die"), tmp_path, must_open=False) as device:
        wait_until(lambda: device.is_stuck)


def test_loss_is_one_condition_from_its_beginning_to_the_first_frames(tmp_path: Path) -> None:
    backend = FakeBackend("deliver", "gone", "gone", "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: kinds(device)[-1:] == ["device_returned"])
        lost, *_, returned = device.events.newest()
    assert lost.kind == "device_stalled"
    assert lost.ended_ns == returned.began_ns > lost.began_ns
    assert "it was opened again; frames flow again after" in lost.message
    assert "it was opened again; frames flow again after" in returned.message


def test_stream_that_stalls_is_started_again_before_the_device_is_opened_again(tmp_path: Path) -> None:
    backend = FakeBackend("wedged")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: "device_returned" in kinds(device))
        assert (backend.opened, backend.closed) == (["wedged"], 0)
        assert "its stream was started again" in device.events.newest()[0].message


class DeliversAsItIsCalledStalled(Device):
    """Its frames come again at the very moment at which it is said for the first time that none come."""

    _has_come = False

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "standing" and value == "stalled" and not self._has_come:
            self._has_come = True
            self.captured(bytes(4 * 480), 480, boottime_ns())


def test_trouble_is_over_also_when_frames_come_as_it_begins(tmp_path: Path) -> None:
    with kept(FakeBackend("wedged"), tmp_path, must_open=True, kind=DeliversAsItIsCalledStalled) as device:
        wait_until(lambda: "device_returned" in kinds(device))
        assert not device.events.newest()[0].lasts


def test_restart_that_does_not_help_is_told_and_not_tried_again_at_once(tmp_path: Path) -> None:
    backend = FakeBackend("silent", "silent", "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: "device_returned" in kinds(device))
        assert backend.restarted == 1
        assert kinds(device)[:3] == ["device_stalled", "device_step", "device_returned"]


def test_device_that_is_opened_in_vain_wants_another_process_that_knows_how_often(tmp_path: Path) -> None:
    with kept(FakeBackend("silent"), tmp_path, must_open=True) as device:
        wait_until(lambda: device.is_stuck)
        device.leave()
        found = read_trouble(tmp_path)
        assert found
        assert (found.event, found.processes) == (device.events.newest()[0], 1)


def test_device_that_is_unplugged_is_no_matter_for_another_process(tmp_path: Path) -> None:
    backend = FakeBackend("deliver", "gone")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until_opened(backend, 12)
        wait_until(lambda: not device.is_stuck)


def test_trouble_that_was_found_ends_under_its_id_with_the_first_frames(tmp_path: Path) -> None:
    trouble = Trouble(OwnerEvent("one", "capture_died", "critical", "The capture died.", 5, None))
    write_trouble(tmp_path, trouble)
    with kept(FakeBackend("deliver"), tmp_path, must_open=False, found=trouble) as device:
        wait_until(lambda: "device_returned" in kinds(device))
        ended = device.events.newest()[0]
    assert (ended.id, ended.began_ns, ended.lasts) == ("one", 5, False)
    assert "another capture process opened it" in ended.message
    assert read_trouble(tmp_path) is None


def test_device_that_returns_in_another_format_is_one_condition_more_until_it_is_itself_again(tmp_path: Path) -> None:
    backend = FakeBackend("deliver", "other", "other", "other", "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: kinds(device)[-1:] == ["device_returned"])
        found = [event for event in device.events.newest() if event.kind == "device_format_changed"]
    assert [event.lasts for event in found] == [False]
    assert found[0].message == "It is there with 1 channel and was captured with 2. Set it back."


def test_overruns_that_follow_closely_are_one_condition_that_counts_them(tmp_path: Path) -> None:
    with kept(FakeBackend("deliver"), tmp_path, must_open=True) as device:
        for _ in range(100):
            device.lost(5, "overrun")
        assert [event.lasts for event in device.events.newest() if event.kind == "device_overrun"] == [True]
    (told,) = [event for event in device.events.newest() if event.kind == "device_overrun"]
    assert (told.lasts, told.message) == (False, "The device dropped 500 frames.")


def test_dropped_frames_that_nobody_counted_are_a_gap_as_long_as_the_clock_says(tmp_path: Path) -> None:
    config = OwnerConfig(Interface("fake", "x"), Capture(2, 48_000, "s16"), tmp_path, tmp_path, tmp_path, TIMEOUTS)
    takes = Takes(config, FORMAT)
    device = Device(FakeBackend("deliver"), takes, TIMEOUTS)
    begun = takes.begin("one", 0, None)
    instant = boottime_ns()
    device.captured(bytes(4 * 480), 480, instant)
    device.skipped("overrun")
    device.captured(bytes(4 * 480), 480, instant + 110_000_000)
    takes.shut("node stopped")
    (gap,) = Take.open(tmp_path / begun.take_id).gaps
    assert (gap.start_frame, gap.frames, gap.cause) == (480, 4_800, "overrun")
    assert gap.uncertainty_frames == 480
    assert kinds(device) == ["device_overrun"]


def test_suspend_of_the_machine_is_a_gap_as_long_as_the_clock_says(tmp_path: Path) -> None:
    config = OwnerConfig(Interface("fake", "x"), Capture(2, 48_000, "s16"), tmp_path, tmp_path, tmp_path, TIMEOUTS)
    takes = Takes(config, FORMAT)
    device = Device(FakeBackend("deliver"), takes, TIMEOUTS)
    begun = takes.begin("one", 0, None)
    instant = boottime_ns() - 90_000_000_000
    device.captured(bytes(4 * 480), 480, instant)
    device.sleep.slept_ns(boottime_ns() - 60_000_000_000, time.monotonic_ns())
    device.captured(bytes(4 * 480), 480, instant + 60_010_000_000)
    device.captured(bytes(4 * 480), 480, instant + 60_020_000_000)
    takes.shut("node stopped")
    (gap,) = Take.open(tmp_path / begun.take_id).gaps
    assert (gap.start_frame, gap.frames, gap.cause) == (480, 60 * 48_000, "suspended")
    assert kinds(device) == ["node_suspended"]
    assert "60.0 s" in device.events.newest()[0].message


def test_late_process_is_no_suspend() -> None:
    watch = SleepWatch()
    for now_ns in (0, 10**9, 100 * 10**9, 100 * 10**9 + 1):
        assert watch.slept_ns(now_ns + 400_000_000 * (now_ns > 0), now_ns) == 0
