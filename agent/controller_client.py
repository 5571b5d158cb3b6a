"""The only HTTP of the agent: `/api/agent/v1`, typed in both directions."""

import asyncio
import email.utils
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from agent.errors import (
    ControllerFault,
    DigestMismatchError,
    InsecureControllerError,
    LeaseLostError,
    NodeRunSupersededError,
    RetryLaterError,
    TokenExpiredError,
    UnauthorisedError,
    UnreachableError,
    WrongOffsetError,
)
from agent.settings import AgentSettings
from agent.tls import tls_context
from protocol.messages import (
    EPOCH_HEADER,
    NODE_RUN_HEADER,
    OFFSET_HEADER,
    CacheFileAnswer,
    CacheFileRequest,
    ClaimedJob,
    ClaimRequest,
    EnrolAnswer,
    EnrolRequest,
    EventsRequest,
    FinishRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    Inventory,
    LevelsAnswer,
    LevelsRequest,
    PartName,
    Problem,
    RunAnswer,
    RunRequest,
    SealAnswer,
    SealRequest,
    TokenRequest,
    WakeAnswer,
)
from protocol.timeouts import Timeouts

Answer = TypeVar("Answer", bound=BaseModel)

BLOCK_BYTES = 256 * 1024
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ControllerClient:
    """One controller, spoken to as one node.

    Every call raises UnreachableError when there is no answer in time, RetryLaterError on 429, 503, 507 and other
    faults of the server, and a ControllerFault for what the controller refuses. Redirects are never followed.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        timeouts: Timeouts,
        transport: httpx.AsyncBaseTransport | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        allows_plain_http: bool = False,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_refused` is called whenever the token is refused, or has run out."""
        self._timeouts = timeouts
        self._token = token
        self._on_refused = on_refused
        self._http = httpx.AsyncClient(
            base_url=_checked(url, allows_plain_http).rstrip("/") + "/api/agent/v1",
            verify=True if tls is None else tls,
            timeout=httpx.Timeout(timeouts.http_total, connect=timeouts.http_connect),
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
            transport=transport,
        )

    @classmethod
    def of(
        cls,
        settings: AgentSettings,
        url: str,
        token: str | None = None,
        *,
        on_refused: Callable[[], None] = lambda: None,
    ) -> Self:
        """As the settings say. Raises InsecureControllerError, CertificateError."""
        return cls(
            url,
            token,
            settings.timeouts,
            tls=tls_context(settings),
            allows_plain_http=settings.allow_plain_http,
            on_refused=on_refused,
        )

    def use_token(self, token: str) -> None:
        """From the next request on."""
        self._token = token

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    # ---- joining and being there ----

    async def enrol(self, request: EnrolRequest) -> EnrolAnswer:
        return await self._post("/enrol", request, EnrolAnswer)

    async def rotate_token(self, request: TokenRequest) -> None:
        """Says which token is the next one of this node. Raises UnauthorisedError."""
        await self._send("POST", "/token", request)

    async def run(self, request: RunRequest) -> RunAnswer:
        return await self._post("/run", request, RunAnswer)

    async def put_inventory(self, inventory: Inventory) -> None:
        await self._send("PUT", "/inventory", inventory)

    async def claim_next(self, request: ClaimRequest) -> ClaimedJob | None:
        """The leased job, None when nothing is due."""
        answer = await self._send("POST", "/claim-next", request)
        return None if answer.status_code == httpx.codes.NO_CONTENT else _parsed(answer, ClaimedJob)

    async def wake(self, after: int, node_run: int) -> WakeAnswer:
        """Held by the controller until something changes for this node."""
        limit = self._timeouts.wake_held + self._timeouts.http_total
        answer = await self._send(
            "GET", "/wake", params={"after": after}, headers={NODE_RUN_HEADER: str(node_run)}, limit=limit
        )
        return _parsed(answer, WakeAnswer)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatAnswer:
        return await self._post("/heartbeat", request, HeartbeatAnswer)

    async def finish(self, job_id: UUID, request: FinishRequest) -> None:
        await self._send("POST", f"/jobs/{job_id}/finish", request, lease=(job_id, request.epoch))

    async def events(self, request: EventsRequest) -> None:
        await self._send("POST", "/events", request)

    async def levels(self, request: LevelsRequest) -> LevelsAnswer:
        return await self._post("/levels", request, LevelsAnswer)

    # ---- content ----

    async def open_cache_file(self, request: CacheFileRequest) -> CacheFileAnswer:
        answer = await self._send("POST", "/cache-files", request, lease=(request.job_id, request.epoch))
        return _parsed(answer, CacheFileAnswer)

    async def part_offset(self, cache_file_id: UUID, part: PartName, lease: "Lease") -> int:
        """Bytes of this part that are safe on the controller."""
        answer = await self._send("HEAD", f"/cache-files/{cache_file_id}/{part}", headers=lease.headers, lease=lease.of)
        return _offset_of(answer)

    async def append(self, cache_file_id: UUID, part: PartName, lease: "Lease", content: "FileRange") -> int:
        """Sends a range of a file from disk in blocks; what is now safe on the controller. Raises WrongOffsetError."""
        headers = {
            **lease.headers,
            "Content-Range": f"bytes {content.start}-{content.end - 1}/*",
            "Content-Length": str(content.end - content.start),
            "Content-Type": "application/octet-stream",
        }
        answer = await self._send(
            "PUT",
            f"/cache-files/{cache_file_id}/{part}",
            content=content.blocks(),
            headers=headers,
            lease=lease.of,
            limit=None,
        )
        return _offset_of(answer) if OFFSET_HEADER in answer.headers else content.end

    async def seal(self, cache_file_id: UUID, request: SealRequest) -> SealAnswer:
        """Raises DigestMismatchError when the controller holds other bytes."""
        answer = await self._send(
            "POST", f"/cache-files/{cache_file_id}/seal", request, lease=(request.job_id, request.epoch), limit=None
        )
        return _parsed(answer, SealAnswer)

    # ---- the wire ----

    async def _post(self, path: str, body: BaseModel, kind: type[Answer]) -> Answer:
        return _parsed(await self._send("POST", path, body), kind)

    async def _send(
        self,
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        content: AsyncIterator[bytes] | None = None,
        params: Mapping[str, int] | None = None,
        headers: Mapping[str, str] | None = None,
        lease: tuple[UUID, int] | None = None,
        limit: float | None = 0.0,
    ) -> httpx.Response:
        """`limit` seconds for all of it: 0 for the usual total, None for what may be long and only must not stall."""
        total = self._timeouts.http_total if limit == 0.0 else limit
        extra: dict[str, Any] = {}
        token = self._token
        if token is not None:
            headers = {**(headers or {}), "Authorization": f"Bearer {token}"}
        if body is not None:
            extra["content"] = body.model_dump_json()
            headers = {**(headers or {}), "Content-Type": "application/json"}
        if content is not None:
            extra["content"] = content
        patience = httpx.Timeout(total or self._timeouts.upload_stall, connect=self._timeouts.http_connect)
        try:
            async with asyncio.timeout(total):
                answer = await self._http.request(
                    method, path, params=params, headers=headers, timeout=patience, **extra
                )
        except (httpx.TransportError, TimeoutError) as cause:
            raise UnreachableError(
                f"The controller did not answer {method} {path} ({type(cause).__name__} {cause}). "
                "Check the network and that the controller runs."
            ) from cause
        if not answer.is_success:
            fault = _fault(answer, lease)
            raise self._refused(fault, token) if isinstance(fault, UnauthorisedError) else fault
        return answer

    def _refused(self, fault: UnauthorisedError, token: str | None) -> Exception:
        """A request that left before the token was exchanged is sent again."""
        if token != self._token:
            return RetryLaterError("The token of this node was exchanged for another meanwhile.", 0.0)
        self._on_refused()
        return fault


