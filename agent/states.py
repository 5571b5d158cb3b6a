"""What stands in the files of the spool. Every file is parsed through these models and nothing else."""

from enum import StrEnum
from typing import Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field

from agent.owner import clock
from protocol.messages import (
    ArmedInterface,
    CaptureFormat,
    ClaimedJob,
    Encoding,
    EndReason,
    EventReport,
    Frames,
    InterfaceRef,
    Milliseconds,
    Origin,
    PartName,
    PartSeal,
    Phase,
    RecordingFacts,
    Wish,
)


class Stored(BaseModel):
    """A file of the spool. What a newer agent wrote into it is passed over, so that a downgrade still reads it."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Instant(Stored):
    """A CLOCK_BOOTTIME reading and the boot it belongs to."""

    boot_id: str
    boottime_ns: int

    @classmethod
    def in_ms(cls, from_now_ms: int) -> Self:
        return cls(boot_id=clock.boot_id(), boottime_ns=clock.boottime_ns() + from_now_ms * 1_000_000)

    @property
    def of_this_boot(self) -> bool:
        return self.boot_id == clock.boot_id()

    def or_now_ns(self) -> int:
        """Nanoseconds in this boot; an instant before a reboot has no reading in it, so then it is now."""
        return self.boottime_ns if self.of_this_boot else clock.boottime_ns()


class NodeIdentity(Stored):
    """`node.json`: who this node is."""

    node_id: UUID
    name: str
    token: str = Field(repr=False)
    next_token: str | None = Field(default=None, repr=False)
    """Made here, and not known to be the node's yet."""
    controller_url: str
    node_run: int = 0
    run_request: UUID | None = None
    """The registration that is under way."""


class Enrolment(Stored):
    """`enrolment.json`: an enrolment that was sent, or will be, and has no answer yet."""

    secret: str = Field(repr=False)


class Armed(Stored):
    """`armed.json`: what is captured before anybody starts a recording."""

    interfaces: tuple[ArmedInterface, ...]


class Claim(Stored):
    """`claims/<id>.json`: a claim that was sent, or will be, and has no answer yet."""

    claim_id: UUID


class Stage(StrEnum):
    """How far a job is. The order of the words is the order of its life."""

    STARTING = "starting"
    CAPTURING = "capturing"
    FINISHING = "finishing"
    UPLOADING = "uploading"
    SEALED = "sealed"
    """The controller holds everything, and has to read it back; then what is left is to tidy up."""
    ENDING = "ending"
    """Ended without content; the controller has yet to hear it."""
    KEPT = "kept"
    """Cancelled or failed, and heard: what was captured stays."""

    @property
    def phase(self) -> Phase | None:
        """What the controller is told, None when there is nothing to tell."""
        return Phase(self.value) if self.value in set(Phase) else None


class EndWithoutContent(Stored):
    """How a job ended that has nothing to deliver."""

    outcome: Literal["failed", "cancelled"]
    reason: str
    message: str


