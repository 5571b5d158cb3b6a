"""What a person sent by a form: names with one or more texts, nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request

from web.bodies import read_body
from web.domain.errors import InvalidError
from web.domain.faults import in_words

FORM_LIMIT_BYTES = 64 * 1024
_FIELDS_LIMIT = 1000
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Form:
    """Texts as they were typed, so that a refused form is shown again with them."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str, default: str = "") -> str:
        """The first text of this name, without spaces around it."""
        return next((value.strip() for key, value in self.fields if key == name), default)

    def raw(self, name: str) -> str:
        """The first text of this name as it was typed: passwords may begin with a space."""
        return next((value for key, value in self.fields if key == name), "")

    def all(self, name: str) -> list[str]:
        return [value.strip() for key, value in self.fields if key == name and value.strip()]

    def has(self, name: str, value: str) -> bool:
        """Whether this box was ticked or this choice taken."""
        return (name, value) in self.fields


async def read_form(request: Request) -> Form:
    """Raises TooLargeError, UnavailableError for one that comes too slowly, InvalidError for what is no form."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise InvalidError("This is no form; use the page.")
    body = await read_body(request, FORM_LIMIT_BYTES, request.app.state.controller.timeouts.http_total)
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_LIMIT, errors="strict")
    except ValueError as fault:
        raise InvalidError("This form cannot be read; use the page.") from fault
    return Form(tuple(fields))


def faults_of(
    fault: ValidationError, labels: Iterable[tuple[str, str]] = (), sentences: Mapping[str, str] = _NONE
) -> dict[str, str]:
    """One sentence a field, to be shown beside it and above the form.

    `labels` renames fields of the model to those of the form; `sentences` are what is said of a field of the model
    whatever is wrong with it.
    """
    renamed = dict(labels)
    faults: dict[str, str] = {}
    for one in fault.errors():
        field = str(one["loc"][0]) if one["loc"] else ""
        faults.setdefault(renamed.get(field, field), sentences.get(field) or in_words(one))
    return faults
