"""Recordings: how one is asked for, and what is known of it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, field_validator, model_validator

from protocol.messages import InterfaceRef, Limits, Message, Name, Wish
from web.domain.channels import ChannelMode
from web.domain.nodes import PREROLL_LIMIT_SECONDS
from web.domain.states import CacheState, Health, Mark, RecordingState, UploadStatus

Channel = Annotated[int, Field(ge=0, le=63)]
FOLDER_LIMIT = 500
TAGS_LIMIT = 50
DURATION_LIMIT_MS = 10 * 366 * 24 * 3_600_000
SIZE_LIMIT_BYTES = 10**15
SMALLEST_SIZE_LIMIT_BYTES = 64 * 1024
SHORTEST_IDLE_LIMIT_MS = 1000
LAST_YEAR = 9000


def tidy_folder(path: str) -> str:
    """The path of a folder, one spelling each: `Court/2026`, empty for the top. Raises ValueError."""
    names = [name.strip() for name in path.split("/")] if path.strip() else []
    if any(name in ("", ".", "..") or not name.isprintable() for name in names):
        raise ValueError("write a folder as Court/2026, with a name before and behind each slash")
    tidy = "/".join(names)
    if len(tidy) > FOLDER_LIMIT:
        raise ValueError(f"a folder may have {FOLDER_LIMIT} characters")
    return tidy


def tidy_tags(tags: list[str]) -> list[str]:
    """Each tag once, in their order. Raises ValueError."""
    tidy = sorted({tag.strip() for tag in tags})
    if not all(tag and tag.isprintable() for tag in tidy):
        raise ValueError("a tag has at least one character, and none that cannot be printed")
    return tidy


class WantedLimits(Message):
    """What ends one recording by itself: of each kind its own limit, 0 for none, or (None) that of the profile."""

    model_config = ConfigDict(extra="forbid")

    length_ms: Annotated[int, Field(ge=0, le=DURATION_LIMIT_MS)] | None = None
    """Gaps counted."""
    size_bytes: Annotated[int, Field(ge=0, le=SIZE_LIMIT_BYTES)] | None = None
    """Of the file; at least 64 KiB."""
    idle_ms: Annotated[int, Field(ge=0, le=DURATION_LIMIT_MS)] | None = None
    """Of silence without a break; at least a second."""

    @field_validator("size_bytes")
    @classmethod
    def _room_for_a_head(cls, size_bytes: int | None) -> int | None:
        if size_bytes and size_bytes < SMALLEST_SIZE_LIMIT_BYTES:
            raise ValueError(f"a size limit is 0 for none, or at least {SMALLEST_SIZE_LIMIT_BYTES} bytes")
        return size_bytes

    @field_validator("idle_ms")
    @classmethod
    def _more_than_a_pause(cls, idle_ms: int | None) -> int | None:
        if idle_ms and idle_ms < SHORTEST_IDLE_LIMIT_MS:
            raise ValueError(f"an idle limit is 0 for none, or at least {SHORTEST_IDLE_LIMIT_MS} ms")
        return idle_ms

    def over(self, usual: Limits) -> Limits:
        """These where they say something, else the usual ones."""
        asked = {name: value for name, value in dict(self).items() if value is not None}
        return Limits(**{name: value or None for name, value in (dict(usual) | asked).items()})


class StartRecording(Message):
    """An ad-hoc start. `id` is made by the client: the same one again is the same recording, never a second capture."""

    model_config = ConfigDict(extra="forbid")

    id: UUID
    node_id: UUID
    name: Name
    folder: Annotated[str, AfterValidator(tidy_folder)] = ""
    """As a path, `Court/2026`; empty is the top of the library."""
    tags: Annotated[list[Name], Field(max_length=TAGS_LIMIT), AfterValidator(tidy_tags)] = Field(default_factory=list)
    profile_id: UUID | None = None
    """None takes the default profile."""
    interface: InterfaceRef | None = None
    """None takes the node's preferred interface."""
    channels: Annotated[list[Channel], Field(min_length=1, max_length=64)] | None = None
    """Counted from 0, in the order wanted; None takes all that are captured."""
    output: ChannelMode | None = None
    """None takes the profile's."""
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    duration_ms: Annotated[int, Field(ge=1, le=DURATION_LIMIT_MS)] | None = None
    """Ten years at most."""
    limits: WantedLimits = WantedLimits()
    preroll_ms: Annotated[int, Field(ge=0, le=PREROLL_LIMIT_SECONDS * 1000)] = 0
    """Begin so long before this start, as far as the interface is armed."""
    upload_policy_ids: list[UUID] = Field(default_factory=list)

    @model_validator(mode="after")
    def _one_end_after_the_start(self) -> "StartRecording":
        if self.ends_at is not None and self.duration_ms is not None:
            raise ValueError("give either ends_at or duration_ms, not both")
        if any(instant is not None and instant.year > LAST_YEAR for instant in (self.starts_at, self.ends_at)):
            raise ValueError(f"starts_at and ends_at must lie before the year {LAST_YEAR}")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be after starts_at")
        if self.preroll_ms and self.starts_at is not None:
            raise ValueError("only a start of now reaches back: give either starts_at or preroll_ms")
        return self

    @property
    def place(self) -> "Place":
        return Place(self.node_id, self.folder)

    @property
    def window_ends_at(self) -> datetime | None:
        """The instant of the end, if it is known before the start."""
        if self.starts_at is not None and self.duration_ms is not None:
            return self.starts_at + timedelta(milliseconds=self.duration_ms)
        return self.ends_at

    def digest(self) -> str:
        """Equal exactly for requests that ask for the same, also to a version that knew fewer fields."""
        asked = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a recording is to be: what a start needs its permission for."""

    node_id: UUID
    folder: str


@dataclass(frozen=True)
class Recording:
    id: UUID
    name: str
    folder: str
    """As a path; empty is the top of the library."""
    tags: list[str]
    node_id: UUID
    node_name: str | None
    """None for who may not know of the node."""
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
    preview: list[int] | None
    """The sound at a glance: how loud each column is, below `previews.LEVELS`. Once cached."""
    lost_at: datetime | None
    """When its node was last heard of it, where that is why it failed."""
    salvaged_at: datetime | None
    """When content came after it had failed."""
