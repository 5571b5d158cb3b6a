"""Nodes and their interfaces as values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.messages import CaptureFormat, InterfaceRef


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
    last_seen_at: datetime | None
    is_seen: bool
    """Whether it was heard within the limit that the reader asked for."""
    created_at: datetime

    @property
    def node_id(self) -> UUID:
        return self.id


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
