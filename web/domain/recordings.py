"""Recordings: how one is asked for, and what is known of it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from protocol.messages import InterfaceRef, Message, Milliseconds, Name, Wish
from web.domain.states import CacheState, Health, Mark, RecordingState, UploadStatus

Channel = Annotated[int, Field(ge=0, le=63)]


class StartRecording(Message):
    """An ad-hoc start. `id` is made by the client: the same one again is the same recording, never a second capture."""

    id: UUID
    node_id: UUID
    name: Name
    profile_id: UUID | None = None
    """None takes the default profile."""
    interface: InterfaceRef | None = None
    """None takes the node's preferred interface."""
    channels: Annotated[list[Channel], Field(min_length=1, max_length=64)] | None = None
    """Counted from 0, in the order wanted; None takes all that are captured."""
    output: Literal["separate", "mono"] = "separate"
    """`mono` is the mean of the channels."""
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    duration_ms: Milliseconds | None = None
    upload_policy_ids: list[UUID] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_end_after_the_start(self) -> "StartRecording":
        if self.ends_at is not None and self.duration_ms is not None:
            raise ValueError("give either ends_at or duration_ms, not both")
        if self.duration_ms == 0:
            raise ValueError("duration_ms must be above 0")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        return self

    def digest(self) -> str:
        """Equal exactly for requests that ask for the same."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Recording:
    id: UUID
    name: str
    node_id: UUID
    node_name: str
    interface: InterfaceRef
    profile_id: UUID
    state: RecordingState
    mark: Mark | None
    health: Health | None
    wish: Wish
    reason: str | None
    """One word for programs, of a failed or cancelled recording."""
    message: str | None
    """The same in words, with what can be done."""
    job_id: UUID
    """The newest attempt."""
    attempt: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    """The instant of the first frame, once capturing."""
    ended_at: datetime | None
    duration_ms: int | None
    """From the frame count, once cached."""
    cache_state: CacheState
    cache_file_id: UUID | None
    upload_status: UploadStatus
