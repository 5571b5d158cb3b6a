"""Encode presets as values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from protocol.messages import Encoding, Limits, Message
from web.domain.channels import ChannelMode
from web.domain.grants import ShortName
from web.domain.nodes import MINIMUM_BYTES_LIMIT
from web.domain.recordings import WantedLimits


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
    version: int
    """Counts its changes: who changes it says which one he has seen."""
    changed_by: str | None
    changed_at: datetime | None


class ProfileDraft(Message):
    """A profile as somebody wants it."""

    model_config = ConfigDict(extra="forbid")

    name: ShortName
    encoding: Encoding
    channel_mode: ChannelMode = "separate"
    minimum_bytes: Annotated[int, Field(ge=0, le=MINIMUM_BYTES_LIMIT)] | None = None
    limits: WantedLimits = WantedLimits()
    """0 and None: no such limit."""
