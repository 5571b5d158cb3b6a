"""How often programs may call the JSON API. Each controller counts by itself: several allow several times as much."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from web.domain.errors import TooManyRequestsError
from web.domain.rates import Buckets, Rate, Standing
from web.domain.tries import place


@dataclass(frozen=True)
class ApiLimits:
    """Calls a minute, as many at once."""

    per_token: int = 1_200
    per_address: int = 6_000
    """Of all good tokens together."""
    failures: int = 60
    """Calls without a good token, from one address or with one id of a token."""


class ApiRates:
    """One a controller."""

    def __init__(self, limits: ApiLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        limits = limits or ApiLimits()
        self._clock = clock
        self._tokens = Buckets(Rate("token", limits.per_token))
        self._addresses = Buckets(Rate("address", limits.per_address))
        self._failures = Buckets(Rate("failures", limits.failures))

    def refuse(self, address: str | None, token_id: UUID | None) -> None:
        """A call from there showed no token that is good; `token_id` is what it claimed to be, if it named any.

        Raises TooManyRequestsError once there were too many. A good token is let through all the same: others may come
        from the address of somebody who guesses, since that of a proxy is the address of all behind it.
        """
        now = self._clock()
        for key in (("address", place(address)), ("token", token_id)):
            standing = self._failures.take(key, now)
            if not standing.is_allowed:
                raise TooManyRequestsError(standing)

    def count(self, address: str | None, token_id: UUID | None) -> Standing:
        """One more call with this good token, which may be one too many.

        Raises TooManyRequestsError when all tokens of its address are.
        """
        now = self._clock()
        of_address = self._addresses.take(place(address), now)
        if not of_address.is_allowed:
            raise TooManyRequestsError(of_address)
        return self._tokens.take(token_id, now)
