"""What every fault is called for programs, and the one place that renders it."""

from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from protocol.ids import new_id
from protocol.messages import OFFSET_HEADER, Problem
from web.domain.audit import HIDDEN
from web.domain.errors import (
    CapacityError,
    ConflictError,
    ControllerError,
    DigestMismatchError,
    EpochSupersededError,
    ForbiddenError,
    InvalidError,
    JobEndedError,
    KeyReusedError,
    LinkSpentError,
    NodeDrainingError,
    NodeFullError,
    NodeRunSupersededError,
    NoSpaceError,
    NotCachedError,
    NotFoundError,
    NotYoursError,
    RangeNotSatisfiableError,
    SignInRequiredError,
    SlowDownError,
    TokenExpiredError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorisedError,
    UnavailableError,
    UnsupportedBodyError,
    WrongOffsetError,
)
from web.domain.rates import Standing
from web.sources import source_of

_log = structlog.get_logger()

_TABLE: dict[type[ControllerError], tuple[HTTPStatus, str]] = {
    UnauthorisedError: (HTTPStatus.UNAUTHORIZED, "unauthorised"),
    TokenExpiredError: (HTTPStatus.UNAUTHORIZED, "token_expired"),
    SignInRequiredError: (HTTPStatus.UNAUTHORIZED, "sign_in_required"),
    LinkSpentError: (HTTPStatus.GONE, "link_spent"),
    ForbiddenError: (HTTPStatus.FORBIDDEN, "forbidden"),
    NotYoursError: (HTTPStatus.FORBIDDEN, "not_yours"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found"),
    ConflictError: (HTTPStatus.CONFLICT, "conflict"),
    CapacityError: (HTTPStatus.CONFLICT, "node_busy"),
    NodeFullError: (HTTPStatus.CONFLICT, "no_space"),
    NodeDrainingError: (HTTPStatus.CONFLICT, "node_draining"),
    NotCachedError: (HTTPStatus.CONFLICT, "not_cached"),
    EpochSupersededError: (HTTPStatus.CONFLICT, "epoch_superseded"),
    NodeRunSupersededError: (HTTPStatus.CONFLICT, "node_run_superseded"),
    JobEndedError: (HTTPStatus.CONFLICT, "job_ended"),
    WrongOffsetError: (HTTPStatus.CONFLICT, "wrong_offset"),
    RangeNotSatisfiableError: (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
    SlowDownError: (HTTPStatus.TOO_MANY_REQUESTS, "slow_down"),
    TooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    DigestMismatchError: (HTTPStatus.UNPROCESSABLE_ENTITY, "digest_mismatch"),
    InvalidError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid"),
    KeyReusedError: (HTTPStatus.UNPROCESSABLE_ENTITY, "key_reused"),
    UnsupportedBodyError: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_body"),
    TooManyRequestsError: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests"),
    UnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    NoSpaceError: (HTTPStatus.INSUFFICIENT_STORAGE, "no_space"),
}
_RETRY_AFTER_SECONDS = {HTTPStatus.SERVICE_UNAVAILABLE: 2, HTTPStatus.INSUFFICIENT_STORAGE: 30}
_CODE_OF_STATUS = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}


def status_and_code(fault: type[ControllerError]) -> tuple[HTTPStatus, str]:
    """The HTTP status of a fault and its name for programs; a class without an entry is its nearest base."""
    for kind in fault.__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal"


def fault_id_of(request: Request) -> UUID:
    """What an unforeseen fault is called towards people and in the log: the id of its request."""
    return source_of(request).request_id or new_id()


def logged_path(request: Request) -> str:
    """Of a one-time link without its code, which lets in whoever has it."""
    code = request.path_params.get("code")
    path: str = request.scope["path"]
    return path.replace(code, HIDDEN) if code else path


async def problem_response(request: Request, fault: Exception) -> Response:
    """Renders any fault as an RFC 9457 problem.

    What nobody foresaw is logged with its traceback and answered with nothing but the id it has in the log.
    """
    match fault:
        case ControllerError():
            status, code = status_and_code(type(fault))
            return _problem(status, code, str(fault), fault.facts, _headers(status, fault))
        case HTTPException():
            status = HTTPStatus(fault.status_code)
            return _problem(status, _CODE_OF_STATUS.get(status, "invalid"), fault.detail, {}, dict(fault.headers or {}))
        case _:
            return _unforeseen(request, fault)


def _headers(status: HTTPStatus, fault: ControllerError) -> dict[str, str]:
    headers = {}
    if status in _RETRY_AFTER_SECONDS:
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS[status])
    match fault:
        case UnauthorisedError():
            headers["WWW-Authenticate"] = "Bearer"
        case TooManyRequestsError():
            headers |= {"Retry-After": str(fault.standing.wait_seconds), **rate_headers(fault.standing)}
        case SlowDownError():
            headers["Retry-After"] = str(fault.seconds)
        case WrongOffsetError():
            headers[OFFSET_HEADER] = str(fault.offset)
        case RangeNotSatisfiableError():
            headers["Content-Range"] = f"bytes */{fault.file_bytes}"
    return headers


def rate_headers(standing: Standing) -> dict[str, str]:
    """As the IETF's draft of RateLimit header fields has them."""
    rate = standing.rate
    return {
        "RateLimit-Policy": f'"{rate.name}";q={rate.number};w={rate.seconds:g}',
        "RateLimit": f'"{rate.name}";r={standing.remaining};t={standing.wait_seconds}',
    }


def _unforeseen(request: Request, fault: Exception) -> Response:
    fault_id = fault_id_of(request)
    _log.error("unforeseen fault", id=str(fault_id), method=request.method, path=logged_path(request), exc_info=fault)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        f"Something went wrong; the log of the controller has it under {fault_id}.",
        {"id": str(fault_id)},
        {},
    )


def _problem(status: HTTPStatus, code: str, detail: str, facts: dict[str, Any], headers: dict[str, str]) -> Response:
    problem = Problem(**{**facts, "title": status.phrase, "status": status.value, "detail": detail, "code": code})
    return Response(
        problem.model_dump_json(),
        status_code=status,
        headers={"Cache-Control": "no-store", **headers},
        media_type="application/problem+json",
    )
