"""The OpenAPI document says what the routes do, since both are read from the same signatures."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from web.api import agent, v1
from web.api.endpoints import Endpoint
from web.api.openapi import openapi_document


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document("Reelkeeper", "1", "/api/v1", v1.ENDPOINTS)


@pytest.mark.parametrize("endpoint", v1.ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_route_is_an_operation_with_its_parameters(document: dict[str, Any], endpoint: Endpoint) -> None:
    operation = document["paths"]["/api/v1" + endpoint.path][endpoint.method.lower()]
    in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
    assert operation["summary"]
    assert operation["security"] == [{"token": []}]
    assert in_path == set(re.findall(r"\{(\w+)\}", endpoint.path))
    assert ("requestBody" in operation) == ("body" in endpoint.parameters)


def test_document_holds_nothing_but_the_routes(document: dict[str, Any]) -> None:
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == {("/api/v1" + one.path, one.method.lower()) for one in v1.ENDPOINTS}


def test_every_schema_is_valid_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    parts = ("schemas", "headers")
    assert references <= {f"#/components/{part}/{name}" for part in parts for name in document["components"][part]}


@pytest.mark.parametrize("endpoints", [agent.ENDPOINTS, v1.ENDPOINTS], ids=["agent", "v1"])
def test_every_route_has_a_name_of_its_own_and_says_what_it_does(endpoints: list[Endpoint]) -> None:
    names = [endpoint.name for endpoint in endpoints]
    assert len(set(names)) == len(names)
    assert all(endpoint.summary for endpoint in endpoints)


def test_only_joining_is_open_to_strangers() -> None:
    assert [endpoint.path for endpoint in (*agent.ENDPOINTS, *v1.ENDPOINTS) if not endpoint.is_guarded] == ["/enrol"]
