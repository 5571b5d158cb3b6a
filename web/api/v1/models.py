"""What the JSON API answers. Requests are those of the domain; instants are UTC."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from protocol.messages import (
    CaptureFormat,
    Codec,
    Encoding,
    EndReason,
    GapReport,
    InterfaceRef,
    JobSettings,
    Limits,
    Name,
    Origin,
    Phase,
    SpoolReport,
    Wish,
)
from web.domain.channels import ChannelMode
from web.domain.nodes import (
    CHANNELS_LIMIT,
    LABEL_LENGTH_LIMIT,
    MINIMUM_BYTES_LIMIT,
    PREROLL_LIMIT_SECONDS,
    TAGS_LIMIT,
    CodeState,
)
from web.domain.profiles import ProfileDraft
from web.domain.recordings import (
    DURATION_LIMIT_MS,
    SHORTEST_IDLE_LIMIT_MS,
    SIZE_LIMIT_BYTES,
    SMALLEST_SIZE_LIMIT_BYTES,
)
from web.domain.states import CacheState, Health, JobState, Mark, RecordingState, UploadStatus
from web.services.content.waveforms import LEVEL_LIMIT, TILE_LIMIT_BINS


class Answer(BaseModel):
    """A value of the domain as programs see it."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class RecordingAnswer(Answer):
    id: UUID
    name: str
    folder: str
    """As a path, `Court/2026`; empty is the top of the library."""
    tags: list[str]
    node_id: UUID
    node_name: str | None
    """Null for who may not know of the node."""
    interface: InterfaceRef
    profile_id: UUID
    state: RecordingState
    mark: Mark | None
    health: Health | None
    wish: Wish
    reason: str | None
    """One word, of a failed or cancelled recording."""
    message: str | None
    """The same in words, with what can be done."""
    job_id: UUID
    """The newest attempt."""
    attempt: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    cache_state: CacheState
    cache_file_id: UUID | None
    upload_status: UploadStatus


class ContentAnswer(Answer):
    """What was sealed."""

    bytes: int
    channels: int
    sample_rate_hz: int
    frames: int
    gaps: list[GapReport]
    """Silence in the file, in frames of the recording."""
    end_reason: EndReason


class CacheFileAnswer(Answer):
    id: UUID
    state: CacheState
    origin: Origin
    codec: Codec
    checksum_sha256: str | None
    """Of the whole file; null while it is being computed."""
    created_at: datetime
    cached_at: datetime | None
    content: ContentAnswer | None


class RecordingDetailAnswer(RecordingAnswer):
    cache_file: CacheFileAnswer | None
    """The file that stands for the recording."""


class RecordingPage(Answer):
    items: list[RecordingAnswer]
    """Newest first."""
    next: UUID | None
    """For `before`; null on the last page."""


class ProfileAnswer(Answer):
    id: UUID
    name: str
    encoding: Encoding
    channel_mode: ChannelMode
    """What becomes of the chosen channels when a start does not say."""
    minimum_bytes: int | None
    """Less audio than this is no recording; null takes the node's."""
    limits: Limits
    """What ends a recording by itself when its start does not say; null is no such limit."""
    is_default: bool
    version: int
    """Counts its changes: who changes it says which one he has seen."""
    changed_by: str | None
    changed_at: datetime | None


class ProfileChange(ProfileDraft):
    version: Annotated[int, Field(ge=0, le=2**31 - 1)]
    """That was seen: another one is a conflict."""


class ProfileList(Answer):
    items: list[ProfileAnswer]
    """In the order of their names."""


class ProfileLimits(Limits):
    """As people set them: what is misspelt is no limit that is missing."""

    model_config = ConfigDict(extra="forbid")

    length_ms: Annotated[int, Field(ge=1, le=DURATION_LIMIT_MS)] | None = None
    size_bytes: Annotated[int, Field(ge=SMALLEST_SIZE_LIMIT_BYTES, le=SIZE_LIMIT_BYTES)] | None = None
    idle_ms: Annotated[int, Field(ge=SHORTEST_IDLE_LIMIT_MS, le=DURATION_LIMIT_MS)] | None = None


class ProfileProtection(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limits: ProfileLimits
    """What ends a recording by itself when its start does not say; null is no such limit."""
    minimum_bytes: Annotated[int, Field(ge=0, le=MINIMUM_BYTES_LIMIT)] | None = None
    """Less audio than this is no recording; null takes the node's."""


class JobAnswer(Answer):
    id: UUID
    recording_id: UUID
    node_id: UUID
    attempt: int
    settings: JobSettings
    """Pinned when it was made."""
    state: JobState
    wish: Wish
    epoch: int
    phase: Phase | None
    """Only while it runs."""
    frames: int | None
    uploaded_bytes: int | None
    start_frame: int | None
    """Of its take, at which the recording begins."""
    created_at: datetime
    ended_at: datetime | None
    reason: str | None
    message: str | None


class JobPage(Answer):
    items: list[JobAnswer]
    """Newest first."""
    next: UUID | None
    """For `before`; null on the last page."""


class PageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 50
    before: UUID | None = None
    """Go on behind this one."""


class RecordingsQuery(PageQuery):
    state: list[RecordingState] = []
    """In any of these states; without one, in all."""
    text: Annotated[str, Field(max_length=200)] = ""
    """Somewhere in name, folder, tags or node, in any case."""


class JobsQuery(PageQuery):
    recording_id: UUID | None = None
    node_id: UUID | None = None
    state: list[JobState] = []
    """In any of these states; without one, in all."""
    text: Annotated[str, Field(max_length=200)] = ""
    """Somewhere in the names of recording, interface and node, or in the reason."""


class LiveQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    from_seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] | None = None
    """Of the recording; without it a growing one is heard near what is recorded now, a finished one from its start."""


class PeaksQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    level: Annotated[int, Field(ge=0, le=LEVEL_LIMIT)] = 0
    """A bin has 512 × 4^level frames."""
    start: Annotated[int, Field(ge=0, le=2**40)] = 0
    """The first bin."""
    count: Annotated[int, Field(ge=1, le=TILE_LIMIT_BINS)] = 1024


Label = Annotated[str, Field(max_length=LABEL_LENGTH_LIMIT)]
AddressRange = Annotated[str, Field(max_length=100)] | None
"""`192.0.2.0/24`: where the code works; null is anywhere."""


class NodeAnswer(Answer):
    id: UUID
    name: str
    capacity: int
    """Recordings that may capture at once."""
    version: str
    spool_free_bytes: int | None
    spool_total_bytes: int | None
    clock_offset_ms: int | None
    last_seen_at: datetime | None
    is_seen: bool
    created_at: datetime
    minimum_bytes: int | None
    """Less audio than this is no recording, where the profile does not say; null takes the default."""
    spools: list[SpoolReport]
    """The folders it writes to, in the order in which they are filled."""
    disk_seconds_left: int | None
    """At the rate at which recordings fill them now; null when nothing does."""
    location: str
    tags: list[str]
    site_zone: str
    """The IANA zone of where it stands; empty when nobody said."""
    is_draining: bool
    """It takes on nothing new."""
    groups: list[str]
    """The names of the node groups that it is in."""


class InterfaceAnswer(Answer):
    id: UUID
    backend: str
    name: str
    label: str
    """As people call it, else as the device calls itself."""
    channel_labels: list[str]
    """By channel from the first on; those that are empty or missing have no name."""
    max_channels: int
    sample_rates_hz: list[int]
    sample_types: list[str]
    default_capture: CaptureFormat
    chosen_capture: CaptureFormat | None
    """Null follows the default."""
    is_preferred: bool
    is_present: bool
    is_enabled: bool
    """Whether a recording may be started on it."""
    preroll_seconds: int
    """It keeps so much before anybody starts a recording; 0: nothing is captured then."""


class NodeDetailAnswer(NodeAnswer):
    interfaces: list[InterfaceAnswer]


class NodeList(Answer):
    items: list[NodeAnswer]
    """In the order of their names."""


class NodeSettings(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    capacity: Annotated[int, Field(ge=1, le=64)] = 1
    minimum_bytes: Annotated[int, Field(ge=0, le=MINIMUM_BYTES_LIMIT)] | None = None
    """Null takes the default."""
    name: Name = ""
    location: Label = ""
    tags: Annotated[list[Label], Field(max_length=TAGS_LIMIT)] = []
    site_zone: Annotated[str, Field(max_length=100)] = ""
    """An IANA zone; empty for none."""


class InterfaceSettings(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    backend: Name
    name: Name
    capture: CaptureFormat | None = None
    """Null follows the default."""
    is_preferred: Literal[True] | None = None
    preroll_seconds: Annotated[int, Field(ge=0, le=PREROLL_LIMIT_SECONDS)] = 0
    """So much is kept before anybody starts a recording; 0 ends that."""
    label: Label = ""
    """As people call it; empty goes back to the device's own."""
    channel_labels: Annotated[list[Label], Field(max_length=CHANNELS_LIMIT)] = []
    """From the first channel on."""
    is_enabled: bool = True


class EnrolmentCodeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Name
    """Of the node that it makes."""
    address_range: AddressRange = None


class RejoinCodeRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    address_range: AddressRange = None


class EnrolmentCodeAnswer(Answer):
    id: UUID
    code: str
    """Shown only this once."""
    node_name: str
    expires_at: datetime


class CodeAnswer(Answer):
    """An enrolment code without its secret."""

    id: UUID
    node_name: str
    node_id: UUID
    """The node that it makes, or that joins again by it."""
    is_rejoining: bool
    address_range: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    state: CodeState


class CodeList(Answer):
    items: list[CodeAnswer]
    """Newest first."""


class NodeTokenAnswer(Answer):
    created_at: datetime
    expires_at: datetime


class NodeTokenList(Answer):
    items: list[NodeTokenAnswer]
    """Newest first; never their secrets."""
