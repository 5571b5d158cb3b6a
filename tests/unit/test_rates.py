"""Token buckets: as many at once as in a minute, then as many as come back."""

import pytest

from protocol.ids import new_id
from web.domain.errors import SlowDownError, TooManyRequestsError
from web.domain.rates import Buckets, Rate
from web.services.entry.api_rates import ApiLimits, ApiRates
from web.services.entry.sign_on_rates import SignOnLimits, SignOnRates


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


def test_guessing_stops_the_address_or_the_id_and_no_good_token() -> None:
    rates, first, second = ApiRates(ApiLimits(failures=2), clock=lambda: 0.0), new_id(), new_id()
    for _ in range(2):
        rates.refuse("192.0.2.1", None)
    with pytest.raises(TooManyRequestsError, match="Ask again in 30 s"):
        rates.refuse("192.0.2.1", new_id())
    for number in (2, 3):
        rates.refuse(f"192.0.2.{number}", first)
    with pytest.raises(TooManyRequestsError):
        rates.refuse("192.0.2.4", first)
    rates.refuse("192.0.2.4", second)
    assert rates.count("192.0.2.1", first).is_allowed


def test_addresses_of_one_ipv6_network_count_as_one() -> None:
    rates = ApiRates(ApiLimits(failures=1, per_address=1), clock=lambda: 0.0)
    rates.refuse("2001:db8::1", None)
    with pytest.raises(TooManyRequestsError):
        rates.refuse("2001:db8::2", None)
    rates.count("2001:db8::1", new_id())
    with pytest.raises(TooManyRequestsError):
        rates.count("2001:db8::2", new_id())


def test_guesses_take_nothing_of_what_good_tokens_of_an_address_may() -> None:
    rates = ApiRates(ApiLimits(per_address=2), clock=lambda: 0.0)
    for _ in range(50):
        rates.refuse("192.0.2.1", None)
    for _ in range(2):
        assert rates.count("192.0.2.1", new_id()).is_allowed
    with pytest.raises(TooManyRequestsError):
        rates.count("192.0.2.1", new_id())


def test_single_sign_on_is_bounded_by_the_network_of_an_address() -> None:
    rates = SignOnRates(SignOnLimits(per_address=2), clock=lambda: 0.0)
    for host in "12":
        rates.admit(f"2001:db8::{host}")
    with pytest.raises(SlowDownError) as refused:
        rates.admit("2001:db8::3")
    assert refused.value.seconds == 30
    rates.admit("2001:db8:0:1::1")
