"""An endpoint is a function whose signature is its declaration.

Parameters are filled by name: `call` the request and the controller, `by` the Actor of a user's token, `node` the
NodeActor of a node's token, `held` that token itself, also when it has run out, `body` and `query` a Pydantic model
each, every other a part of the path. A function that takes none of `by`, `node` and `held` is open to all. It gives a
model, None (204), or a response of its own; what kinds of body that may have stands in `media`. Routes and the OpenAPI
document are both read from here.
"""

import hashlib
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from http import HTTPStatus
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from protocol.ids import token_id
from web.bodies import read_body
from web.domain.access import Actor
from web.domain.errors import (
    InvalidError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorisedError,
    UnsupportedBodyError,
)
from web.domain.faults import in_words
from web.errors import problem_response, rate_headers
from web.media.streaming import let_in_no_more
from web.refusals import note_refusal
from web.services.controller import Controller
from web.services.entry import tokens
from web.services.kept_answers import KEY_LIMIT, Answered, once
from web.services.recorders import joining
from web.sources import source_of

BODY_LIMIT_BYTES = 1024 * 1024
NO_STORE = {"Cache-Control": "no-store"}
IDEMPOTENCY_HEADER = "Idempotency-Key"
REPEATED_HEADER = "Idempotency-Replayed"
"""Of an answer that was given before."""


@dataclass(frozen=True)
class Call:
    """One request."""

    controller: Controller
    request: Request
    received_at: float
    """Seconds of a clock of this process: which of two requests came first."""
    body: bytes = b""
    """As it came, where it was read as a whole."""


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
    def tag(self) -> str:
        """The noun, in words: `node groups`."""
        return self.name.partition(".")[0].replace("_", " ")

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.act) or "").partition("\n")[0].rstrip(".")

    @property
    def description(self) -> str:
        """What is said besides the summary."""
        return (inspect.getdoc(self.act) or "").partition("\n")[2].strip()

    @property
    def is_counted(self) -> bool:
        """Whether calls are limited, as those of tokens of people are."""
        return "by" in self.parameters

    @cached_property
    def parameters(self) -> Mapping[str, Any]:
        """The types of the function's parameters."""
        return {name: kind for name, kind in get_type_hints(self.act).items() if name != "return"}

    @property
    def path_parameters(self) -> Mapping[str, Any]:
        known = {"call", "by", "node", "held", "body", "query"}
        return {name: kind for name, kind in self.parameters.items() if name not in known}

    @cached_property
    def answers(self) -> tuple[Any, ...]:
        """What the function gives: models, None, or a response."""
        given = get_type_hints(self.act)["return"]
        return get_args(given) or (given,)

    @property
    def is_guarded(self) -> bool:
        """Whether a token is needed."""
        return not {"by", "node", "held"}.isdisjoint(self.parameters)

    @property
    def keeps_answer(self) -> bool:
        """Whether it makes something, and a request that has a key of its client makes it once."""
        return "by" in self.parameters and self.method == "POST" and self.status == HTTPStatus.CREATED

    @property
    def all_problems(self) -> list[HTTPStatus]:
        """The refusals to be expected."""
        follows = {
            HTTPStatus.UNAUTHORIZED: self.is_guarded,
            HTTPStatus.FORBIDDEN: "by" in self.parameters,
            HTTPStatus.NOT_FOUND: bool(self.path_parameters),
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body" in self.parameters,
            HTTPStatus.UNPROCESSABLE_ENTITY: "body" in self.parameters or "query" in self.parameters,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "by" in self.parameters and "body" in self.parameters,
            HTTPStatus.TOO_MANY_REQUESTS: "by" in self.parameters,
            HTTPStatus.SERVICE_UNAVAILABLE: True,
        }
        return sorted({*self.problems, *(status for status, does in follows.items() if does)})

    def route(self, base: str, middleware: Sequence[Middleware] = ()) -> Route:
        """The same for the server, below `base`."""
        path = base + self.path
        for name, kind in self.path_parameters.items():
            if kind is UUID:
                path = path.replace(f"{{{name}}}", f"{{{name}:uuid}}")
        return Route(path, self._answer, methods=[self.method], name=f"api.{self.name}", middleware=middleware)

    async def _answer(self, request: Request) -> Response:
        call = Call(request.app.state.controller, request, time.monotonic())
        try:
            response = await self._done(request, await self._arguments(call))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        except Exception as fault:
            await note_refusal(request, fault, by=request.scope.get("user"), path=self.path)
            response = await problem_response(request, fault)
        if hasattr(request.state, "rate"):
            response.headers.update(rate_headers(request.state.rate))
        return response

    async def _done(self, request: Request, arguments: dict[str, Any]) -> Response:
        key = request.headers.get(IDEMPOTENCY_HEADER) if self.keeps_answer else None
        if key is None:
            return self._respond(await self.act(**arguments))
        _require_good_key(key)
        call: Call = arguments["call"]

        async def act(controller: Controller) -> Answered:
            with_controller = {**arguments, "call": replace(call, controller=controller)}
            response = self._respond(await self.act(**with_controller))
            return Answered(response.status_code, bytes(response.body))

        digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + call.body).hexdigest()
        answered = await once(call.controller, arguments["by"].id, key, request_digest=digest, act=act)
        headers = {**NO_STORE, REPEATED_HEADER: "true"} if answered.is_repeated else NO_STORE
        return Response(answered.body, answered.status, headers=headers, media_type="application/json")

    async def _arguments(self, call: Call) -> dict[str, Any]:
        """Who asks comes first, so that nobody else's body is read."""
        controller, request = call.controller, call.request
        values: dict[str, Any] = {}
        if "by" in self.parameters:
            values["by"] = await _token_of(call)
        if "node" in self.parameters:
            values["node"] = await joining.authenticate_node(controller.db, _bearer(request), source=source_of(request))
        if "held" in self.parameters:
            values["held"] = await joining.hold_token(controller.db, _bearer(request), source=source_of(request))
        request.scope["user"] = values.get("by") or values.get("node")
        for name, kind in self.path_parameters.items():
            values[name] = _path_value(name, kind, request.path_params[name])
        if "query" in self.parameters:
            values["query"] = _checked(self.parameters["query"], lambda model: _query_in(request, model))
        if "body" in self.parameters:
            text = await read_body(request, self.body_limit_bytes, controller.timeouts.http_total)
            is_strict = "by" in self.parameters  # agents may be of another version
            if is_strict:
                _require_json(request)
            call = replace(call, body=text)
            values["body"] = _checked(
                self.parameters["body"], lambda model: model.model_validate_json(text, strict=is_strict)
            )
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