class JobState(Stored):
    """`jobs/<id>/job.json`: one job, from its claim until its content is safe on the controller."""

    claimed: ClaimedJob
    stage: Stage = Stage.STARTING
    requested_at: Instant
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    wish: Wish = Wish.RUN
    wished_at: Instant | None = None
    capture_id: UUID | None = None
    """What owner and take know it by, when that is not the recording's id: an attempt may not meet marks of another."""
    take_id: UUID | None = None
    start_frame: Frames | None = None
    press_frame: Frames | None = None
    """That it was asked for, when it begins earlier than that."""
    begun_at: Instant | None = None
    """When its first frame was bound, which may be long after somebody asked for it."""
    end_frame: Frames | None = None
    end_reason: EndReason | None = None
    ended_at: Instant | None = None
    cut_frame: Frames | None = None
    """Where the take stopped short of `end_frame`."""
    away_since: Instant | None = None
    """Since when a disk with a part of it is known to be missing."""
    given_up: tuple[str, ...] = ()
    """Segments on it that the recording is delivered without; it is delivered anew when they are back."""
    cache_file_id: UUID | None = None
    cache_file_origin: Origin = Origin.NORMAL
    """As what it was opened; the seal says what it is."""
    seal_sent: bool = False
    is_verified: bool = False
    """Whether the controller has read back what it sealed: only then anything of it may go."""
    is_sent_again: bool = False
    """The controller's copy was damaged after the seal, which had ended the job."""
    ending: EndWithoutContent | None = None
    owed: str | None = None
    """Why the lease is gone while there is content; then nothing is reported, and the content is offered as salvage."""
    owed_since: Instant | None = None

    @classmethod
    def of(cls, claimed: ClaimedJob) -> Self:
        """The state of a job whose claim was answered just now."""
        return cls(
            claimed=claimed,
            requested_at=Instant.in_ms(-claimed.requested_age_ms),
            starts_at=None if claimed.starts_in_ms is None else Instant.in_ms(claimed.starts_in_ms),
            ends_at=None if claimed.ends_in_ms is None else Instant.in_ms(claimed.ends_in_ms),
            capture_id=None if claimed.attempt == 1 else uuid5(claimed.recording_id, f"attempt {claimed.attempt}"),
            wish=claimed.wish,
            wished_at=Instant.in_ms(-claimed.wish_age_ms) if claimed.wish is not Wish.RUN else None,
        )

    @property
    def job_id(self) -> UUID:
        return self.claimed.job_id

    @property
    def recording_id(self) -> UUID:
        return self.claimed.recording_id

    @property
    def capture_name(self) -> UUID:
        """What owner and take know it by."""
        return self.capture_id or self.recording_id

    @property
    def interface(self) -> InterfaceRef:
        return self.claimed.settings.interface

    @property
    def is_reported(self) -> bool:
        """Whether heartbeats speak of it: of one that lost its lease as long as a stop could still be heard by it."""
        if self.is_sent_again:
            return False
        if self.owed is not None:
            return self.stage in {Stage.STARTING, Stage.CAPTURING}
        return self.stage not in {Stage.SEALED, Stage.KEPT}

    @property
    def has_planned_end(self) -> bool:
        settings = self.claimed.settings
        return settings.duration_ms is not None or settings.ends_at is not None

    @property
    def used_channels(self) -> frozenset[int]:
        """The captured channels that are in the recording."""
        rows = self.claimed.settings.channel_map
        return frozenset(channel for row in rows for channel, gain in enumerate(row) if gain)

    def in_this_boot(self) -> Self:
        """After a reboot, what was noted by the clock of an earlier boot counts from now; plans have their UTC."""
        names = ("requested_at", "begun_at", "wished_at", "ended_at", "owed_since", "away_since")
        noted = {name: getattr(self, name) for name in names}
        return self.model_copy(
            update={name: Instant.in_ms(0) for name, at in noted.items() if at and not at.of_this_boot}
        )

    @property
    def needs_take(self) -> bool:
        """Whether frames of its take may not go."""
        return self.take_id is not None and not (self.is_delivered and not self.given_up)

    @property
    def is_delivered(self) -> bool:
        """Whether what the controller holds was proved, so that this node needs nothing of it any more."""
        return self.stage is Stage.SEALED and self.is_verified


class RenderTask(Stored):
    """`jobs/<id>/render.json`: what a renderer has to know."""

    recording_id: UUID
    take_id: UUID
    take_folder: str
    start_frame: Frames
    press_frame: Frames | None = None
    end_frame: Frames | None = None
    end_reason: EndReason | None = None
    cut_frame: Frames | None = None
    """Nothing from here on will ever become durable."""
    given_up: tuple[str, ...] = ()
    """Paths of segments that are not there, and are a gap."""
    capture: CaptureFormat
    channel_map: list[list[float]]
    encoding: Encoding
    encoder_version: str
    size_limit_bytes: int | None = None
    """The file never gets longer, head and all."""
    poll_ms: Milliseconds = 100
    hold_back_frames: Frames = 0
    """Left for later while the end is unknown: a stop is heard a little after it was pressed, and cuts at the press."""


class SizeEnd(Stored):
    """`jobs/<id>/size_end.json`: the renderer says where its file is full."""

    end_frame: Frames


class Rendition(Stored):
    """`jobs/<id>/rendition.json`, written last: what was made, and what it is a recording of."""

    origin: Origin
    audio: PartSeal
    waveform: PartSeal
    seek: PartSeal
    ledger: PartSeal
    facts: RecordingFacts
    captured_bytes: int
    """Bytes of audio that came from the device, gaps not counted."""

    def part(self, name: PartName) -> PartSeal:
        seals: dict[PartName, PartSeal] = {
            "audio": self.audio,
            "waveform": self.waveform,
            "seek": self.seek,
            "ledger": self.ledger,
        }
        return seals[name]


class Places(Stored):
    """`places.json`: spill folders that were there once."""

    folders: frozenset[str]


class OwedRemovals(Stored):
    """`takes/.going-<take>/owed.json`: folders of a removed take that lie on disks which were away."""

    folders: frozenset[str]


class Released(Stored):
    """`released/<take>.json`: recordings that need nothing of a take any more."""

    recording_ids: list[UUID]


class StoredEvent(Stored):
    """`events/<id>.json`: an event that the controller has yet to hear of."""

    event: EventReport
    at: Instant
    ended_at: Instant | None = None
    """Of a condition that is over."""
    utc_ns: int
    """For an event of an earlier boot."""
