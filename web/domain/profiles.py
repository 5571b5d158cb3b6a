"""Encode presets as values."""

from dataclasses import dataclass
from uuid import UUID

from protocol.messages import Encoding
from web.domain.channels import ChannelMode


@dataclass(frozen=True)
class Profile:
    id: UUID
    name: str
    encoding: Encoding
    channel_mode: ChannelMode
    """What becomes of the chosen channels when a start does not say."""
    minimum_bytes: int
    """A rendition with less audio than this fails with its reason."""
    is_default: bool
