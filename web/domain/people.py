"""People with an account, and how they are signed in."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from web.domain.access import Access
from web.domain.errors import InvalidError

ADMINISTRATOR = "admin"
"""What the first account is called."""
LINK_SECONDS = 900.0
IDLE_SECONDS = 1_800.0
LONGEST_SECONDS = 43_200.0
PASSWORD_SHORTEST = 12
PASSWORD_LONGEST = 1_000


@dataclass(frozen=True)
class User:
    id: UUID
    name: str
    has_password: bool
    created_at: datetime


@dataclass(frozen=True)
class SignedIn:
    """A session that has just begun."""

    user: User
    token: str = field(repr=False)
    """Shown once, to the browser; only its digest is kept."""


@dataclass(frozen=True)
class LoginSession:
    """A session that is going on."""

    id: UUID
    user: User
    is_by_link: bool
    """Whether it began at the controller's own machine, by a one-time link."""
    access: Access
    """What its user holds now."""


def require_good_password(password: str) -> None:
    """Raises InvalidError. Only the length counts."""
    if len(password) < PASSWORD_SHORTEST:
        raise InvalidError(
            f"A password has at least {PASSWORD_SHORTEST} characters; a few words are easy to keep in mind.",
            field="password",
        )
    if len(password) > PASSWORD_LONGEST:
        raise InvalidError(f"A password has at most {PASSWORD_LONGEST} characters.", field="password")
