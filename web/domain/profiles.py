"""Encode presets as values."""

from dataclasses import dataclass
from uuid import UUID

from protocol.messages import Encoding, Limits
from web.domain.channels import ChannelMode


@dataclass(frozen=True)
class Profile:
    id: UUID
    name: str
    encoding: Encoding
    channel_mode: ChannelMode
    """What becomes of the chosen channels when a start does not say."""
    minimum_bytes: int | None
    """Less audio than this is no recording; None takes the node's."""
    limits: Limits
    """What ends a recording when a start does not say."""
    is_default: bool
