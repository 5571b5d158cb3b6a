"""The named SQL of the folder sql, one file a noun: statements that must decide by themselves.

Instants in it are clock_timestamp(): now() stands still in a transaction.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEADER = re.compile(r"^-- (\w+) --$", re.MULTILINE)
_PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class NamedQuery:
    name: str
    sql: str
    """With numbered parameters."""
    parameters: tuple[str, ...]
    """Their names, in the order of the numbers."""

    def arguments(self, values: dict[str, Any]) -> list[Any]:
        """The values in the order of the numbers. Raises TypeError when a name is missing or unknown."""
        if values.keys() != set(self.parameters):
            raise TypeError(f"query {self.name} takes {sorted(self.parameters)}, not {sorted(values)}")
        return [values[name] for name in self.parameters]


def read_queries() -> dict[str, NamedQuery]:
    """Every query by its name. A query starts at `-- name --`; `{name}` in it is a value.

    Raises ValueError for two of a name.
    """
    queries: dict[str, NamedQuery] = {}
    for path in sorted(Path(__file__).with_name("sql").glob("*.sql")):
        _, *parts = _HEADER.split(path.read_text())
        for name, sql in zip(parts[::2], parts[1::2], strict=True):
            if name in queries:
                raise ValueError(f"{path} names the query {name} a second time")
            queries[name] = _parse(name, sql)
    return queries


def _parse(name: str, sql: str) -> NamedQuery:
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    numbers = {parameter: f"${number}" for number, parameter in enumerate(parameters, 1)}
    return NamedQuery(name, _PARAMETER.sub(lambda match: numbers[match[1]], sql).strip(), parameters)
