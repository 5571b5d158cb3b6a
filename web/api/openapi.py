"""The OpenAPI 3.1 document of a set of endpoints, read from their signatures."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from protocol.messages import Problem
from web.api.endpoints import Endpoint, is_model, is_nothing

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
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
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
        self.definitions: dict[str, Any] = document["$defs"]
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


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, schemas)],
        "responses": _responses(endpoint, schemas),
        "security": [{"token": []}] if endpoint.is_guarded else [],
    }
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
