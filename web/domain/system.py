"""What a controller is and stands on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from web.domain.seals import Seal


@dataclass(frozen=True)
class Surroundings:
    """What was settled at its start, outside of the console."""

    version: str = ""
    address: str = ""
    """Where it listens."""
    cache_folder: Path | None = None
    is_database_embedded: bool = True
    told: Mapping[str, str] = field(default_factory=dict)
    """What was set from outside, by the names of the variables. Never a secret."""


@dataclass(frozen=True)
class DatabaseFacts:
    version: str
    bytes: int
    newest_migration: str
    connections: int


@dataclass(frozen=True)
class SystemFacts:
    """How it stands now."""

    surroundings: Surroundings
    python: str
    database: DatabaseFacts
    disk_free_bytes: int | None
    """Where the cache files lie."""
    disk_total_bytes: int | None
    audit_head: Seal | None
    """The newest seal over the audit; None before the first."""
    keys: int
    """How many keys have sealed something here."""
    newest_key: str
