"""How fast somebody may try to sign in. Nobody is ever locked out: each wrong try only makes the next one wait."""

from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from uuid import UUID

FORGET_SECONDS = 3_600.0
"""Tries count no longer after so long without another."""
_IPV6_PREFIX_BITS = 64
"""What one customer of a network has: another address within it costs nothing."""


@dataclass(frozen=True)
class Pace:
    """So many tries at once, then pauses that double from the first to the longest."""

    free: int
    first_seconds: float
    longest_seconds: float

    def pause(self, failures: int) -> float:
        """Seconds until the next try, after so many."""
        if failures < self.free:
            return 0.0
        return min(self.first_seconds * 2.0 ** min(failures - self.free, 30), self.longest_seconds)


@dataclass(frozen=True)
class Paces:
    """All limits of signing in."""

    account_at_address: Pace = Pace(5, 1.0, 300.0)
    address: Pace = Pace(30, 1.0, 300.0)
    account: Pace = Pace(50, 1.0, 30.0)
    """From all addresses together; not for those from which its owner has signed in before."""
    code_at_address: Pace = Pace(5, 1.0, 300.0)
    """Of the second factor, after the right password."""
    code: Pace = Pace(50, 1.0, 300.0)


PACES = Paces()


@dataclass(frozen=True)
class Counter:
    """What one kind of tries is counted under, and how fast they may come."""

    key: str
    pace: Pace


def of_password(name: str, address: str | None, *, is_known: bool) -> list[Counter]:
    """A try of a password. The name counts as it was typed, so that names of nobody are answered alike."""
    who = sha256(name.casefold().encode()).hexdigest()
    where = place(address)
    return _counters(
        Counter(f"account {who} at {where}", PACES.account_at_address),
        Counter(f"address {where}", PACES.address),
        None if is_known else Counter(f"account {who}", PACES.account),
    )


def of_code(user_id: UUID, address: str | None, *, is_known: bool) -> list[Counter]:
    """A try of a second factor."""
    return _counters(
        Counter(f"code {user_id} at {place(address)}", PACES.code_at_address),
        None if is_known else Counter(f"code {user_id}", PACES.code),
    )


def place(address: str | None) -> str:
    """What counts as one address."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> _IPV6_PREFIX_BITS << _IPV6_PREFIX_BITS))
    return str(found)


def _counters(*counters: Counter | None) -> list[Counter]:
    """In one order everywhere, so that two tries never wait for each other."""
    return sorted((one for one in counters if one is not None), key=lambda counter: counter.key)
