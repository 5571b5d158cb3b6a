"""The bodies of `/api/agent/v1`. Durations are sent, never deadlines; a receiver counts from its own clock."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

EPOCH_HEADER = "Reelkeeper-Epoch"
NODE_RUN_HEADER = "Reelkeeper-Node-Run"
OFFSET_HEADER = "Upload-Offset"
HEAD_BYTES = 4096

Frames = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[int, Field(ge=0)]
Bytes = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Message(BaseModel):
    """A body that is checked and frozen. What a later version says besides is passed over: the other side may be older
    or newer by one version, and a field that is new has a default."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Wish(StrEnum):
    """What the controller wants of a job. Only ever rises."""

    RUN = "run"
    STOP = "stop"
    CANCEL = "cancel"


class Phase(StrEnum):
    """What a running job is doing."""

    STARTING = "starting"
    CAPTURING = "capturing"
    FINISHING = "finishing"
    UPLOADING = "uploading"


class Origin(StrEnum):
    """How whole the content of a cache file is."""

    NORMAL = "normal"
    TRUNCATED = "truncated"
    RECOVERED = "recovered"
    SALVAGED = "salvaged"


class EndReason(StrEnum):
    """Why a recording ended where it did."""

    STOPPED = "stopped"
    PLANNED_END = "planned end"
    NODE_STOPPED = "node stopped"
    CAPTURE_DIED = "capture died"
    CANCELLED = "cancelled"
    LENGTH_LIMIT = "length limit"
    SIZE_LIMIT = "size limit"
    IDLE_LIMIT = "idle limit"
    DISK_FULL = "disk full"


# ---- what is recorded ----


class CaptureFormat(Message):
    channels: Annotated[int, Field(ge=1, le=64)]
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=384_000)]
    sample_type: Literal["s16", "s24", "s32", "f32"]


class InterfaceRef(Message):
    """One sound input of a node. `name` is stable over restarts and renumbering; never an index, never "default"."""

    backend: Name
    name: Name


Codec = Literal["mp3", "flac", "wav"]


class WavEncoding(Message):
    """WAV, RF64 when it is long."""

    codec: Literal["wav"] = "wav"
    sample_type: Literal["s16", "s24", "s32", "f32"] | None = None
    """None keeps the type of the capture."""


class FlacEncoding(Message):
    codec: Literal["flac"] = "flac"
    bits: Literal[16, 24]


class Mp3Encoding(Message):
    """Either a quality that the bitrate follows (VBR), or a bitrate (CBR)."""

    codec: Literal["mp3"] = "mp3"
    vbr_quality: Annotated[int, Field(ge=0, le=9)] | None = None
    """As LAME counts: 0 is best, 5 makes about 130 kbit/s of stereo."""
    bitrate_kbps: Annotated[int, Field(ge=8, le=320)] | None = None

    @model_validator(mode="after")
    def _either_vbr_or_cbr(self) -> "Mp3Encoding":
        if (self.vbr_quality is None) == (self.bitrate_kbps is None):
            raise ValueError("give either vbr_quality or bitrate_kbps")
        return self


Encoding = Annotated[WavEncoding | FlacEncoding | Mp3Encoding, Field(discriminator="codec")]
"""How the rendition is made."""


class Limits(Message):
    """What ends a recording by itself, as a valid file that names the limit (C13). None: no such limit."""

    length_ms: Annotated[int, Field(ge=1)] | None = None
    """Gaps counted: the timeline stays true."""
    size_bytes: Annotated[int, Field(ge=64 * 1024)] | None = None
    """Of the rendition, head and all."""
    idle_ms: Annotated[int, Field(ge=1)] | None = None
    """Of silence without a break."""


class JobSettings(Message):
    """Pinned into a job when it is made; later edits do not change it (J1)."""

    interface: InterfaceRef
    capture: CaptureFormat
    channel_map: list[list[float]]
    """Rows of gains: one row an output, one gain a captured channel."""
    encoding: Encoding
    minimum_bytes: Bytes = 128
    limits: Limits = Limits()
    preroll_ms: Milliseconds = 0
    """An ad-hoc start reaches back so far from its press, as far as the interface was armed (S5)."""
    starts_at: datetime | None = None
    """Also the name of the instant that neighbours share."""
    ends_at: datetime | None = None
    duration_ms: Milliseconds | None = None


class ClaimedJob(Message):
    job_id: UUID
    recording_id: UUID
    attempt: Annotated[int, Field(ge=1)]
    epoch: Annotated[int, Field(ge=1)]
    settings: JobSettings
    wish: Wish
    wish_age_ms: Milliseconds
    """How long ago this wish was made."""
    requested_age_ms: Milliseconds
    """How long ago the start was asked for."""
    starts_in_ms: int | None = None
    """Negative when `starts_at` is past."""
    ends_in_ms: int | None = None


# ---- joining and being there ----


class EnrolRequest(Message):
    code: Annotated[str, Field(max_length=200)]
    version: Name
    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(default=None, repr=False)
    """Made by the agent and kept before it is sent. The node's token is made of code and secret, so that a lost answer
    can be asked for again and nobody else learns the token from a code that was used."""


