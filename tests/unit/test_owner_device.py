"""How a device is kept open, with backends that misbehave."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.owner.clock import boottime_ns
from agent.owner.config import Capture, Interface, OwnerConfig
from agent.owner.device import Device
from agent.owner.sources import DeviceError, DeviceGoneError, Sink
from agent.owner.takes import Takes
from core_rs import PcmFormat, Take
from protocol.timeouts import Timeouts

FORMAT = PcmFormat(2, 48_000, "s16")
TIMEOUTS = replace(Timeouts().scaled(0.02), owner_start=0.5)


class FakeBackend:
    """A device whose openings go as they are told, one after the other; the last one goes on for ever."""

    format = FORMAT

    def __init__(self, *openings: str) -> None:
        self._openings = list(openings)
        self.opened: list[str] = []
        self.closed = 0
        self.let_go = threading.Event()

    def open(self, sink: Sink) -> "FakeBackend":
        opening = self._openings.pop(0) if len(self._openings) > 1 else self._openings[0]
        self.opened.append(opening)
        if opening == "gone":
            raise DeviceGoneError("It is not there. Plug it in.")
        if opening == "hang":
            self.let_go.wait()
        if opening == "raise":
            raise KeyError("nothing that a backend should raise")
        if opening == "fail":
            sink.failed("device_lost")
        if opening == "deliver":
            sink.captured(bytes(4 * 480), 480, boottime_ns())
        return self

    def close(self) -> None:
        if self.opened[-1] == "cling":
            self.let_go.wait()
        self.closed += 1
        if self.opened[-1] == "close badly":
            raise KeyError("nothing that a source should raise")

    def hook(self, name: str, value: float) -> None:
        raise NotImplementedError


@contextmanager
def kept(backend: FakeBackend, folder: Path, *, must_open: bool) -> Iterator[Device]:
    config = OwnerConfig(Interface("fake", "x"), Capture(2, 48_000, "s16"), folder, folder, folder, TIMEOUTS)
    device = Device(backend, Takes(config, FORMAT), TIMEOUTS)
    try:
        device.start(must_open=must_open)
        yield device
    finally:
        backend.let_go.set()
        device.close()


def wait_until_opened(backend: FakeBackend, times: int) -> None:
    wait_until(lambda: len(backend.opened) >= times)


def wait_until(holds: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(1000):
        if holds():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come so far")


def test_device_that_is_not_there_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(DeviceGoneError), kept(FakeBackend("gone"), tmp_path, must_open=True):
        pass


def test_device_that_hangs_fails_the_start_within_its_limit(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="does not open"), kept(FakeBackend("hang"), tmp_path, must_open=True):
        pass


def test_device_that_a_take_waits_for_is_tried_until_it_is_there(tmp_path: Path) -> None:
    backend = FakeBackend("gone", "gone", "deliver")
    with kept(backend, tmp_path, must_open=False) as device:
        wait_until_opened(backend, 3)
        assert [event.kind for event in device.events][:2] == ["device_lost", "device_returned"]


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
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: device.is_stuck)
        assert backend.opened == ["deliver", "hang"]
        backend.let_go.set()
        wait_until(lambda: len(backend.opened) == 3)
        assert not device.is_stuck


def test_device_that_does_not_let_itself_be_closed_says_so_until_it_does(tmp_path: Path) -> None:
    backend = FakeBackend("cling", "deliver")
    with kept(backend, tmp_path, must_open=True) as device:
        wait_until(lambda: device.is_stuck)
        assert backend.opened == ["cling"]
        backend.let_go.set()
        wait_until(lambda: len(backend.opened) == 2)
        assert not device.is_stuck


def test_events_are_numbered_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    with kept(FakeBackend("deliver"), tmp_path, must_open=True) as device:
        for _ in range(100):
            device.lost(5, "overrun")
        numbers = [event.number for event in device.events]
    assert len(numbers) == 32
    assert numbers == sorted(set(numbers))


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
    assert [event.kind for event in device.events] == ["device_overrun"]
