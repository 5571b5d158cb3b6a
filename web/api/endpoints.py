"""An endpoint is a function whose signature is its declaration.

Parameters are filled by name: `call` the request and the controller, `by` the Actor of a user's token, `node` the
NodeActor of a node's token, `body` and `query` a Pydantic model each, every other a part of the path. A function that
takes neither `by` nor `node` is open to all. It gives a model, None (204), or a response of its own; what kinds of body
that may have stands in `media`. Routes and the OpenAPI document are both read from here.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from types import NoneType
from typing import Any, get_args, get_type_hints
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from web.domain.errors import InvalidError, NotFoundError, TooLargeError, UnauthorisedError, UnavailableError
from web.errors import problem_response
from web.services import nodes, tokens
from web.services.controller import Controller

BODY_LIMIT_BYTES = 1024 * 1024
SLOWEST_BYTES_PER_SECOND = 8 * 1024
"""A body may take longer than a short one by its length at this rate: the facts of months pass a slow line too."""
NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class Call:
    """One request."""

    controller: Controller
    request: Request
    received_at: float
    """Seconds of a clock of this process: which of two requests came first."""


@dataclass(frozen=True)
class Endpoint:
    """One method of one path. Parts of the path stand in braces, named as the parameters of `act`."""

    method: str
    path: str
    act: Callable[..., Awaitable[Any]]
    status: HTTPStatus = HTTPStatus.OK
    """Of an answer that has a body."""
    media: tuple[str, ...] = ()
    """The types that a body may have that is no JSON of a model."""
    has_ranges: bool = True
    """Whether such a body is a file, also given in ranges."""
    body_limit_bytes: int = BODY_LIMIT_BYTES
    problems: tuple[HTTPStatus, ...] = ()
    """Refusals that do not follow from the signature."""

    @property
    def name(self) -> str:
        """Noun and verb: `recordings.show`."""
        return f"{self.act.__module__.rpartition('.')[2]}.{self.act.__name__}"

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.act) or "").partition("\n")[0].rstrip(".")

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The types of the function's parameters."""
        return {name: kind for name, kind in get_type_hints(self.act).items() if name != "return"}

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        known = {"call", "by", "node", "body", "query"}
        return {name: kind for name, kind in self.parameters.items() if name not in known}

    @cached_property
    def answers(self) -> tuple[Any, ...]:
        """What the function gives: models, None, or a response."""
        given = get_type_hints(self.act)["return"]
        return get_args(given) or (given,)

    @property
    def is_guarded(self) -> bool:
        """Whether a token is needed."""
        return "by" in self.parameters or "node" in self.parameters

    @property
    def all_problems(self) -> list[HTTPStatus]:
        """The refusals to be expected."""
        follows = {
            HTTPStatus.UNAUTHORIZED: self.is_guarded,
            HTTPStatus.FORBIDDEN: "by" in self.parameters,
            HTTPStatus.NOT_FOUND: bool(self.path_parameters),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body" in self.parameters,
            HTTPStatus.UNPROCESSABLE_ENTITY: "body" in self.parameters or "query" in self.parameters,
            HTTPStatus.SERVICE_UNAVAILABLE: True,
        }
        return sorted({*self.problems, *(status for status, does in follows.items() if does)})

    def route(self, base: str) -> Route:
        """The same for the server, below `base`."""
        path = base + self.path
        for name, kind in self.path_parameters.items():
            if kind is UUID:
                path = path.replace(f"{{{name}}}", f"{{{name}:uuid}}")
        return Route(path, self._answer, methods=[self.method], name=f"api.{self.name}")

    async def _answer(self, request: Request) -> Response:
        call = Call(request.app.state.controller, request, time.monotonic())
        try:
            return self._respond(await self.act(**await self._arguments(call)))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as fault:
            return await problem_response(request, fault)

    async def _arguments(self, call: Call) -> dict[str, Any]:
        """Who asks comes first, so that nobody else's body is read."""
        controller, request = call.controller, call.request
        values: dict[str, Any] = {}
        if "by" in self.parameters:
            values["by"] = await tokens.authenticate(controller.db, _bearer(request))
        if "node" in self.parameters:
            values["node"] = await nodes.authenticate_node(controller.db, _bearer(request))
        for name, kind in self.path_parameters.items():
            values[name] = _path_value(name, kind, request.path_params[name])
        if "query" in self.parameters:
            values["query"] = _checked(lambda: self.parameters["query"].model_validate(dict(request.query_params)))
        if "body" in self.parameters:
            text = await _read_body(request, self.body_limit_bytes, controller.timeouts.http_total)
            values["body"] = _checked(lambda: self.parameters["body"].model_validate_json(text))
        if "call" in self.parameters:
            values["call"] = call
        return values

    def _respond(self, answer: Any) -> Response:
        match answer:
            case Response():
                return answer
            case None:
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=NO_STORE)
            case BaseModel():
                text = answer.model_dump_json()
                return Response(text, self.status, headers=NO_STORE, media_type="application/json")
        raise TypeError(f"{self.name} gave {type(answer).__name__}")


def is_model(kind: Any) -> bool:
    """Whether an answer of this type is a JSON body."""
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def is_nothing(kind: Any) -> bool:
    return kind is NoneType


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorisedError
    return token.strip()


def _path_value(name: str, kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as fault:
        raise NotFoundError(name, value) from fault


async def _read_body(request: Request, limit_bytes: int, limit_seconds: float) -> bytes:
    body, began = bytearray(), asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(limit_seconds) as limit, aclosing(request.stream()) as blocks:
            async for block in blocks:
                body += block
                if len(body) > limit_bytes:
                    raise TooLargeError(f"The body may have at most {limit_bytes} bytes.")
                limit.reschedule(began + limit_seconds + len(body) / SLOWEST_BYTES_PER_SECOND)
    except TimeoutError as stalled:
        raise UnavailableError(f"The body arrived too slowly; send it within {limit_seconds:g} s.") from stalled
    return bytes(body)


def _checked(read: Callable[[], BaseModel]) -> BaseModel:
    """Raises InvalidError, with every fault that was found in `errors`."""
    try:
        return read()
    except ValidationError as fault:
        errors = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in fault.errors()]
        first = errors[0]
        invalid = InvalidError(f"{first['field'] or 'body'}: {first['message']}", field=first["field"])
        invalid.facts["errors"] = errors
        raise invalid from fault
