"""What single sign-on is told by settings, and what it tells of somebody."""

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, model_validator

STEP_SECONDS = 600.0
"""How long somebody may take at the issuer."""


class Target(BaseModel):
    """What a group of the issuer means here: a group of people, or a role on everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str | None = None
    role: str | None = None

    @model_validator(mode="after")
    def _be_one(self) -> "Target":
        if (self.group is None) == (self.role is None):
            raise ValueError('a group of the issuer means one thing: {"group": "…"} or {"role": "…"}')
        return self


@dataclass(frozen=True)
class Issuer:
    """An OpenID provider, and how this installation is known to it."""

    address: str
    client_id: str
    client_secret: str | None = field(repr=False)
    """None for a public client: PKCE protects it all the same."""
    label: str
    groups_claim: str
    mapping: dict[str, Target]
    hosts: frozenset[str]
    """Other hosts than that of its address, to which it may send us for keys and tokens."""
    may_be_plain: bool
    """Plain HTTP, on loopback only: for trying."""


@dataclass(frozen=True)
class Identity:
    """Somebody, as the issuer says. Only issuer and subject are a name that lasts."""

    issuer: str
    subject: str
    name: str
    groups: frozenset[str]


@dataclass(frozen=True)
class Step:
    """What the browser keeps, sealed, while somebody is at the issuer."""

    state: str
    nonce: str
    verifier: str
    wanted: str
    """The page that was asked for."""
    begun_at: float
