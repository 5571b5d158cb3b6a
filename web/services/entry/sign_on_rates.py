"""How often single sign-on is begun or finished from one address: each step may ask the issuer something."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from web.domain.errors import SlowDownError
from web.domain.rates import Buckets, Rate
from web.domain.tries import place


@dataclass(frozen=True)
class SignOnLimits:
    """Steps a minute, as many at once."""

    per_address: int = 60


class SignOnRates:
    """One a controller. Others count by themselves."""

    def __init__(self, limits: SignOnLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._steps = Buckets(Rate("single sign-on", (limits or SignOnLimits()).per_address))
        self._clock = clock

    def admit(self, address: str | None) -> None:
        """One more step from there. Raises SlowDownError."""
        standing = self._steps.take(place(address), self._clock())
        if not standing.is_allowed:
            raise SlowDownError(standing.wait_seconds)
