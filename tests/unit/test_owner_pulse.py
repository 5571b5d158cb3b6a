"""What is believed of a sound server, and what of its streams."""

import threading
from pathlib import Path

import pytest

from agent.owner.holding import Holding
from agent.owner.pulse import PlaceWatch, ServerSilentError, own_place, pulse_sources
from tests.fake_pactl import FakePactl
from tests.unit.test_owner_holding import period


class FakeSink:
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.has_failed = threading.Event()
        self.captures = 0

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        self.captures += 1

    def lost(self, frames: int, cause: str) -> None:
        raise AssertionError

    def skipped(self, cause: str) -> None:
        raise AssertionError

    def failed(self, cause: str) -> None:
        self.failures.append(cause)
        self.has_failed.set()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakePactl:
    made = FakePactl(tmp_path / "bin")
    monkeypatch.setenv("PATH", made.path)
    return made


def test_process_without_a_stream_has_no_place(server: FakePactl) -> None:
    server.has_sources("desk")
    assert own_place() is None


@pytest.mark.parametrize("words", ["", "no JSON", '[{"index": 1, "name": "desk"}]'])
def test_server_that_says_nothing_of_use_is_not_taken_for_none(server: FakePactl, words: str) -> None:
    server.has_streams(1)
    server.says("sources", words)
    with pytest.raises(ServerSilentError):
        pulse_sources()
    with pytest.raises(ServerSilentError):
        own_place()


def test_stream_on_a_source_that_is_not_listed_is_not_taken_for_none(server: FakePactl) -> None:
    server.has_streams(1)
    with pytest.raises(ServerSilentError):
        own_place()


def test_stream_that_was_moved_before_the_server_tells_of_moves_is_never_trusted(server: FakePactl) -> None:
    server.has_sources("desk", "another")
    server.has_streams(1)
    place, sink = own_place(), FakeSink()
    assert place
    server.has_streams(2)
    holding = Holding(sink)
    with pytest.raises(ServerSilentError, match="another input"):
        PlaceWatch(place, holding)
    holding.push(period("wrong", 100))
    holding.push(period("wrong", 1_000))
    assert sink.captures == 0


def test_stream_is_trusted_until_it_is_moved(server: FakePactl) -> None:
    server.has_sources("desk", "another")
    server.has_streams(1)
    place, sink = own_place(), FakeSink()
    assert place
    holding = Holding(sink)
    watch = PlaceWatch(place, holding)
    holding.push(period("right", 100))
    holding.push(period("right", 1_000))
    assert (sink.captures, sink.failures) == (1, [])
    server.has_streams(2)
    server.tells("Event 'change' on source-output #5")
    assert sink.has_failed.wait(20)
    watch.close()
    holding.push(period("wrong", 2_000))
    assert (sink.captures, sink.failures) == (1, ["device_lost"])


def test_watch_that_is_closed_fails_nothing(server: FakePactl) -> None:
    server.has_sources("desk")
    server.has_streams(1)
    place, sink = own_place(), FakeSink()
    assert place
    watch = PlaceWatch(place, Holding(sink))
    watch.close()
    assert not sink.has_failed.wait(0.1)
