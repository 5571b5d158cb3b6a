"""What the audit keeps: who did what to which thing, from where, and how it ended."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from web.domain.access import Actor, NodeActor, Source

HIDDEN = "•••"
_SECRETS = frozenset({"password", "passphrase", "secret", "secrets", "token", "digest", "hash", "otp", "code", "codes"})
_WORD = re.compile(r"[^\W_]+")


class Outcome(StrEnum):
    DONE = "done"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True)
class Budget:
    """So many entries in so many seconds."""

    number: int
    seconds: float


@dataclass(frozen=True)
class AuditLimits:
    """Seconds, characters and numbers of the audit."""

    seal_every: float = 1.0
    head_logged_every: float = 60.0
    """The newest seal goes to the log so often, when it has moved."""
    read_once_within: float = 600.0
    """Hearing or downloading the same recording again is no other entry for so long."""
    denials: Budget = Budget(20, 60.0)
    """Of one actor at one address; more refusals are only counted."""
    denials_together: Budget = Budget(600, 60.0)
    """The same of all."""
    failed_tokens: Budget = Budget(3, 600.0)
    """Of one token at one address: an agent whose token was revoked tries for ever."""
    text: int = 2_000
    """Of any one text in an entry; more is cut off."""


LIMITS = AuditLimits()


@dataclass(frozen=True)
class Object:
    """What an act was about. `kind` is a noun; the name is what it was called then."""

    kind: str
    id: UUID | None = None
    name: str | None = None


@dataclass(frozen=True)
class NewEntry:
    """What is to be noted. Instant and id come with it."""

    actor_kind: str
    actor_id: UUID | None
    actor_name: str
    action: str
    """`noun.verb`."""
    of: Object | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: Outcome
    reason: str | None
    source: Source


@dataclass(frozen=True)
class Entry(NewEntry):
    """What was noted."""

    id: int
    at: datetime


@dataclass(frozen=True)
class Filter:
    """Which entries somebody wants. What is empty or None asks for nothing; `until` is outside."""

    actor: str = ""
    action: str = ""
    """`noun.verb`, or a noun alone."""
    object_kind: str = ""
    object_id: UUID | None = None
    outcome: Outcome | None = None
    address: str = ""
    text: str = ""
    """Beginnings of words in names and reasons, all of them."""
    since: datetime | None = None
    until: datetime | None = None


def new_entry(
    by: Actor | NodeActor,
    action: str,
    of: Object | None,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    outcome: Outcome = Outcome.DONE,
    reason: str | None = None,
) -> NewEntry:
    """Of `before` and `after`, when both are given, only what differs is kept; secrets in them are hidden."""
    old, new = _plain_mapping(before), _plain_mapping(after)
    if old is not None and new is not None:
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key) or (key in old) != (key in new)]
        old, new = ({key: values[key] for key in differing if key in values} for values in (old, new))
    kind, actor_id = ("node", by.node_id) if isinstance(by, NodeActor) else (by.kind, by.id)
    return NewEntry(
        actor_kind=kind,
        actor_id=actor_id,
        actor_name=_clean(by.name),
        action=action,
        of=None if of is None else Object(of.kind, of.id, None if of.name is None else _clean(of.name)),
        before=_masked(old),
        after=_masked(new),
        outcome=outcome,
        reason=None if reason is None else _clean(reason),
        source=by.source,
    )


def stranger(source: Source, name: str = "somebody") -> Actor:
    """Nobody knows who: under the name that was given, with nothing allowed."""
    return Actor("user", None, name, {}, source)


def _masked(values: dict[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {key: HIDDEN if _names_secret(key) and value else _masked_value(value) for key, value in values.items()}


def _masked_value(value: Any) -> Any:
    match value:
        case dict():
            return _masked(value)
        case list():
            return [_masked_value(one) for one in value]
    return value


def _names_secret(key: str) -> bool:
    return not _SECRETS.isdisjoint(_WORD.findall(key.lower()))


def _plain_mapping(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if values is None else {_clean(str(key)): _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """As JSON has it."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return _clean(value)
        case datetime():
            return value.isoformat()
        case BaseModel():
            return _plain(value.model_dump(mode="json"))
        case Mapping():
            return _plain_mapping(value)
        case frozenset() | set():
            return sorted((_plain(one) for one in value), key=str)
        case Sequence():
            return [_plain(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return _clean(str(value))


def _clean(text: str) -> str:
    """Storable whatever somebody sent, and not endless."""
    text = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
    return text if len(text) <= LIMITS.text else f"{text[: LIMITS.text]}… ({len(text)} characters)"
