"""How often programs may call the JSON API. Each controller counts by itself: several allow several times as much."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from web.domain.errors import TooManyRequestsError
from web.domain.rates import Buckets, Rate, Standing


@dataclass(frozen=True)
class ApiLimits:
    """Calls a minute, as many at once."""

    per_token: int = 1_200
    per_address: int = 6_000
    """Of all tokens together."""
    failures: int = 60
    """Calls from one address whose token is none."""


class ApiRates:
    """One a controller."""

    def __init__(self, limits: ApiLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        limits = limits or ApiLimits()
        self._clock = clock
        self._tokens = Buckets(Rate("token", limits.per_token))
        self._addresses = Buckets(Rate("address", limits.per_address))
        self._failures = Buckets(Rate("failures", limits.failures))

    def admit(self, address: str | None) -> None:
        """Before anybody looks at the token. Raises TooManyRequestsError."""
        now = self._clock()
        for standing in (self._failures.look(address, now), self._addresses.take(address, now)):
            if not standing.is_allowed:
                raise TooManyRequestsError(standing)

    def failed(self, address: str | None) -> None:
        """A call from there showed no token that is good."""
        self._failures.take(address, self._clock())

    def count(self, token_id: object) -> Standing:
        """One more call with this token, which may be one too many."""
        return self._tokens.take(token_id, self._clock())