class EnrolAnswer(Message):
    node_id: UUID
    name: Name
    token: str = Field(repr=False)
    node_run: Annotated[int, Field(ge=0)] = 0
    """The last run of a node that joins again; agents of earlier ones are refused from now on."""


class TokenRequest(Message):
    """The next token of a node, which its agent made and keeps; the same digest again is the same token."""

    digest: Sha256


class CertificateRequest(Message):
    """The client certificate that a node will show next, told over a connection that shows the present one."""

    sha256: Sha256
    """Of the certificate in DER."""


class ArmedInterface(Message):
    """An interface that is captured before anybody starts a recording, so that a start can reach back (S5)."""

    interface: InterfaceRef
    capture: CaptureFormat
    preroll_ms: Annotated[int, Field(ge=1, le=3_600_000)]
    """At least so much is kept, and no more than a segment besides."""


class RunRequest(Message):
    previous_run: Annotated[int, Field(ge=0)]
    """The run this agent had last, 0 at first; a higher one in the database means a clone."""
    request_id: UUID | None = None
    """Spooled before it is sent: the same id is the same run, so that a lost answer does not look like a clone."""
    version: Name


class RunAnswer(Message):
    node_run: int
    jobs: list[ClaimedJob]
    """The live leases, which now belong to this run."""
    armed: list[ArmedInterface] = Field(default_factory=list)
    """All of them; the agent remembers them while the controller is away."""


class InterfaceReport(Message):
    backend: Name
    name: Name
    label: Name
    max_channels: Annotated[int, Field(ge=1)]
    sample_rates_hz: list[int]
    sample_types: list[Literal["s16", "s24", "s32", "f32"]]
    default_capture: CaptureFormat


class SpoolReport(Message):
    """One folder that takes are written to, in the order in which they are filled."""

    path: Name
    free_bytes: Bytes
    total_bytes: Bytes
    standing: Literal["usable", "full", "failing"]
    """`full`: no start is accepted for want of room; `failing`: it cannot be written for another reason."""


class Inventory(Message):
    node_run: int
    version: Name
    interfaces: list[InterfaceReport]
    spools: Annotated[list[SpoolReport], Field(max_length=8)] = Field(default_factory=list)
    spool_free_bytes: Bytes
    """Of all usable spools together."""
    spool_total_bytes: Bytes
    disk_seconds_left: Annotated[int, Field(ge=0)] | None = None
    """At the rate at which recordings fill it now, as measured; None when nothing does."""
    utc_ns: int


class ClaimRequest(Message):
    claim_id: UUID
    node_run: int
    number: Annotated[int, Field(ge=0)] = 0
    """Rises with every sending in a run: what arrives behind a later one leases nothing. 0 is not numbered."""
    interfaces: list[InterfaceRef]


class WakeAnswer(Message):
    change_no: int
    watched: list[InterfaceRef] = Field(default_factory=list)
    """Interfaces that somebody looks at: their levels are wanted, several times a second."""


class GapReport(Message):
    """In frames of the recording: frame 0 is its `start_frame`."""

    start_frame: Frames
    frames: Frames
    cause: Name
    uncertainty_frames: Frames = 0


class JobReport(Message):
    job_id: UUID
    epoch: int
    phase: Phase
    frames: Frames
    """Durable frames of this recording so far."""
    uploaded_bytes: Bytes
    start_frame: Frames | None = None


class HeartbeatRequest(Message):
    node_run: int
    jobs: list[JobReport]
    knows_newer_run: bool | None = None
    """Whether this run was refused for a newer one before: then two agents run. One that is refused for the first time
    may have been sent before its agent started anew. None of an agent that does not tell them apart."""


class JobStanding(Message):
    job_id: UUID
    standing: Literal["renewed", "ended", "superseded"]
    wish: Wish
    wish_age_ms: Milliseconds


class HeartbeatAnswer(Message):
    jobs: list[JobStanding]
    change_no: int
    watched: list[InterfaceRef] = Field(default_factory=list)
    """As in `WakeAnswer`."""
    armed: list[ArmedInterface] = Field(default_factory=list)
    """As in `RunAnswer`. A change of it raises the node's `change_no`."""
    rotate_token: bool = False
    """Another token is to be made and told by `POST /token`."""


# ---- content ----

PartName = Literal["audio", "waveform", "seek", "ledger"]
HEAD_BYTES_OF: dict[PartName, int] = {"audio": HEAD_BYTES, "waveform": 24, "seek": 0, "ledger": 0}
SEEK_ENTRY = "<QQ"
"""An entry of the seek index (`struct`): the byte of the audio at which an encoded frame begins, and the first frame of
the recording that is heard when decoding starts there. Entry k is the last such place at or before second k, so
that the index of a growing recording only grows, and `k` finds its entry without a search. Entry 0 has frame 0.
A byte is listed once the encoded frame that begins at it is in the file, whole.
"""


class CacheFileRequest(Message):
    id: UUID
    job_id: UUID
    epoch: int
    node_run: int
    origin: Origin
    codec: Codec


