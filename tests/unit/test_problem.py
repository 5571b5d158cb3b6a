"""What faults are called, and that an unforeseen one tells nothing."""

import asyncio
import json
from typing import get_args

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from protocol.messages import ProblemCode
from web.domain import errors
from web.errors import logged_path, problem_response, status_and_code

FAULTS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ControllerError) and kind is not errors.ControllerError
]


def rendered(fault: Exception) -> Response:
    scope = {"type": "http", "method": "GET", "path": "/x", "query_string": b"", "headers": [], "server": ("h", 1)}
    return asyncio.run(problem_response(Request(scope), fault))


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.__name__)
def test_every_fault_of_the_domain_has_a_status_and_a_code(kind: type[errors.ControllerError]) -> None:
    status, code = status_and_code(kind)
    assert 400 <= status < 600
    assert code != "internal"


def test_every_code_that_agents_know_is_given_by_some_fault() -> None:
    assert set(get_args(ProblemCode)) <= {status_and_code(kind)[1] for kind in FAULTS}


def test_problem_carries_the_facts_of_its_fault() -> None:
    answer = rendered(errors.WrongOffsetError(7, "audio"))
    problem = json.loads(bytes(answer.body))
    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Upload-Offset"] == "7"
    assert (problem["code"], problem["offset"], problem["part"]) == ("wrong_offset", 7, "audio")


def test_no_fact_takes_the_place_of_a_member_of_the_problem() -> None:
    problem = json.loads(bytes(rendered(errors.ConflictError("No.", status=1, code="x", title="y")).body))
    assert (problem["status"], problem["code"], problem["title"]) == (409, "conflict", "Conflict")


def test_clients_are_told_when_to_come_again() -> None:
    assert "Retry-After" in rendered(errors.UnavailableError()).headers
    assert "Retry-After" in rendered(errors.NoSpaceError()).headers
    assert "Retry-After" not in rendered(errors.ConflictError()).headers


def test_fault_of_the_server_is_rendered_as_a_problem() -> None:
    assert json.loads(bytes(rendered(HTTPException(404)).body))["code"] == "not_found"


def test_unforeseen_fault_tells_its_id_only_and_logs_the_rest() -> None:
    with capture_logs() as logs:
        answer = rendered(RuntimeError("secret"))
    problem = json.loads(bytes(answer.body))
    assert answer.status_code == 500
    assert b"secret" not in bytes(answer.body)
    assert logs[0]["id"] == problem["id"]
    assert isinstance(logs[0]["exc_info"], RuntimeError)


def test_code_of_a_link_is_not_logged_with_its_path() -> None:
    scope = {"type": "http", "path": "/invitation/rki_secret", "path_params": {"code": "rki_secret"}, "headers": []}
    assert logged_path(Request(scope | {"server": ("h", 1), "query_string": b""})) == "/invitation/•••"
    assert logged_path(Request(scope | {"path_params": {}, "path": "/nodes"})) == "/nodes"
