"""What is tried when a device delivers nothing, and how often."""

import pytest

from agent.owner.ladder import BUDGET, Ladder, Rung
from protocol.timeouts import Timeouts

TIMEOUTS = Timeouts(retry_first=1.0)


def test_stream_is_restarted_once_and_again_only_after_a_while() -> None:
    ladder = Ladder(TIMEOUTS, now=0)
    assert ladder.may_restart(10)
    assert not ladder.may_restart(10 + BUDGET.restart_every - 1)
    assert ladder.may_restart(10 + BUDGET.restart_every)


def test_openings_grow_apart_and_go_on_for_ever_at_the_longest_pause() -> None:
    ladder = Ladder(TIMEOUTS, now=0)
    pauses = [ladder.reopen_pause(in_vain=False) for _ in range(1000)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (1, max(BUDGET.reopen_pauses))


def test_absent_device_never_wants_another_process_and_one_opened_in_vain_does() -> None:
    ladder = Ladder(TIMEOUTS, now=0)
    for _ in range(1000):
        ladder.reopen_pause(in_vain=False)
    assert not ladder.wants_process(10**6, is_stuck=False)
    for _ in range(BUDGET.reopens_in_vain):
        ladder.reopen_pause(in_vain=True)
    assert ladder.wants_process(1, is_stuck=False)


@pytest.mark.parametrize(("processes", "pause"), [(0, 0), (1, 40), (2, 120), (4, 1200), (100, 1200)])
def test_processes_that_cannot_help_live_longer_and_longer(processes: int, pause: float) -> None:
    ladder = Ladder(TIMEOUTS, now=100, processes=processes)
    assert not ladder.wants_process(100 + pause - 1, is_stuck=True)
    assert ladder.wants_process(100 + pause, is_stuck=True)


def test_what_was_tried_last_is_what_helped() -> None:
    ladder = Ladder(TIMEOUTS, now=0)
    ladder.may_restart(1)
    assert ladder.helped() is Rung.RESTART
    ladder.reopen_pause(in_vain=False)
    ladder.opened()
    assert ladder.helped() is Rung.REOPEN
    follower = Ladder(TIMEOUTS, now=0, processes=1)
    follower.opened()
    assert follower.helped() is Rung.PROCESS
