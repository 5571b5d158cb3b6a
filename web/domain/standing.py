"""How things stand: what is live, what needs somebody, how the last day went."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from protocol.messages import JobSettings, Phase, Wish
from web.domain.nodes import Interface, Node
from web.domain.space import bytes_per_second, capture_bytes_per_second, seconds_left
from web.domain.states import RecordingState, Severity

STARTS_WITHIN_SECONDS = 10.0
"""A start that waits longer than this is worth a word."""


@dataclass(frozen=True)
class LiveRecording:
    """A recording that has not ended, with its newest job."""

    id: UUID
    name: str
    folder: str
    state: RecordingState
    node_id: UUID
    node_name: str | None
    """None for who may not know of the node."""
    interface_id: UUID | None
    """None for those too, and once the node's interface is forgotten."""
    interface_label: str
    settings: JobSettings
    wish: Wish
    phase: Phase | None
    """None before the claim."""
    lease_seconds: float | None
    """Until the lease expires; below 0 once it has, and nobody has heard of the agent for so long."""
    waited_seconds: float
    """Since it was due; below 0 while it is not."""
    elapsed_ms: int | None
    """Since its first frame."""
    remaining_ms: int | None
    """Until its planned end, if it has one."""

    @property
    def channels(self) -> list[int]:
        """Those of the capture, counted from 0, that are heard in it."""
        return [index for index, gains in enumerate(zip(*self.settings.channel_map, strict=True)) if any(gains)]

    @property
    def is_due(self) -> bool:
        return self.waited_seconds >= 0

    @property
    def is_out_of_contact(self) -> bool:
        """Whether its node should have been heard of by now."""
        return self.lease_seconds is not None and self.lease_seconds < 0

    @property
    def is_finishing(self) -> bool:
        """Whether its capture is over, or was asked to be."""
        return self.wish is not Wish.RUN or self.state is RecordingState.FINISHING

    @property
    def is_running(self) -> bool:
        return self.state is RecordingState.RECORDING and not self.is_finishing and not self.is_out_of_contact

    @property
    def occupies_node(self) -> bool:
        """Whether it counts in the node's capacity."""
        is_capturing = self.phase in (Phase.STARTING, Phase.CAPTURING)
        return self.wish is Wish.RUN and (is_capturing or (self.state is RecordingState.QUEUED and self.is_due))


@dataclass(frozen=True)
class NodeCard:
    """A node with what it has and does."""

    node: Node
    interfaces: list[Interface]
    live: list[LiveRecording]
    """The recordings of this node that have not ended, as far as the viewer may know of them."""
    occupied: int
    """How many count in its capacity, of all."""

    @property
    def busy(self) -> list[LiveRecording]:
        """Those that count in its capacity and may be known of."""
        return [recording for recording in self.live if recording.occupies_node]

    @property
    def others(self) -> int:
        """How many more count in it."""
        return max(0, self.occupied - len(self.busy))

    @property
    def is_full(self) -> bool:
        """Whether nothing more may start on it now."""
        return len(self.busy) + self.others >= self.node.capacity

    @property
    def present(self) -> list[Interface]:
        return [interface for interface in self.interfaces if interface.is_present]

    @property
    def usable(self) -> list[Interface]:
        """Those on which a recording can be started now."""
        return [interface for interface in self.interfaces if interface.is_usable]

    @property
    def likeliest(self) -> Interface | None:
        """What somebody who starts a recording most probably means."""
        return next((one for one in self.usable if one.is_preferred), next(iter(self.usable), None))

    @property
    def is_filling(self) -> bool:
        is_measured = self.node.disk_seconds_left is not None
        return bool(self.busy) or (bool(self.armed) and is_measured)

    @property
    def filling(self) -> float:
        """Bytes a second that fill its disk now: as it measured, or as its recordings should."""
        free_bytes, measured = self.node.spool_free_bytes, self.node.disk_seconds_left
        if self.is_filling and free_bytes is not None and measured:
            return free_bytes / measured
        return bytes_per_second(recording.settings for recording in self.busy)

    @property
    def seconds_left(self) -> float | None:
        """Until its disk is full: at the rate of now, or while it is idle as if its likeliest interface recorded."""
        if self.is_filling and self.node.disk_seconds_left is not None:
            return float(self.node.disk_seconds_left)
        filling = self.filling
        if not self.is_filling and self.likeliest is not None:
            filling = capture_bytes_per_second(self.likeliest.capture)
        return seconds_left(self.node.spool_free_bytes, filling)

    def seconds_left_with(self, another: JobSettings) -> float | None:
        """The same with another recording besides what it does now."""
        busy = [recording.settings for recording in self.busy]
        added = bytes_per_second([another, *busy]) - bytes_per_second(busy)
        return seconds_left(self.node.spool_free_bytes, self.filling + added)

    @property
    def armed(self) -> list[Interface]:
        """What it captures before anybody starts a recording."""
        return [interface for interface in self.interfaces if interface.is_armed]


@dataclass(frozen=True)
class Concern:
    """One thing that somebody should look at: a recording, or a fault of a node."""

    severity: Severity
    message: str
    at: datetime
    """When it came up; of what lasts, since when."""
    lasts: bool
    """A condition that is not over."""
    events: int
    """How many say so."""
    node_id: UUID | None
    """None is the controller itself, which has no name."""
    node_name: str | None
    """None also for who may not know of the node."""
    recording_id: UUID | None
    """None also for who may not know of the recording."""
    recording_name: str | None
    folder: str | None
    is_failed: bool
    """Whether the recording itself failed; the next four are of such."""
    reason: str | None
    """One word for programs."""
    ended_at: datetime
    """When contact was lost, or it failed otherwise."""
    salvaged_at: datetime | None
    """When content came after all."""
    salvaged_ms: int | None
    """How much of it."""
    heard_at_seconds: float | None
    """The second of the recording at which it can be heard, where that is known."""


@dataclass(frozen=True)
class Concerns:
    total: int
    newest: list[Concern]


@dataclass(frozen=True)
class LastDay:
    """Of the recordings that ended within 24 hours."""

    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True)
class BarCounts:
    """What the bar over every page says."""

    running: int
    attention: int
