"""Guessing gets slow; pauses grow and end."""

from itertools import pairwise
from uuid import uuid4

import pytest

from web.domain.tries import PACES, Pace, of_code, of_password, place


def test_pauses_double_up_to_the_longest() -> None:
    pace = Pace(free=3, first_seconds=1.0, longest_seconds=10.0)
    assert [pace.pause(failures) for failures in range(1, 10)] == [0, 0, 1, 2, 4, 8, 10, 10, 10]
    assert pace.pause(10_000) == 10


@pytest.mark.parametrize("pace", vars(PACES).values(), ids=vars(PACES))
def test_no_pace_ever_locks_out(pace: Pace) -> None:
    pauses = [pace.pause(failures) for failures in range(200)]
    assert all(one <= next_one for one, next_one in pairwise(pauses))
    assert pauses[-1] <= 300


def test_an_account_counts_apart_from_where_its_owner_has_signed_in() -> None:
    here, there = (set(of_password("Ana", "192.0.2.1", is_known=known)) for known in (True, False))
    assert len(there - here) == 1
    assert here < there
    assert of_password("ana", "192.0.2.1", is_known=False) == of_password("ANA", "192.0.2.1", is_known=False)


def test_names_as_they_were_typed_are_not_kept() -> None:
    assert not [counter for counter in of_password("hunter2hunter2", None, is_known=False) if "hunter" in counter.key]


def test_counters_come_in_one_order() -> None:
    for counters in (of_password("ana", "192.0.2.1", is_known=False), of_code(uuid4(), "192.0.2.1", is_known=False)):
        keys = [counter.key for counter in counters]
        assert keys == sorted(keys)


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    assert place("2001:db8:1:2::1") == place("2001:db8:1:2:ffff::9") != place("2001:db8:1:3::1")
    assert place("::ffff:192.0.2.1") == place("192.0.2.1") != place("192.0.2.2")
    assert place(None) == place("nonsense") == "unknown"
