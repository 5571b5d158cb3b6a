"""Hashes of passwords: Argon2id, beside the event loop, and never many at once. And which are known too well."""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from zxcvbn import zxcvbn

from web.domain.errors import InvalidError, UnavailableError
from web.domain.people import require_good_password

_MEMORY_KIBIBYTES = 46 * 1024
_AT_ONCE = 2
_WAITING_LIMIT = 32
_GUESSES_LEAST = 1e9
_JUDGED_CHARACTERS = 72
"""The beginning is enough to judge by."""
_SIGNS_FOR_LETTERS = str.maketrans("@({[<!|$+%", "accccllstx")
"""Read as what they stand for: to try all that they may stand for can take seconds."""
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

    async def require_good(self, password: str, *, about: Sequence[str] = ()) -> None:
        """Raises InvalidError for one of no good length, or that is guessed soon: from lists of breached passwords.

        `about` is what else would be tried: names. Nothing leaves this machine. Raises UnavailableError.
        """
        require_good_password(password)
        if await self._in_turn(lambda: _guesses(password, about)) < _GUESSES_LEAST:
            raise InvalidError(
                "This is among the passwords that are tried first: it was breached elsewhere, or is made of such words "
                "and rows of keys. Four or five words that have nothing to do with each other are better.",
                field="password",
            )

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


def _guesses(password: str, about: Sequence[str]) -> float:
    """After how many guesses in their usual order it is found, about."""
    judged = password[:_JUDGED_CHARACTERS].translate(_SIGNS_FOR_LETTERS)
    return float(zxcvbn(judged, user_inputs=[*about, "reelkeeper"])["guesses"])


def _unsalted(length: int) -> str:
    return b64encode(bytes(length)).decode().rstrip("=")


_NOBODYS = f"$argon2id$v=19$m={_MEMORY_KIBIBYTES},t=1,p=1${_unsalted(16)}${_unsalted(32)}"
"""No password is known to have this hash."""
