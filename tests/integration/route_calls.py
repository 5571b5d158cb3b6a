"""Requests for every route: what each sends, and how an application in this process is asked."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from pydantic import BaseModel

from protocol.ids import new_id
from tests.integration.route_world import FOLDER_OF, World
from web.api import agent, v1
from web.api.endpoints import Endpoint
from web.app import AGENT_API, JSON_API
from web.route_rules import Rule

_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


async def ask(
    app: Any, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, until_begun: bool = False
) -> Answer:
    """One request of a browser or program on this machine. `until_begun` leaves as soon as the answer begins."""
    path, _, query = path.partition("?")
    sent = {"Host": _HOST, "Sec-Fetch-Site": "same-origin", **headers}
    started: dict[str, Any] = {}
    parts: list[bytes] = []
    begun = asyncio.Event()
    requests = [{"type": "http.request", "body": body}]

    async def receive() -> dict[str, Any]:
        return requests.pop() if requests else await asyncio.Future()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
            begun.set()
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        "client": (_HOST, 50_000),
        "server": (_HOST, 80),
        "state": {},
    }
    work = asyncio.create_task(app(scope, receive, send))
    if until_begun:
        waiting = asyncio.create_task(begun.wait())
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        work.cancel()
        await asyncio.wait({work})
    else:
        await asyncio.wait({work})
    if not work.cancelled() and work.exception() is not None:
        return Answer(500, {}, repr(work.exception()).encode())
    given = {name.decode(): value.decode() for name, value in started["headers"]}
    return Answer(started["status"], given, b"".join(parts))


def request_of(rule: Rule, world: World, place: str) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body with which a rule is tried on the things of a place."""
    path = world.path(rule, place) + _QUERIES.get(rule.key, "")
    if not rule.changes:
        return path, {}, b""
    if rule.key in _BYTES:
        return path, _BYTES[rule.key], b"abc"
    if rule.path.startswith("/api/"):
        return path, {"Content-Type": "application/json"}, json.dumps(_json(rule, world, place)).encode()
    form = (
        _FORMS[rule.key](world, place) if rule.key in _FORMS else _USUAL | {"user_id": world.things["user_id"]["own"]}
    )
    return path, {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode()


def _started(world: World, place: str) -> dict[str, Any]:
    return {
        "id": str(new_id()),
        "node_id": world.things["node_id"][place],
        "name": "Tried",
        "folder": FOLDER_OF.get(place, ""),
        "interface": {"backend": "synthetic", "name": "counter"},
    }


def _granted(world: World) -> dict[str, str]:
    return {"role_id": world.things["role_id"]["own"], "scope": "everything"}


def _recorded(world: World, place: str) -> dict[str, str]:
    node_id = world.things["node_id"][place]
    return {
        "id": str(new_id()),
        "node": node_id,
        "shown": node_id,
        "name": "Tried",
        "folder": FOLDER_OF.get(place, ""),
        "interface": world.things["interface_id"][place],
    }


_QUERIES = {
    ("GET", "/recordings/news"): f"?after={new_id()}",
    ("GET", f"{JSON_API}/recordings/{{recording_id}}/peaks"): "?level=0&start=0&count=1",
    ("GET", f"{AGENT_API}/wake"): "?after=0",
}
_BYTES = {
    ("PUT", f"{AGENT_API}/cache-files/{{cache_file_id}}/{{part}}"): {
        "Content-Range": "bytes 0-2/*",
        "Reelkeeper-Epoch": "1",
        "Reelkeeper-Node-Run": "1",
    },
}
_USUAL = dict(
    [
        *(
            ("name", "Tried"),
            ("capacity", "1"),
            ("minimum_bytes", "1000"),
            ("preroll_seconds", "10"),
            ("label", "Left"),
        ),
        *(("channels", "2"), ("sample_rate_hz", "48000"), ("sample_type", "s16"), ("enabled", "yes"), ("days", "7")),
        *(("follow", "default"), ("kind", "wav"), ("version", "1"), ("scope", "everything"), ("effect", "allow")),
        ("url", "https://example.org/hook"),
    ]
)
"""What one form or another asks for."""
_RULE = {"second_factor": "optional", "was": "optional"}
_FORMS: dict[tuple[str, str], Callable[[World, str], dict[str, str]]] = {
    ("POST", "/record"): _recorded,
    ("POST", "/settings/sign-in"): lambda *_: _RULE,
}
_HOOK = {"name": "Tried", "url": "https://example.org/hook", "kinds": ["recording.failed"]}
_PROFILE = {"name": "Tried", "encoding": {"codec": "mp3", "bitrate_kbps": 192}}
_BODIES: dict[tuple[str, str], Callable[[World, str], dict[str, Any]]] = {
    ("POST", f"{JSON_API}/recordings"): _started,
    ("POST", f"{JSON_API}/profiles"): lambda world, place: _PROFILE,
    ("POST", f"{JSON_API}/users/{{user_id}}/grants"): lambda world, place: _granted(world),
    ("POST", f"{JSON_API}/groups/{{group_id}}/grants"): lambda world, place: _granted(world),
    ("POST", f"{JSON_API}/webhooks"): lambda world, place: _HOOK,
    ("PUT", f"{JSON_API}/webhooks/{{webhook_id}}"): lambda world, place: _HOOK,
    ("PUT", f"{JSON_API}/profiles/{{profile_id}}"): lambda world, place: {**_PROFILE, "version": 1},
}


def _json(rule: Rule, world: World, place: str) -> Any:
    """What a call sends: what is written above, or the least that its model takes."""
    if rule.key in _BODIES:
        return _BODIES[rule.key](world, place)
    model = _models()[rule.key]
    return {} if model is None else _least(model.model_json_schema(), model.model_json_schema().get("$defs", {}))


def _models() -> dict[tuple[str, str], type[BaseModel] | None]:
    def rows(base: str, endpoints: list[Endpoint]) -> dict[tuple[str, str], type[BaseModel] | None]:
        return {(one.method, base + one.path): one.parameters.get("body") for one in endpoints}

    return rows(AGENT_API, agent.ENDPOINTS) | rows(JSON_API, v1.ENDPOINTS)


def _least(schema: dict[str, Any], known: dict[str, Any]) -> Any:
    """A small value of a JSON schema."""
    if "$ref" in schema:
        return _least(known[schema["$ref"].rpartition("/")[2]], known)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return _least(schema[several][0], known)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", [])
            return {name: _least(schema["properties"][name], known) for name in wanted}
        case "array":
            return [_least(schema["items"], known)] * schema.get("minItems", 0)
        case "string":
            return _text(schema)
        case "integer" | "number":
            return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
    return None


def _text(schema: dict[str, Any]) -> str:
    formats = {"uuid": str(new_id()), "date-time": "2030-01-01T00:00:00Z", "uri": "https://example.org/hook"}
    usual: str = "a" * schema.get("minLength", 1)
    return formats.get(schema.get("format", ""), usual)


def texts_of(rule: Rule, world: World, place: str, text: str) -> Iterator[Any]:
    """Bodies of a call of the API, each with this text in another field that takes texts."""
    model = _models().get(rule.key)
    if model is None:
        return
    schema = model.model_json_schema()
    known, body = schema.get("$defs", {}), _json(rule, world, place)
    for name, part in schema.get("properties", {}).items():
        for value in _with_text(part, known, text):
            yield {**body, name: value}


def _with_text(schema: dict[str, Any], known: dict[str, Any], text: str) -> Iterator[Any]:
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    for one in schema.get("anyOf", []):
        yield from _with_text(one, known, text)
    match schema.get("type"):
        case "string":
            yield text
        case "array":
            yield from ([value] for value in _with_text(schema["items"], known, text))
        case "object":
            least = _least(schema, known)
            for name, part in schema.get("properties", {}).items():
                yield from ({**least, name: value} for value in _with_text(part, known, text))
