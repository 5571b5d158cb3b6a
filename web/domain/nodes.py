"""Nodes and their interfaces as values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from protocol.messages import CaptureFormat, InterfaceRef, SpoolReport
from web.domain.errors import InvalidError

PREROLL_LIMIT_SECONDS = 3600
"""No interface keeps more than this before a start."""
MINIMUM_BYTES = 128
"""The least audio of a recording when neither profile nor node says another."""
MINIMUM_BYTES_LIMIT = 1_000_000_000


NAME_LENGTH_LIMIT = 200
LABEL_LENGTH_LIMIT = 100
CHANNELS_LIMIT = 64
TAGS_LIMIT = 20


def checked_name(text: str) -> str:
    """A name as it is kept. Raises InvalidError."""
    name = " ".join(text.split())
    if not 1 <= len(name) <= NAME_LENGTH_LIMIT or not name.isprintable():
        raise InvalidError(f"Give a name of 1 to {NAME_LENGTH_LIMIT} characters.", field="name")
    return name


def checked_label(text: str, field: str) -> str:
    """A label as it is kept; empty is none. Raises InvalidError."""
    label = " ".join(text.split())
    if len(label) > LABEL_LENGTH_LIMIT or not label.isprintable():
        raise InvalidError(f"Give at most {LABEL_LENGTH_LIMIT} characters.", field=field)
    return label


def checked_channel_labels(texts: Sequence[str]) -> list[str]:
    """Without empty ones at the end. Raises InvalidError."""
    labels = [checked_label(text, "channel_labels") for text in texts]
    if len(labels) > CHANNELS_LIMIT:
        raise InvalidError(f"An input has at most {CHANNELS_LIMIT} channels.", field="channel_labels")
    while labels and not labels[-1]:
        labels.pop()
    return labels


@dataclass(frozen=True)
class Description:
    """What people say of a node."""

    name: str
    location: str
    tags: tuple[str, ...]
    site_zone: str
    """The IANA zone of where it stands; empty is not said."""


def checked_description(
    *, name: str | None, location: str | None, tags: Iterable[str] | None, site_zone: str | None
) -> dict[str, Any]:
    """The fields of a `Description` that are given, as they are kept. Raises InvalidError."""
    checked: dict[str, Any] = {}
    if name is not None:
        checked["name"] = checked_name(name)
    if location is not None:
        checked["location"] = checked_label(location, "location")
    if tags is not None:
        checked["tags"] = tuple(dict.fromkeys(tag for one in tags if (tag := checked_label(one, "tags"))))
        if len(checked["tags"]) > TAGS_LIMIT:
            raise InvalidError(f"Give at most {TAGS_LIMIT} tags.", field="tags")
    if site_zone is not None:
        checked["site_zone"] = site_zone.strip()
        if checked["site_zone"] and checked["site_zone"] not in available_timezones():
            raise InvalidError("Give a time zone as Europe/Berlin, or none.", field="site_zone")
    return checked


@dataclass(frozen=True)
class Node:
    id: UUID
    name: str
    capacity: int
    """Recordings that may capture at once."""
    node_run: int
    change_no: int
    version: str
    spool_free_bytes: int | None
    spool_total_bytes: int | None
    clock_offset_ms: int | None
    """The node's wall clock minus the database's, as of the last inventory."""
    minimum_bytes: int | None
    """Less audio than this is no recording; None takes the default. A profile's own goes first."""
    spools: list[SpoolReport]
    """The folders it writes to, in the order in which they are filled; empty until it has told."""
    location: str
    tags: list[str]
    site_zone: str
    """The IANA zone of where it stands; empty when nobody said."""
    is_draining: bool
    """It takes on nothing new; what runs there ends as it was planned."""
    is_absence_known: bool
    """Somebody acknowledged that it is away."""
    groups: list[str]
    """The names of the node groups that it is in."""
    disk_seconds_left: int | None
    """Until they are full at the rate that it measured; None when nothing fills them, or it does not know."""
    last_seen_at: datetime | None
    is_seen: bool
    """Whether it was heard within the limit that the reader asked for."""
    created_at: datetime

    @property
    def node_id(self) -> UUID:
        return self.id

    @property
    def has_space(self) -> bool:
        """Whether a recording can be written anywhere, as far as it has told."""
        return not self.spools or any(spool.standing == "usable" for spool in self.spools)


@dataclass(frozen=True)
class Interface:
    id: UUID
    node_id: UUID
    ref: InterfaceRef
    device_label: str
    """As the device calls itself."""
    given_label: str | None
    """As people call it; stays when the device is gone."""
    channel_labels: list[str]
    """By channel from the first on; those that are empty or missing have no name."""
    max_channels: int
    sample_rates_hz: list[int]
    sample_types: list[str]
    default_capture: CaptureFormat
    chosen_capture: CaptureFormat | None
    """What somebody set; None follows the default."""
    is_preferred: bool
    is_present: bool
    """Whether the last inventory listed it."""
    is_enabled: bool
    """Whether a recording may be started on it."""
    preroll_seconds: int
    """It keeps so much before anybody starts a recording; 0: nothing is captured then."""

    @property
    def label(self) -> str:
        return self.given_label or self.device_label

    @property
    def is_armed(self) -> bool:
        return self.preroll_seconds > 0 and self.is_enabled

    @property
    def is_usable(self) -> bool:
        """Whether a recording can be started on it now."""
        return self.is_present and self.is_enabled

    def channel_name(self, channel: int) -> str:
        """What people call a channel, which is counted from 0; else its number as they count."""
        label = self.channel_labels[channel] if channel < len(self.channel_labels) else ""
        return label or str(channel + 1)

    @property
    def capture(self) -> CaptureFormat:
        """The format the next take is captured in."""
        return self.chosen_capture or self.default_capture


@dataclass(frozen=True)
class HourOfHealth:
    """What was said of a node in an hour."""

    hours_ago: int
    warnings: int
    criticals: int


@dataclass(frozen=True)
class EnrolmentCode:
    id: UUID
    code: str = field(repr=False)
    """Shown once; only its digest is kept."""
    node_name: str
    expires_at: datetime


class CodeState(StrEnum):
    """How far a code is."""

    OPEN = "open"
    JOINED = "joined"
    """An agent joined by it, and has not reported yet."""
    REPORTED = "reported"
    """The node has told what it has."""
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class CodeStanding:
    """An enrolment code without its secret."""

    id: UUID
    node_name: str
    node_id: UUID
    """The node that it makes, or that joins again by it."""
    is_rejoining: bool
    address_range: str | None
    """None: it works from anywhere."""
    created_by: str
    created_at: datetime
    expires_at: datetime
    age_seconds: float
    state: CodeState


@dataclass(frozen=True)
class NodeCertificates:
    """What a node is known by besides its token: SHA-256 of certificates, in hex."""

    certificate: str | None
    """That it showed when it joined; None is any."""
    next_certificate: str | None
    """That it said it will show."""

    def fits(self, shown: str | None) -> bool:
        """Whether this node may show it. None is no certificate: whether one is needed at all is for the settings."""
        return shown is None or self.certificate is None or shown in (self.certificate, self.next_certificate)


@dataclass(frozen=True)
class NodeToken:
    """A token that a node holds, or is about to take up."""

    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    """First; None while its agent has not taken it up."""
    is_due: bool
    """Whether the agent is asked for another."""
