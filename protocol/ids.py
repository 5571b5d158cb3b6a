"""Identifiers and secrets, made the same way on both sides."""

import base64
import hashlib
import hmac
import secrets
import time
import uuid
from typing import Literal

TokenKind = Literal["user", "node", "code", "session", "half", "link", "invitation", "setup"]
_PREFIXES: dict[TokenKind, str] = {
    "user": "rku",
    "node": "rkn",
    "code": "rkc",
    "session": "rks",
    "half": "rkh",
    "link": "rkl",
    "invitation": "rki",
    "setup": "rkf",
}


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562): sorts by the millisecond it was made in. An identifier, never a secret."""
    value = time.time_ns() // 1_000_000 << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def new_token(kind: TokenKind, token_id: uuid.UUID) -> str:
    """`prefix_id_secret` with a 256-bit secret. Only its digest is stored."""
    return f"{_PREFIXES[kind]}_{token_id.hex}_{secrets.token_urlsafe(32)}"


def made_token(kind: TokenKind, token_id: uuid.UUID, *, code: str, secret: str) -> str:
    """Such a token made of a one-time code and 256 random bits in hexadecimal: the same of the same, again."""
    made = hmac.digest(bytes.fromhex(secret), code.encode(), "sha256")
    return f"{_PREFIXES[kind]}_{token_id.hex}_{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def token_id(kind: TokenKind, token: str) -> uuid.UUID | None:
    """The id inside a token of this kind, or None when it has another form."""
    prefix, _, rest = token.partition("_")
    name, _, secret = rest.partition("_")
    if prefix != _PREFIXES[kind] or not secret:
        return None
    try:
        return uuid.UUID(hex=name)
    except ValueError:
        return None


def token_digest(token: str) -> str:
    """SHA-256 of the whole token: enough for a secret of 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()
