"""Nodes and their interfaces as values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.messages import CaptureFormat, InterfaceRef, SpoolReport

PREROLL_LIMIT_SECONDS = 3600
"""No interface keeps more than this before a start."""
MINIMUM_BYTES = 128
"""The least audio of a recording when neither profile nor node says another."""
MINIMUM_BYTES_LIMIT = 1_000_000_000


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
    label: str
    max_channels: int
    sample_rates_hz: list[int]
    sample_types: list[str]
    default_capture: CaptureFormat
    chosen_capture: CaptureFormat | None
    """What somebody set; None follows the default."""
    is_preferred: bool
    is_present: bool
    """Whether the last inventory listed it."""
    preroll_seconds: int
    """It keeps so much before anybody starts a recording; 0: nothing is captured then."""

    @property
    def is_armed(self) -> bool:
        return self.preroll_seconds > 0

    @property
    def capture(self) -> CaptureFormat:
        """The format the next take is captured in."""
        return self.chosen_capture or self.default_capture


@dataclass(frozen=True)
class EnrolmentCode:
    code: str
    """Shown once; only its digest is kept."""
    node_name: str
    expires_at: datetime
