"""What is wrong with something that was sent, in our words."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

_INSTANT = "Give an instant with its zone, as 2026-11-21T18:00:00Z."
_OBJECT = "Give an object, with keys."
_SENTENCES = {
    "missing": "This key is needed.",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dict_type": _OBJECT,
    "list_type": "Give a list.",
    "frozen_set_type": "Give a list.",
    "string_type": "Give a text.",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "int_parsing_size": "Give a smaller whole number.",
    "int_from_float": "Give a whole number.",
    "float_type": "Give a number.",
    "float_parsing": "Give a number.",
    "finite_number": "Give a number.",
    "bool_type": "Give true or false.",
    "bool_parsing": "Give true or false.",
    "uuid_type": "Give an id, as 01a1ff33-5bae-7c8d-9a5c-430358e563fc.",
    "uuid_parsing": "Give an id, as 01a1ff33-5bae-7c8d-9a5c-430358e563fc.",
    "datetime_type": _INSTANT,
    "datetime_parsing": _INSTANT,
    "datetime_from_date_parsing": _INSTANT,
    "timezone_aware": _INSTANT,
}
_WITH_FACTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "json_invalid": lambda facts: f"This is no JSON: {facts['error']}.",
    "value_error": lambda facts: str(facts["error"]),
    "enum": lambda facts: f"Give {facts['expected']}.",
    "literal_error": lambda facts: f"Give {facts['expected']}.",
    "union_tag_not_found": lambda facts: f"The key {facts['discriminator']} is needed in it.",
    "union_tag_invalid": lambda facts: f"As {facts['discriminator']} give one of {facts['expected_tags']}.",
    "greater_than_equal": lambda facts: f"Give at least {_figure(facts['ge'])}.",
    "less_than_equal": lambda facts: f"Give at most {_figure(facts['le'])}.",
    "string_too_short": lambda facts: f"Give at least {_number(facts['min_length'], 'character')}.",
    "string_too_long": lambda facts: f"Give at most {_number(facts['max_length'], 'character')}.",
    "too_short": lambda facts: f"Give at least {_number(facts['min_length'], 'entry', 'entries')}.",
    "too_long": lambda facts: f"Give at most {_number(facts['max_length'], 'entry', 'entries')}.",
}


def in_words(fault: ErrorDetails, model: type[BaseModel] | None = None) -> str:
    """One sentence for one fault that Pydantic found; of what it rarely finds, in Pydantic's words.

    With the model that was sent for, a key that is not known is answered with those that are.
    """
    kind = fault["type"]
    if kind == "extra_forbidden":
        return _unknown_key([] if model is None else _keys_at(model, fault["loc"][:-1]))
    if kind in _WITH_FACTS:
        return _WITH_FACTS[kind](fault.get("ctx", {}))
    return _SENTENCES.get(kind, fault["msg"])


def _unknown_key(known: list[str]) -> str:
    return f"This key is not known here; known are: {', '.join(known)}." if known else "This key is not known here."


def _keys_at(model: type[BaseModel], path: Iterable[int | str]) -> list[str]:
    """The keys that an object there may have; none where it is not one model."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return []
        model = field.annotation
    return list(model.model_fields)


def _figure(number: float) -> str:
    return f"{number:.0f}" if number == int(number) else f"{number}"


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