class Lease:
    """By which right content is sent."""

    def __init__(self, job_id: UUID, epoch: int, node_run: int) -> None:
        self.of = (job_id, epoch)
        self.headers = {EPOCH_HEADER: str(epoch), NODE_RUN_HEADER: str(node_run)}


class FileRange:
    """Bytes of a file, from `start` up to `end`, read in blocks while they are sent."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        self.path = path
        self.start = start
        self.end = end

    async def blocks(self) -> AsyncIterator[bytes]:
        file = await asyncio.to_thread(self.path.open, "rb", buffering=0)
        with file:
            file.seek(self.start)
            left = self.end - self.start
            while left:
                block = await asyncio.to_thread(file.read, min(left, BLOCK_BYTES))
                if not block:
                    raise UnreachableError(f"{self.path} became shorter while it was sent. It is sent again.")
                left -= len(block)
                yield block


def _checked(url: str, allows_plain_http: bool) -> str:
    parts = urlsplit(url)
    is_plain_allowed = allows_plain_http or parts.hostname in _LOOPBACK
    if parts.scheme == "https" or (parts.scheme == "http" and is_plain_allowed):
        return url
    raise InsecureControllerError(
        f"{url}: plain http is spoken to this machine only. Use an https address, or set "
        "REELKEEPER_ALLOW_PLAIN_HTTP=true if everybody on the way may read and change what is said."
    )


def _parsed(answer: httpx.Response, kind: type[Answer]) -> Answer:
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as cause:
        raise ControllerFault(
            f"The controller's answer to {answer.request.url.path} has another form ({cause}). "
            "Run controller and agent in the same version."
        ) from cause


def _offset_of(answer: httpx.Response) -> int:
    value = answer.headers.get(OFFSET_HEADER, "")
    if not value.isdecimal():
        raise ControllerFault(f"The controller named no offset. Expected the header {OFFSET_HEADER}.")
    return int(value)


def _fault(answer: httpx.Response, lease: tuple[UUID, int] | None) -> Exception:
    """The refusal as one of our errors."""
    problem = _problem(answer)
    words = f"{problem.title}: {problem.detail}" if problem.detail else problem.title
    match problem.code:
        case "node_run_superseded":
            return NodeRunSupersededError(words, problem.code)
        case "epoch_superseded" | "job_ended":
            job_id, epoch = lease or (None, None)
            return LeaseLostError(words, problem.code, job_id, epoch)
        case "wrong_offset":
            offset = (problem.model_extra or {}).get("offset", answer.headers.get(OFFSET_HEADER))
            return WrongOffsetError(words, int(offset))
        case "digest_mismatch":
            return DigestMismatchError(words, problem.code)
        case "unauthorised":
            return UnauthorisedError(words, problem.code)
        case "token_expired":
            return TokenExpiredError(words, problem.code)
    if problem.status in {408, 425, 429} or problem.status >= 500:
        return RetryLaterError(words, _retry_after(answer))
    return ControllerFault(words, problem.code)


def _problem(answer: httpx.Response) -> Problem:
    """What the answer says of itself; an answer to HEAD, or a proxy's, has no problem in it."""
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        code = {401: "unauthorised", 403: "forbidden", 404: "not_found"}.get(answer.status_code, "")
        return Problem(title=answer.reason_phrase, status=answer.status_code, detail="", code=code)


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds of the header `Retry-After`, which is a number or a date."""
    value = answer.headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
