"""Every fault of the controller, what it is called for programs, and the one place that renders it.

The docstring of a class is its message when nobody gave another.
"""

import logging
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

_log = logging.getLogger(__name__)


class ControllerError(Exception):
    """Something went wrong in the controller."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        super().__init__(message or type(self).__doc__)
        self.facts = facts
        """Members of the problem besides the usual ones; never a secret."""


class UnauthorisedError(ControllerError):
    """A valid token is needed; send it as `Authorization: Bearer …`."""


class ForbiddenError(ControllerError):
    """The permission for this is missing; ask an administrator for it."""

    def __init__(self, permission: str, message: str | None = None) -> None:
        super().__init__(message or f"The permission {permission} is missing; ask an administrator for it.")
        self.permission = permission
        self.facts = {"permission": permission}


class NotYoursError(ControllerError):
    """This belongs to another node."""


class NotFoundError(ControllerError):
    """There is no such thing, or it is not yours to see."""


class ConflictError(ControllerError):
    """The present state does not allow this."""


class EpochSupersededError(ConflictError):
    """The lease on this job went to somebody else; keep the audio and offer it as salvage."""


class NodeRunSupersededError(ConflictError):
    """A newer agent runs with the token of this node; if that is a clone, revoke the token and enrol again."""


class JobEndedError(ConflictError):
    """This job has ended already; keep the audio and offer it as salvage."""


class WrongOffsetError(ConflictError):
    """The part does not go on at this byte; go on at `offset`."""

    def __init__(self, offset: int, part: str) -> None:
        super().__init__(f"The part {part} goes on at byte {offset}.", offset=offset, part=part)
        self.offset = offset
        self.part = part


class UploadReplacedError(ConflictError):
    """A newer request for the same part has taken over."""


class DigestMismatchError(ControllerError):
    """The part is not what the seal says; it was emptied, send it again from `offset`."""

    def __init__(self, part: str, message: str, *, offset: int = 0) -> None:
        super().__init__(f"{message} The part {part} was emptied; send it again.", part=part, offset=offset)
        self.part = part
        self.offset = offset


class InvalidError(ControllerError):
    """The request says something that cannot be."""


class TooLargeError(ControllerError):
    """This is more than the controller accepts."""


class NoSpaceError(ControllerError):
    """The cache store has reached its reserve; make room or give it a larger disk."""


class UnavailableError(ControllerError):
    """The controller cannot answer now; ask again."""


class RangeNotSatisfiableError(ControllerError):
    """The file ends before the range that was asked for."""

    def __init__(self, file_bytes: int) -> None:
        super().__init__(f"The file has {file_bytes} bytes.", bytes=file_bytes)
        self.file_bytes = file_bytes


_TABLE: dict[type[ControllerError], tuple[HTTPStatus, str]] = {
    UnauthorisedError: (HTTPStatus.UNAUTHORIZED, "unauthorised"),
    ForbiddenError: (HTTPStatus.FORBIDDEN, "forbidden"),
    NotYoursError: (HTTPStatus.FORBIDDEN, "not_yours"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found"),
    ConflictError: (HTTPStatus.CONFLICT, "conflict"),
    EpochSupersededError: (HTTPStatus.CONFLICT, "epoch_superseded"),
    NodeRunSupersededError: (HTTPStatus.CONFLICT, "node_run_superseded"),
    JobEndedError: (HTTPStatus.CONFLICT, "job_ended"),
    WrongOffsetError: (HTTPStatus.CONFLICT, "wrong_offset"),
    DigestMismatchError: (HTTPStatus.UNPROCESSABLE_ENTITY, "digest_mismatch"),
    InvalidError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid"),
    TooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"),
    NoSpaceError: (HTTPStatus.INSUFFICIENT_STORAGE, "no_space"),
    UnavailableError: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    RangeNotSatisfiableError: (HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
}

_RETRY_AFTER_SECONDS: dict[type[ControllerError], int] = {NoSpaceError: 30, UnavailableError: 2}


def status_and_code(fault: type[ControllerError]) -> tuple[HTTPStatus, str]:
    """The HTTP status of a fault and its name for programs; a class without an entry is its nearest base."""
    for kind in fault.__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal"


async def problem_response(request: Request, fault: Exception) -> Response:
    """Renders any fault as an RFC 9457 problem.

    What nobody foresaw is logged with its traceback and answered with nothing but the id it has in the log.
    """
    match fault:
        case ControllerError():
            status, code = status_and_code(type(fault))
            return _problem(status, code, str(fault), fault.facts, _headers(fault))
        case HTTPException():
            status = HTTPStatus(fault.status_code)
            return _problem(status, _CODE_OF_STATUS.get(status, "invalid"), fault.detail, {}, dict(fault.headers or {}))
        case _:
            return _unforeseen(request, fault)


_CODE_OF_STATUS = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
}


def _headers(fault: ControllerError) -> dict[str, str]:
    headers = {}
    for kind, seconds in _RETRY_AFTER_SECONDS.items():
        if isinstance(fault, kind):
            headers["Retry-After"] = str(seconds)
    match fault:
        case UnauthorisedError():
            headers["WWW-Authenticate"] = "Bearer"
        case WrongOffsetError():
            headers["Upload-Offset"] = str(fault.offset)
        case RangeNotSatisfiableError():
            headers["Content-Range"] = f"bytes */{fault.file_bytes}"
    return headers


def _unforeseen(request: Request, fault: Exception) -> Response:
    fault_id: UUID = uuid4()
    _log.error("fault %s in %s %s", fault_id, request.method, request.url.path, exc_info=fault)
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        f"Something went wrong; the log of the controller has it under {fault_id}.",
        {"id": str(fault_id)},
        {},
    )


def _problem(status: HTTPStatus, code: str, detail: str, facts: dict[str, Any], headers: dict[str, str]) -> Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail, "code": code}
    return JSONResponse(
        body | facts,
        status_code=status,
        headers={"Cache-Control": "no-store", **headers},
        media_type="application/problem+json",
    )
