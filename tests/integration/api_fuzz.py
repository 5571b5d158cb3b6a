"""Calls of the JSON API made from its own document, good and bad ones, each held against it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.schemas import BaseSchema

DOCUMENT = "/api/v1/openapi.json"
_LEFT_OUT = ("DELETE /api/v1/tokens/{token_id}",)
"""It could end the token that everything is called with; other tests call it."""


@dataclass
class Found:
    calls: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    """One of a kind and operation: how to call it again, and what was wrong."""


@dataclass(frozen=True)
class Share:
    """One of several parts of the operations; all of them together are the whole document."""

    number: int = 0
    of: int = 1


def fuzzed(
    url: str,
    token: str,
    *,
    examples: int,
    seed: int,
    phases: tuple[str, ...] = ("coverage", "fuzzing"),
    share: Share = Share(),
) -> Found:
    """So many examples of each operation of a share, the same of the same seed."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": f"Bearer {token}"},
            "continue-on-failure": True,
            "request-timeout": 60,
            "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
            "phases": {name: {"enabled": name in phases} for name in ("examples", "coverage", "fuzzing", "stateful")},
            # what a schema cannot say (an end before its start, a name that is taken) is refused by 422 as well
            "checks": {"positive_data_acceptance": {"enabled": False}},
            "operations": [{"include-name": name, "enabled": False} for name in _LEFT_OUT],
        }
    )
    found = Found()
    for event in from_schema(_share_of(schemathesis.openapi.from_url(url + DOCUMENT, config=config), share)).execute():
        if isinstance(event, ScenarioFinished):
            _add(found, event.recorder)
        elif isinstance(event, NonFatalError):
            found.failures[f"{event.label}: {event.value!r}"] = str(event.value)
        elif isinstance(event, FatalError):
            raise event.exception
    return found


def _share_of(schema: BaseSchema, share: Share) -> BaseSchema:
    labels = sorted(operation.ok().label for operation in schema.get_all_operations())
    return schema.include(name=labels[share.number :: share.of])


def _add(found: Found, recorder: Any) -> None:
    for interaction in recorder.interactions.values():
        found.calls += 1
        found.operations[recorder.label] += 1
        if interaction.response is not None:
            found.statuses[interaction.response.status_code] += 1
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info
                found.failures.setdefault(
                    f"{recorder.label}: {check.name}", f"{failure.code_sample}\n{failure.failure}"
                )
