"""Webhooks: what is told to other programs, how it is signed, and when it is tried again."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from protocol.messages import Name
from web.domain.access import Permission

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
TEST_KIND = "webhook.test"

KINDS: dict[str, str] = {
    "recording.queued": "was started or is tried again, and waits for its node",
    "recording.started": "is being captured",
    "recording.finishing": "has ended and is being delivered",
    "recording.completed": "is in the library",
    "recording.failed": "has failed",
    "recording.cancelled": "was cancelled",
    "recording.changed": "has another name, folder, health or content, in the same state",
    "health.opened": "something happened, or began",
    "health.acknowledged": "somebody knows of it",
    "health.muted": "somebody does not want to hear of it",
    "health.resolved": "it is over",
}
"""What may be told, and when."""
NOUNS = ("recording", "health")
_NEEDED = {"recording": Permission.RECORDING_READ, "health": Permission.HEALTH_READ}


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up."""
    DROPPED = "dropped"
    """Who made the webhook may not read what it is about."""


@dataclass(frozen=True)
class DeliveryLimits:
    """Seconds and numbers of deliveries."""

    first_pause: float = 5.0
    longest_pause: float = 3600.0
    jitter: float = 0.2
    """Each pause is longer or shorter by up to this share."""
    given_up_after: float = 24 * 3600.0
    disabled_after: float = 72 * 3600.0
    """A webhook that has only failed for so long is disabled."""
    claim: float = 60.0
    """A controller that has not told within this time how a delivery went is thought to be gone."""
    kept: float = 7 * 24 * 3600.0
    """What is done is listed for so long."""
    at_once: int = 16
    at_once_each: int = 2
    """To one webhook."""

    def pause(self, attempts: int, shift: float) -> float:
        """Seconds until the next attempt after so many; `shift` between -1 and 1 is where in the jitter it falls."""
        plain = min(self.longest_pause, self.first_pause * 2.0 ** min(attempts - 1, 30))
        return plain * (1 + self.jitter * shift)


def _known(kinds: list[str]) -> list[str]:
    for kind in kinds:
        if kind not in KINDS and kind not in (f"{noun}.*" for noun in NOUNS):
            raise ValueError(f"there is no event {kind}")
    return sorted(set(kinds))


class WebhookRequest(BaseModel):
    """A webhook as it is wanted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    url: Annotated[str, Field(min_length=1, max_length=2_000)]
    """Only https."""
    kinds: Annotated[list[str], Field(min_length=1, max_length=50), AfterValidator(_known)]
    """Of events: `recording.failed`, or all of a noun: `health.*`."""


@dataclass(frozen=True)
class Webhook:
    id: UUID
    name: str
    url: str
    kinds: list[str]
    user_id: UUID | None
    """It hears of what this person may read; None is the controller's own machine."""
    created_by: str
    created_at: datetime
    is_enabled: bool
    trouble: str | None
    """Why the controller disabled it."""
    failing_since: datetime | None
    waiting: int
    """Deliveries that are owed."""


@dataclass(frozen=True)
class Delivery:
    """One event for one webhook."""

    id: int
    webhook_id: UUID
    message_id: UUID
    kind: str
    object_id: UUID
    node_id: UUID | None
    folder: str | None
    data: Mapping[str, Any]
    happened_at: datetime
    state: DeliveryState
    attempts: int
    due_at: datetime
    last_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None

    @property
    def body(self) -> bytes:
        """The same at each attempt."""
        told = {"type": self.kind, "timestamp": self.happened_at.isoformat(), "data": dict(self.data)}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def needed(kind: str) -> Permission | None:
    """What somebody must hold to hear of this kind, or of all kinds of its noun; None for a test."""
    return _NEEDED.get(kind.partition(".")[0])


def secret_text(secret: bytes) -> str:
    """As people copy it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: UUID, at: datetime, body: bytes, secret: bytes) -> dict[str, str]:
    """As Standard Webhooks has them: HMAC-SHA256 over `id.timestamp.body`."""
    name, timestamp = f"msg_{message_id.hex}", str(int(at.timestamp()))
    made = hmac.digest(secret, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        ID_HEADER: name,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: f"v1,{base64.b64encode(made).decode()}",
        "Content-Type": "application/json",
    }


def seconds_in(retry_after: str | None, now: datetime) -> float | None:
    """What a `Retry-After` asks for, as seconds or as a date; None for nonsense."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