async def token_ended(call: Call, may: Callable[[Actor], bool]) -> None:
    """Returns soon after the token of this call has ended, or `may` says no of what it holds by then."""

    async def who() -> Actor:
        return await tokens.authenticate(call.controller.db, _bearer(call.request), source_of(call.request))

    await let_in_no_more(call.controller, who, may)


def is_model(kind: Any) -> bool:
    """Whether an answer of this type is a JSON body."""
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def is_nothing(kind: Any) -> bool:
    return kind is NoneType


async def _token_of(call: Call) -> Actor:
    """Who asks, unless that is too often. Raises UnauthorisedError, TooManyRequestsError."""
    controller, request, source = call.controller, call.request, source_of(call.request)
    try:
        by = await tokens.authenticate(controller.db, _bearer(request), source)
    except UnauthorisedError:
        controller.api_rates.refuse(source.address, _claimed_id(request))
        raise
    request.state.rate = controller.api_rates.count(source.address, by.id)
    if not request.state.rate.is_allowed:
        raise TooManyRequestsError(request.state.rate)
    return by


def _query_in(request: Request, model: type[BaseModel]) -> BaseModel:
    """A key that is a list may be repeated; of any other a second one is a fault."""
    given: dict[str, Any] = {}
    for name in request.query_params:
        texts = request.query_params.getlist(name)
        field = model.model_fields.get(name)
        is_list = field is not None and get_origin(field.annotation) is list
        given[name] = texts if is_list or len(texts) > 1 else texts[0]
    return model.model_validate(given)


def _require_json(request: Request) -> None:
    """Raises UnsupportedBodyError for what is told to be something else."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedBodyError


def _require_good_key(key: str) -> None:
    if not 1 <= len(key) <= KEY_LIMIT:
        raise InvalidError(f"A key has 1 to {KEY_LIMIT} characters.", field=IDEMPOTENCY_HEADER)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorisedError
    return token.strip()


def _claimed_id(request: Request) -> UUID | None:
    """Of the token that was sent, whether there is one of this id or not."""
    return token_id("user", request.headers.get("Authorization", "").partition(" ")[2].strip())


def _path_value(name: str, kind: Any, value: Any) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as fault:
        raise NotFoundError(name, value) from fault


def _checked(model: type[BaseModel], read: Callable[[type[BaseModel]], BaseModel]) -> BaseModel:
    """Raises InvalidError, with every fault that was found in `errors`."""
    try:
        return read(model)
    except ValidationError as fault:
        errors = [{"field": ".".join(map(str, one["loc"])), "message": in_words(one, model)} for one in fault.errors()]
        first = errors[0]
        invalid = InvalidError(f"{first['field'] or 'body'}: {first['message']}", field=first["field"])
        invalid.facts["errors"] = errors
        raise invalid from fault
