"""Conditions keep their span, last once at a time, and stay few."""

from agent.owner.conditions import Conditions


def test_condition_has_its_whole_span_when_nobody_looked_meanwhile() -> None:
    conditions = Conditions()
    conditions.begin("device_lost", "Gone.", began_ns=100, frame=7)
    conditions.end("device_lost", ended_ns=900, frame=80, message="Back after 0.8 µs.")
    (over,) = conditions.known()
    assert (over.began_ns, over.began_frame, over.ended_ns, over.ended_frame) == (100, 7, 900, 80)
    assert over.message == "Back after 0.8 µs."


def test_condition_that_lasts_does_not_begin_again_but_one_that_is_over_does() -> None:
    conditions = Conditions()
    for instant in (1, 2, 3):
        conditions.begin("clipping", "Too loud.", began_ns=instant, channel=1)
    conditions.end("clipping", ended_ns=4, channel=1)
    conditions.end("clipping", ended_ns=5, channel=1)
    conditions.begin("clipping", "Too loud.", began_ns=6, channel=1)
    assert [(one.number, one.began_ns, one.ended_ns) for one in conditions.known()] == [(1, 1, 4), (2, 6, None)]


def test_channels_are_told_apart() -> None:
    conditions = Conditions()
    conditions.begin("clipping", "Left.", began_ns=1, channel=0)
    conditions.begin("clipping", "Right.", began_ns=2, channel=1)
    conditions.end("clipping", ended_ns=3, channel=0)
    assert not conditions.lasts("clipping", 0)
    assert conditions.lasts("clipping", 1)


def test_storm_of_conditions_keeps_what_lasts_and_the_newest() -> None:
    conditions = Conditions()
    conditions.begin("exact_zeros", "Nothing.", began_ns=0)
    for instant in range(1000):
        conditions.begin("clipping", "Too loud.", began_ns=instant, channel=instant % 64)
        conditions.end("clipping", ended_ns=instant, channel=instant % 64)
    known = conditions.known()
    assert len(known) <= 25
    assert known[0].kind == "exact_zeros"
    assert known[-1].began_ns == 999
