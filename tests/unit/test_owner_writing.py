"""A disk that takes nothing is told of, and only while the device delivers."""

from agent.owner.events import Events
from agent.owner.writing import WritingWatch
from protocol.timeouts import Timeouts


def watched(*steps: tuple[float, int, int | None]) -> list[tuple[int, int | None]]:
    """Seconds, frames delivered and durable frame at each step; the spans of what was found."""
    events, now_ns = Events(), 0
    watch = WritingWatch(events, Timeouts())
    for seconds, delivered_frames, durable_frame in steps:
        now_ns += int(seconds * 1e9)
        watch.observe(seconds, now_ns, delivered_frames, durable_frame)
    return [(event.began_ns // 10**9, event.ended_ns and event.ended_ns // 10**9) for event in events.newest()]


def test_disk_that_takes_nothing_is_known_after_three_seconds_until_it_does() -> None:
    hanging = [(1.0, 1_000 * step, 500) for step in range(1, 8)]
    assert watched(*hanging) == [(4, None)]
    assert watched(*hanging, (1.0, 9_000, 8_000)) == [(4, 8)]


def test_disk_has_nothing_to_take_while_the_device_is_silent() -> None:
    assert watched(*((1.0, 1_000, 500) for _ in range(60))) == []


def test_no_take_and_a_disk_of_which_more_is_known_are_left_to_others() -> None:
    assert watched(*((1.0, 1_000 * step, None) for step in range(60))) == []
    hanging = [(1.0, 1_000 * step, 500) for step in range(1, 8)]
    assert watched(*hanging, (1.0, 9_000, None)) == [(4, 8)]
