"""Token buckets: as many at once as in a minute, then as many as come back."""

import pytest

from web.domain.errors import TooManyRequestsError
from web.domain.rates import Buckets, Rate
from web.services.entry.api_rates import ApiLimits, ApiRates


def test_bucket_gives_all_at_once_and_then_what_comes_back() -> None:
    buckets = Buckets(Rate("test", 6, seconds=60))
    assert [buckets.take("a", 0.0).is_allowed for _ in range(7)] == [True] * 6 + [False]
    assert not buckets.take("a", 9.9).is_allowed
    assert buckets.take("a", 10.0).is_allowed
    assert buckets.take("a", 1_000.0).remaining == 5


def test_buckets_are_apart() -> None:
    buckets = Buckets(Rate("test", 1))
    assert buckets.take("a", 0.0).is_allowed
    assert not buckets.take("a", 0.0).is_allowed
    assert buckets.take("b", 0.0).is_allowed


def test_wait_is_until_there_is_one_more() -> None:
    buckets = Buckets(Rate("test", 2, seconds=60))
    assert [buckets.take("a", 0.0).wait_seconds for _ in range(3)] == [30, 30, 30]
    assert buckets.take("a", 15.0).wait_seconds == 15
    assert buckets.look("b", 0.0).wait_seconds == 0


def test_oldest_bucket_is_forgotten_beyond_the_limit() -> None:
    buckets = Buckets(Rate("test", 1), keys_limit=2)
    for key in "abc":
        buckets.take(key, 0.0)
    assert buckets.look("a", 0.0).is_allowed
    assert not buckets.look("c", 0.0).is_allowed


def test_guessing_stops_the_address_and_no_other() -> None:
    rates = ApiRates(ApiLimits(failures=2), clock=lambda: 0.0)
    for _ in range(2):
        rates.admit("192.0.2.1")
        rates.failed("192.0.2.1")
    with pytest.raises(TooManyRequestsError, match="Ask again in 30 s"):
        rates.admit("192.0.2.1")
    rates.admit("192.0.2.2")
