"""How soon a capture process is started again."""

from contextlib import suppress
from itertools import pairwise

import pytest

from agent.devices import Launches
from agent.owner.handle import OwnerStartError
from protocol.timeouts import Timeouts

TIMEOUTS = Timeouts()


def test_owner_that_dies_is_followed_at_once() -> None:
    launches = Launches(TIMEOUTS)
    for minute in range(100):
        launches.check(minute * 60)
        launches.note(minute * 60)


def test_owners_that_die_as_soon_as_they_live_are_followed_at_longer_and_longer_intervals() -> None:
    launches, now, started = Launches(TIMEOUTS), 0.0, []
    while len(started) < 14:
        with suppress(OwnerStartError):
            launches.check(now)
            launches.note(now)
            started.append(now)
        now += 0.25
    pauses = [after - before for before, after in pairwise(started)]
    assert pauses == sorted(pauses)
    assert pauses[:3] == [0.25] * 3
    assert pauses[-1] == pytest.approx(TIMEOUTS.retry_longest, abs=0.25)


def test_owner_that_lived_for_a_while_forgives_its_predecessors() -> None:
    launches = Launches(TIMEOUTS)
    for second in range(6):
        launches.note(second)
    launches.check(1000)
    launches.note(1000)
    launches.check(1000.1)
