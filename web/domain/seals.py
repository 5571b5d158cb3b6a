"""The chain over the audit: each seal is a SHA-256 over the seal before it and one entry, as `docs/audit.md` says."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from web.domain.errors import InvalidError

START = "0" * 64
"""What stands for the seal before the first one."""


@dataclass(frozen=True)
class Seal:
    """Of one entry. Numbers have no holes; ids of entries may have."""

    entry_id: int
    number: int
    hash: str

    def __str__(self) -> str:
        """As it is logged, exported and given to `verify`: `ID:HASH`."""
        return f"{self.entry_id}:{self.hash}"


@dataclass(frozen=True)
class Record:
    """An entry as it is sealed: every column as text, in their order."""

    entry_id: int
    columns: Sequence[str | None]


@dataclass(frozen=True)
class Link:
    """What is found at one id: an entry, its seal, or both."""

    entry_id: int
    record: Record | None
    seal: Seal | None


@dataclass(frozen=True)
class Break:
    """The first place at which the chain does not hold."""

    kind: Literal["changed", "missing", "inserted"]
    entry_id: int
    words: str


@dataclass(frozen=True)
class Head:
    """What somebody has kept of the chain outside the database."""

    entry_id: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Of `ID:HASH`. Raises InvalidError."""
        number, _, digest = text.strip().partition(":")
        if not number.isdecimal() or len(digest) != len(START):
            raise InvalidError("Give the head as the log has it, ID:HASH.", field="head")
        return cls(int(number), digest.lower())


def seal_of(record: Record, before: Seal | None) -> Seal:
    """The seal that comes after `before`."""
    number = 1 if before is None else before.number + 1
    sealed = [START if before is None else before.hash, str(number), *record.columns]
    text = json.dumps(sealed, ensure_ascii=False, separators=(",", ":"))
    return Seal(record.entry_id, number, hashlib.sha256(text.encode()).hexdigest())


def break_at(link: Link, before: Seal | None) -> Break | None:
    """Whether the chain holds here, `before` being the last good seal."""
    here, last = link.entry_id, before.entry_id if before else 0
    if link.seal is None:
        return Break("inserted", here, f"Entry {here} has no seal although later ones have: it was put in afterwards.")
    if link.record is None:
        return Break("missing", here, f"Entry {here} was sealed and is gone.")
    expected = seal_of(link.record, before)
    lacking = link.seal.number - expected.number
    if lacking > 0:
        what = "1 sealed entry is" if lacking == 1 else f"{lacking} sealed entries are"
        return Break("missing", here, f"{what} gone between entry {last} and entry {here}.")
    if lacking < 0:
        return Break("inserted", here, f"Entry {here} bears the number of another: it was put in afterwards.")
    if link.seal != expected:
        return Break("changed", here, f"Entry {here} is not what was sealed.")
    return None
