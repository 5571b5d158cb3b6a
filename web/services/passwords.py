"""Hashes of passwords: Argon2id, beside the event loop, and never many at once."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from web.domain.errors import UnavailableError

_MEMORY_KIBIBYTES = 46 * 1024
_AT_ONCE = 2
_WAITING_LIMIT = 32
_T = TypeVar("_T")


class Passwords:
    """One a controller. A flood of sign-ins costs two hashes' memory, and is refused beyond what can wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=1, memory_cost=_MEMORY_KIBIBYTES, parallelism=1)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Raises UnavailableError when too many wait already."""
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def is_right(self, password: str, known: str | None) -> bool:
        """Whether the hash is of this password. None takes as long as any wrong one. Raises UnavailableError."""
        return await self._in_turn(lambda: self._verify(password, known or _NOBODYS))

    def is_outdated(self, known: str) -> bool:
        """Whether it was made in another way than hashes are made now."""
        return self._hasher.check_needs_rehash(known)

    def _verify(self, password: str, known: str) -> bool:
        try:
            return self._hasher.verify(known, password)
        except (VerifyMismatchError, InvalidHashError):
            return False

    async def _in_turn(self, work: Callable[[], _T]) -> _T:
        if self._waiting >= _WAITING_LIMIT:
            raise UnavailableError("Too many people sign in at this moment; try again in a few seconds.")
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def _unsalted(length: int) -> str:
    return b64encode(bytes(length)).decode().rstrip("=")


_NOBODYS = f"$argon2id$v=19$m={_MEMORY_KIBIBYTES},t=1,p=1${_unsalted(16)}${_unsalted(32)}"
"""No password is known to have this hash."""
