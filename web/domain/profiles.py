"""Encode presets as values."""

from dataclasses import dataclass
from uuid import UUID

from protocol.messages import Encoding


@dataclass(frozen=True)
class Profile:
    id: UUID
    name: str
    encoding: Encoding
    minimum_bytes: int
    """A rendition with less audio than this fails with its reason."""
    is_default: bool
