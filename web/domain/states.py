"""The states of the product, one word each, as they are stored and shown."""

from enum import StrEnum


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class RecordingState(StrEnum):
    QUEUED = "queued"
    RECORDING = "recording"
    FINISHING = "finishing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in (RecordingState.COMPLETED, RecordingState.FAILED, RecordingState.CANCELLED)


class Mark(StrEnum):
    """Why a recording's content is less than was asked for; absent when it is whole."""

    TRUNCATED = "truncated"
    RECOVERED = "recovered"
    SALVAGED = "salvaged"


class CacheState(StrEnum):
    NONE = "none"
    RECEIVING = "receiving"
    CACHED = "cached"
    REMOVED = "removed"
    DAMAGED = "damaged"


class UploadStatus(StrEnum):
    NONE = "none"
    QUEUED = "queued"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    FAILED = "failed"


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Health(StrEnum):
    """How a recording ended; absent while it has not."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"

    def is_worse_than(self, other: "Health") -> bool:
        order = list(Health)
        return order.index(self) > order.index(other)
