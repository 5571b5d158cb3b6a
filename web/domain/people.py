"""People with an account, and how they are signed in."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from web.domain.access import Access, Source
from web.domain.errors import InvalidError
from web.domain.sign_in_rules import SecondFactorRule

ADMINISTRATOR = "admin"
"""What the first account is called."""
LINK_SECONDS = 900.0
IDLE_SECONDS = 1_800.0
LONGEST_SECONDS = 43_200.0
HALF_SECONDS = 300.0
"""How long a second factor is awaited after the right password."""
INVITATION_SECONDS = 7 * 86_400.0
NAME_LONGEST = 100
BROWSER_LONGEST = 200
PASSWORD_SHORTEST = 12
PASSWORD_LONGEST = 1_000


@dataclass(frozen=True)
class User:
    id: UUID
    name: str
    has_password: bool
    created_at: datetime


@dataclass(frozen=True)
class Person:
    """Somebody with an account, as those who look after accounts see it."""

    id: UUID
    name: str
    created_at: datetime
    disabled_at: datetime | None
    has_password: bool
    has_second_factor: bool
    is_by_single_sign_on: bool
    invited_until: datetime | None
    """Until when a link for this person works that nobody has used yet."""
    last_seen_at: datetime | None
    """Of the sessions that are still known."""
    groups: tuple[str, ...]


@dataclass(frozen=True)
class SessionSeen:
    """A session that is going on, as its owner sees it. Never what it is known by."""

    id: UUID
    address: str | None
    browser: str
    created_at: datetime
    last_seen_at: datetime
    is_by_link: bool


@dataclass(frozen=True)
class Invitation:
    """A link for one person, who sets a password by it."""

    user_id: UUID
    name: str
    expires_at: datetime
    code: str = field(repr=False)
    """Shown once, to whoever hands it on; only its digest is kept."""


@dataclass(frozen=True)
class Visit:
    """From where and with what somebody signs in."""

    source: Source = field(default_factory=Source)
    browser: str = ""


FROM_NOWHERE = Visit()
"""By hand, without a browser."""


@dataclass(frozen=True)
class HalfSignedIn:
    """The password was right; the second factor is awaited."""

    name: str
    token: str = field(repr=False)
    """Shown once, to the browser; only its digest is kept."""


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
    is_by_issuer: bool
    """Whether it began by single sign-on."""
    access: Access
    """What its user holds now."""
    has_second_factor: bool
    rule: SecondFactorRule

    @property
    def owes_second_factor(self) -> bool:
        """Whether nothing may be done in it but setting one up.

        An issuer asks for what it likes by itself, and who is at the controller's machine needs no other proof.
        """
        is_by_password = not (self.is_by_link or self.is_by_issuer)
        return is_by_password and not self.has_second_factor and self.rule.asks(self.access)


def require_good_password(password: str) -> None:
    """Raises InvalidError. Only the length counts here; what is easily guessed `Passwords` knows."""
    if len(password) < PASSWORD_SHORTEST:
        raise InvalidError(
            f"A password has at least {PASSWORD_SHORTEST} characters; a few words are easy to keep in mind.",
            field="password",
        )
    if len(password) > PASSWORD_LONGEST:
        raise InvalidError(f"A password has at most {PASSWORD_LONGEST} characters.", field="password")


def tidy_name(name: str) -> str:
    """A name as an account bears it. Raises InvalidError."""
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > NAME_LONGEST or not tidy.isprintable():
        raise InvalidError(f"A name has 1 to {NAME_LONGEST} letters.", field="name")
    return tidy
