"""How often something may be done: token buckets, kept by whoever asks."""

import math
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

KEYS_LIMIT = 20_000
"""Buckets that are remembered; beyond it the one that was asked for longest ago is forgotten, and is full again."""


@dataclass(frozen=True)
class Rate:
    """So many in so many seconds, and as many at once."""

    name: str
    number: int
    seconds: float = 60.0


@dataclass(frozen=True)
class Standing:
    """How a bucket stands once it was asked."""

    rate: Rate
    is_allowed: bool
    remaining: int
    wait_seconds: int
    """Until there is one more, at least 1; 0 for a bucket that is full."""


class Buckets:
    """One bucket a key. Time is an argument, in seconds of any clock that only goes forward."""

    def __init__(self, rate: Rate, *, keys_limit: int = KEYS_LIMIT) -> None:
        self.rate = rate
        self._keys_limit = keys_limit
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def look(self, key: Hashable, now: float) -> Standing:
        """How it stands; nothing is taken."""
        level = self._level(key, now)
        return self._standing(level, is_allowed=level >= 1)

    def take(self, key: Hashable, now: float) -> Standing:
        """Takes one, if there is one."""
        level = self._level(key, now)
        is_allowed = level >= 1
        self._keep(key, level - 1 if is_allowed else level, now)
        return self._standing(level - 1 if is_allowed else level, is_allowed=is_allowed)

    def _level(self, key: Hashable, now: float) -> float:
        level, at = self._levels.get(key, (float(self.rate.number), now))
        return min(self.rate.number, level + (now - at) * self._per_second)

    @property
    def _per_second(self) -> float:
        return self.rate.number / self.rate.seconds

    def _keep(self, key: Hashable, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > self._keys_limit:
            self._levels.popitem(last=False)

    def _standing(self, level: float, *, is_allowed: bool) -> Standing:
        lacking = math.floor(level) + 1 - level
        wait = 0 if level >= self.rate.number else max(1, math.ceil(lacking / self._per_second))
        return Standing(self.rate, is_allowed, math.floor(level), wait)
