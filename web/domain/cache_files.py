"""Cache files: a rendition as the controller holds it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from protocol.messages import Codec, Origin, PartName, PartSeal, RecordingFacts, SealRequest
from web.domain.errors import DigestMismatchError
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

_LONGEST_SAMPLE_BYTES = 4
_DISK_AWAY = "disk_away"

MEDIA_TYPES: dict[Codec, str] = {"mp3": "audio/mpeg", "flac": "audio/flac", "wav": "audio/wav"}


@dataclass(frozen=True)
class CacheFile:
    id: UUID
    recording_id: UUID
    node_id: UUID
    job_id: UUID
    epoch: int
    origin: Origin
    codec: Codec
    state: CacheState
    sha256: str | None
    """Of the whole audio as stored; None until it was read once after the seal."""
    parts: VerifiedParts | None
    """As sealed; None before."""
    facts: RecordingFacts | None
    """As sealed; None before."""
    created_at: datetime
    cached_at: datetime | None

    @property
    def media_type(self) -> str:
        """Of its audio."""
        return MEDIA_TYPES[self.codec]

    @property
    def suffix(self) -> str:
        """Of the name that its audio is saved under."""
        return f".{self.codec}"


def first_frame_at(facts: RecordingFacts) -> datetime | None:
    """The instant of the recording's first frame, by the clock pair nearest to it."""
    if not facts.clock_pairs:
        return None
    pair = min(facts.clock_pairs, key=lambda pair: abs(pair.frame))
    microseconds = (pair.utc_ns - pair.frame * 1_000_000_000 // facts.sample_rate_hz) // 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def heard_bytes(facts: RecordingFacts) -> int:
    """Of the audio that was captured, at most: frames that are not in gaps, each sample as long as it may be."""
    heard_frames = facts.frames - sum(gap.frames for gap in facts.gaps)
    return heard_frames * facts.channels * _LONGEST_SAMPLE_BYTES


def duration_ms(facts: RecordingFacts) -> int:
    """From the frame count; gaps are part of it."""
    return facts.frames * 1000 // facts.sample_rate_hz


def lacks_a_part(facts: RecordingFacts) -> bool:
    """Whether some of it lay on a disk of its node that was away; the whole is delivered once that disk is back."""
    return any(gap.cause == _DISK_AWAY for gap in facts.gaps)


def missing_frames(facts: RecordingFacts) -> int:
    """How much of it lay there."""
    return sum(gap.frames for gap in facts.gaps if gap.cause == _DISK_AWAY)


def seals_in(request: SealRequest) -> dict[PartName, PartSeal]:
    """What it says of every part."""
    return {"audio": request.audio, "waveform": request.waveform, "seek": request.seek, "ledger": request.ledger}


def require_same(request: SealRequest, verified: VerifiedParts) -> None:
    """Raises DigestMismatchError for the first part of which something else was stored than the request says."""
    for part, seal in seals_in(request).items():
        if verified[part] != VerifiedPart(seal.bytes, seal.head_sha256, seal.body_sha256):
            raise DigestMismatchError(part, "What is stored differs from what was sealed.")
