"""`/api/agent/v1`: what an agent says to its controller. The bodies are those of protocol.messages."""

from http import HTTPStatus

from web.api.agent import cache_files, jobs, nodes
from web.api.endpoints import Endpoint

_LEASED = (HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)
_STORED = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.INSUFFICIENT_STORAGE)
_PART = "/cache-files/{cache_file_id}/{part}"

ENDPOINTS = [
    Endpoint("POST", "/enrol", nodes.enrol, problems=(HTTPStatus.UNAUTHORIZED, HTTPStatus.CONFLICT)),
    Endpoint("POST", "/token", nodes.token),
    Endpoint("POST", "/certificate", nodes.certificate),
    Endpoint("POST", "/run", nodes.run, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("PUT", "/inventory", nodes.inventory, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("GET", "/wake", nodes.wake),
    Endpoint("POST", "/claim-next", jobs.claim_next, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("POST", "/heartbeat", jobs.heartbeat, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("POST", "/jobs/{job_id}/finish", jobs.finish, problems=_LEASED),
    Endpoint("POST", "/events", jobs.events, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("POST", "/levels", nodes.levels, problems=(HTTPStatus.CONFLICT,)),
    Endpoint("POST", "/cache-files", cache_files.begin, problems=_LEASED),
    Endpoint("HEAD", _PART, cache_files.progress),
    Endpoint("PUT", _PART, cache_files.append, problems=(*_LEASED, *_STORED)),
    Endpoint(
        "POST",
        "/cache-files/{cache_file_id}/seal",
        cache_files.seal,
        body_limit_bytes=cache_files.SEAL_LIMIT_BYTES,
        problems=(*_LEASED, *_STORED),
    ),
]
