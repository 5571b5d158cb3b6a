"""The named SQL of queries.sql."""

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
    """Every query of queries.sql by its name. A query starts at `-- name --`; `{name}` in it is a value."""
    path = Path(__file__).with_name("queries.sql")
    _, *parts = _HEADER.split(path.read_text())
    queries = [_parse(name, sql) for name, sql in zip(parts[::2], parts[1::2], strict=True)]
    by_name = {query.name: query for query in queries}
    if len(by_name) != len(queries):
        raise ValueError(f"{path} names a query twice")
    return by_name


def _parse(name: str, sql: str) -> NamedQuery:
    parameters = tuple(dict.fromkeys(_PARAMETER.findall(sql)))
    numbers = {parameter: f"${number}" for number, parameter in enumerate(parameters, 1)}
    return NamedQuery(name, _PARAMETER.sub(lambda match: numbers[match[1]], sql).strip(), parameters)