class PartOffsets(Message):
    """Bytes of each part that are safe on the controller."""

    audio: Bytes = 0
    waveform: Bytes = 0
    seek: Bytes = 0
    ledger: Bytes = 0


class CacheFileAnswer(Message):
    id: UUID
    offsets: PartOffsets
    state: Literal["receiving", "sealed", "verified", "damaged"] | None = None
    """`verified`: what was stored at the seal was read back and is right; `damaged`: it is not, and is wanted once more
    in another cache file. None: an older controller does not tell."""


class PartSeal(Message):
    bytes: Bytes
    head: Annotated[str, Field(max_length=8192)]
    """Base64 of the final first bytes (HEAD_BYTES_OF the part, or the whole part when it is shorter)."""
    head_sha256: Sha256
    body_sha256: Sha256
    """Of everything after the head."""


class ClockPairReport(Message):
    """In frames of the recording; may lie before its start."""

    frame: int
    utc_ns: int


class SegmentReport(Message):
    start_frame: Frames
    frames: Frames
    sha256: Sha256 | None


class ChannelLevel(Message):
    """None is digital silence (minus infinity dBFS)."""

    peak_dbfs: float | None
    rms_dbfs: float | None
    clipped_frames: Frames = 0
    """Frames at full scale that stand in a run: overload, not a lone peak."""


class RecordingFacts(Message):
    """What a cache file is a recording of. Take frames unless said otherwise."""

    take_id: UUID
    start_frame: Frames
    end_frame: Frames
    capture: CaptureFormat
    channel_map: list[list[float]]
    encoding: Encoding
    encoder_version: Name
    channels: int
    sample_rate_hz: int
    frames: Frames
    """Length of the recording; gaps are silence inside it."""
    preroll_frames: Frames | None = None
    """How much of it lies before the press of its start. None: an older agent does not tell."""
    gaps: list[GapReport]
    clock_pairs: list[ClockPairReport]
    segments: list[SegmentReport]
    levels: list[ChannelLevel]
    integrated_lufs: float | None = None
    """R 128 of the rendition; None when nothing is above the gate, or when it was not measured."""
    end_reason: EndReason


class SealRequest(Message):
    job_id: UUID
    epoch: int
    node_run: int
    origin: Origin
    audio: PartSeal
    waveform: PartSeal
    seek: PartSeal
    ledger: PartSeal
    facts: RecordingFacts


class SealAnswer(Message):
    recording_id: UUID
    cache_state: Literal["cached"]
    is_verified: bool | None = None
    """Whether what is stored was read back already; until then the node keeps what it sent, and asks by opening the
    cache file again. None: an older controller does not tell."""


class FinishRequest(Message):
    """An end without content."""

    epoch: int
    node_run: int
    outcome: Literal["failed", "cancelled"]
    reason: Annotated[str, Field(pattern=r"^[a-z_]+$", max_length=60)]
    message: Annotated[str, Field(min_length=1, max_length=1000)]
    """In words, ending with what the operator can do."""


class EventReport(Message):
    """Something that happened, or a condition that lasts. A condition is told when it begins and again, under the same
    id, when it is over; a controller that hears only the second misses nothing."""

    id: UUID
    kind: Annotated[str, Field(pattern=r"^[a-z_]+$", max_length=60)]
    severity: Literal["info", "warning", "critical"]
    message: Annotated[str, Field(min_length=1, max_length=1000)]
    age_ms: Milliseconds
    """Since it happened, or began."""
    lasts: bool = False
    """A condition that is not over yet."""
    ended_age_ms: Milliseconds | None = None
    """Since a condition was over."""
    job_id: UUID | None = None
    interface: InterfaceRef | None = None


class InterfaceLevels(Message):
    """What one watched interface heard since the last report. No channels: it delivers nothing."""

    interface: InterfaceRef
    channels: Annotated[list[ChannelLevel], Field(max_length=64)]


class LevelsRequest(Message):
    node_run: int
    interfaces: Annotated[list[InterfaceLevels], Field(max_length=64)]


class LevelsAnswer(Message):
    watched: list[InterfaceRef]
    """As in `WakeAnswer`: with nobody looking any more the agent stops at once."""


class EventsRequest(Message):
    node_run: int
    events: list[EventReport]


class Problem(BaseModel):
    """RFC 9457. `code` names the fault for programs; other members are its facts."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str


ProblemCode = Literal[
    "epoch_superseded",
    "node_run_superseded",
    "job_ended",
    "wrong_offset",
    "digest_mismatch",
    "too_large",
    "not_found",
    "not_yours",
    "unauthorised",
    "token_expired",
    "forbidden",
    "invalid",
    "conflict",
    "no_space",
    "unavailable",
]
"""What `Problem.code` may say to an agent. 409: `*_superseded`, `job_ended`, `conflict` and `wrong_offset`
(which has the true `offset`); 401: `unauthorised`, and `token_expired` of a token that
`POST /token` still exchanges for another; 422: `digest_mismatch` and `invalid`."""
