"""The OpenAPI 3.1 document of a set of endpoints, read from their signatures."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from protocol.messages import Problem
from web.api.endpoints import IDEMPOTENCY_HEADER, REPEATED_HEADER, Endpoint, is_model, is_nothing
from web.services.kept_answers import KEY_LIMIT

_REF = "#/components/schemas/{model}"
_PROBLEM = "application/problem+json"


def openapi_document(title: str, version: str, base: str, endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """The whole document. Paths begin with `base`."""
    endpoints = list(endpoints)
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(base + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "headers": _HEADERS,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "A token, made in the console."}
            },
        },
    }


class _Schemas:
    """Every model once, by its name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        requests = {e.parameters["body"] for e in endpoints if "body" in e.parameters}
        queries = {e.parameters["query"] for e in endpoints if "query" in e.parameters}
        answers = {kind for e in endpoints for kind in e.answers if is_model(kind)} | {Problem}
        used: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            *((model, "validation") for model in sorted(requests | queries, key=_name)),
            *((model, "serialization") for model in sorted(answers, key=_name)),
        ]
        self._by_model, document = models_json_schema(used, ref_template=_REF)
        self.definitions: dict[str, Any] = _as_taken(document["$defs"])
        self._queries: dict[type[BaseModel], dict[str, Any]] = {
            query: self.definitions.pop(_name(query)) for query in queries
        }

    def request(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._by_model[model, "validation"]

    def query(self, model: type[BaseModel]) -> dict[str, Any]:
        """The schema itself: what it refers to is among the definitions, each part of it is a parameter."""
        return self._queries[model]

    def answer(self, model: type[BaseModel]) -> dict[str, Any]:
        return self._by_model[model, "serialization"]


def _as_taken(schema: Any) -> Any:
    """What is named twice in a set is taken once, and not refused."""
    if isinstance(schema, dict):
        return {key: _as_taken(part) for key, part in schema.items() if key != "uniqueItems"}
    return [_as_taken(part) for part in schema] if isinstance(schema, list) else schema


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "parameters": [
            *_path_parameters(endpoint),
            *_query_parameters(endpoint, schemas),
            *([_IDEMPOTENCY_KEY] if endpoint.keeps_answer else []),
        ],
        "responses": _responses(endpoint, schemas),
        "security": [{"token": []}] if endpoint.is_guarded else [],
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if "body" in endpoint.parameters:
        schema = schemas.request(endpoint.parameters["body"])
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": TypeAdapter(kind).json_schema()}
        for name, kind in endpoint.path_parameters.items()
    ]


def _query_parameters(endpoint: Endpoint, schemas: _Schemas) -> list[dict[str, Any]]:
    if "query" not in endpoint.parameters:
        return []
    schema = schemas.query(endpoint.parameters["query"])
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": part}
        for name, part in schema["properties"].items()
    ]


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for kind in endpoint.answers:
        if is_model(kind):
            responses[str(endpoint.status.value)] = _body(endpoint.status, "application/json", schemas.answer(kind))
        elif is_nothing(kind):
            responses["204"] = {"description": HTTPStatus.NO_CONTENT.phrase}
        elif endpoint.media:
            responses |= _file_responses(endpoint)
    problem = schemas.answer(Problem)
    for status in endpoint.all_problems:
        responses[str(status.value)] = _body(status, _PROBLEM, problem)
    responses["default"] = {"description": "Any other fault", "content": {_PROBLEM: {"schema": problem}}}
    for status_code, response in responses.items():
        names = [name for name, where in _HEADERS_OF.items() if status_code in where] if endpoint.is_counted else []
        if endpoint.keeps_answer and status_code == str(endpoint.status.value):
            names.append(REPEATED_HEADER)
        if names:
            response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return responses


def _file_responses(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": {}} for media_type in endpoint.media}
    whole = {"200": {"description": HTTPStatus.OK.phrase, "content": content}}
    if not endpoint.has_ranges:
        return whole
    return whole | {
        "206": {"description": HTTPStatus.PARTIAL_CONTENT.phrase, "content": content},
        "304": {"description": HTTPStatus.NOT_MODIFIED.phrase},
    }


def _body(status: HTTPStatus, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": status.phrase, "content": {media_type: {"schema": schema}}}


def _name(model: type[BaseModel]) -> str:
    return model.__name__


_ABOUT = """\
Everything that the console does. Instants are UTC; lists go on with `before`, which takes what `next` said. A refusal
is a problem (RFC 9457) whose `code` names it for programs. Calls that make something take an `Idempotency-Key`."""
_IDEMPOTENCY_KEY = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "required": False,
    "description": "The same key within a day is the same request: it is done once and answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LIMIT},
}
_TEXT = {"type": "string"}
_HEADERS: dict[str, Any] = {
    "RateLimit-Policy": {"description": 'How many calls in how many seconds: `"token";q=1200;w=60`.', "schema": _TEXT},
    "RateLimit": {"description": "How many are left, and when there is one more.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to authenticate.", "schema": _TEXT},
    REPEATED_HEADER: {"description": "`true` when this was answered before.", "schema": _TEXT},
}
_DONE = ("200", "201", "202", "204")
_HEADERS_OF: dict[str, tuple[str, ...]] = {
    "RateLimit-Policy": (*_DONE, "429"),
    "RateLimit": (*_DONE, "429"),
    "Retry-After": ("429", "503"),
    "WWW-Authenticate": ("401",),
}
"""By the status of answers."""
