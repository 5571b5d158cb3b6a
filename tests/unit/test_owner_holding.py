"""What is handed on of a device that may turn out to be another one."""

from agent.owner.holding import Holding, Period

MS = 1_000_000


class FakeSink:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def captured(self, buffer: bytes, frames: int, boottime_ns: int) -> None:
        self.seen.append(f"{buffer.decode()} at {boottime_ns // MS}")

    def lost(self, frames: int, cause: str) -> None:
        raise AssertionError

    def skipped(self, cause: str) -> None:
        self.seen.append(cause)

    def failed(self, cause: str) -> None:
        self.seen.append(cause)


def period(word: str, arrived_ms: int, *, has_skipped: bool = False) -> Period:
    return Period(word.encode(), 1, (arrived_ms - 50) * MS, arrived_ms * MS, has_skipped)


def test_nothing_is_handed_on_before_the_device_is_known_to_be_the_right_one() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    holding.push(period("one", 100))
    holding.flush()
    assert sink.seen == []
    holding.trust(0.0)
    holding.push(period("two", 150))
    assert sink.seen == ["one at 50", "two at 100"]


def test_last_quarter_of_a_second_of_a_device_that_was_exchanged_is_dropped() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    holding.trust(0.25)
    for word, arrived_ms in (("right", 100), ("right", 200), ("wrong", 400), ("wrong", 449)):
        holding.push(period(word, arrived_ms))
    holding.distrust()
    holding.push(period("wrong", 900))
    holding.flush()
    assert sink.seen == ["right at 50", "device_lost"]


def test_device_in_doubt_is_held_back_until_it_is_trusted_again() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    holding.trust(0.25)
    holding.push(period("one", 100))
    holding.doubt()
    holding.push(period("two", 900))
    assert sink.seen == []
    holding.trust(0.25)
    holding.push(period("three", 1_000))
    assert sink.seen == ["one at 50"]


def test_doubts_that_follow_one_another_hold_nothing_back_for_ever() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    for number in range(4):
        holding.push(period("one", 100 * number))
        holding.trust(0.25)
        holding.doubt()
    assert sink.seen == ["one at -50"]


def test_device_that_is_closed_keeps_what_it_delivered_last() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    holding.trust(0.25)
    holding.push(period("one", 100))
    holding.push(period("two", 200))
    holding.flush()
    assert sink.seen == ["one at 50", "two at 150"]


def test_overrun_is_told_before_what_came_after_it() -> None:
    sink = FakeSink()
    holding = Holding(sink)
    holding.trust(0.0)
    holding.push(period("one", 100))
    holding.push(period("two", 200, has_skipped=True))
    assert sink.seen == ["one at 50", "overrun", "two at 150"]
