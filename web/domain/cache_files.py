"""Cache files: a rendition as the controller holds it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from protocol.messages import Origin, PartName, RecordingFacts
from web.domain.states import CacheState


@dataclass(frozen=True)
class VerifiedPart:
    """What the controller itself found in a part that it stored."""

    bytes: int
    head_sha256: str
    body_sha256: str
    """Of everything after the head."""


VerifiedParts = dict[PartName, VerifiedPart]
"""One entry for every part."""


@dataclass(frozen=True)
class CacheFile:
    id: UUID
    recording_id: UUID
    node_id: UUID
    job_id: UUID
    epoch: int
    origin: Origin
    codec: Literal["wav"]
    state: CacheState
    sha256: str | None
    """Of the whole audio as stored; None until it was read once after the seal."""
    parts: VerifiedParts | None
    """As sealed; None before."""
    facts: RecordingFacts | None
    """As sealed; None before."""
    created_at: datetime
    cached_at: datetime | None
