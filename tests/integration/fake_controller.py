"""A controller written by hand: it speaks `/api/agent/v1`, keeps everything in memory, and fails on demand."""

import asyncio
import base64
import functools
import re
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import uvicorn
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from protocol.ids import new_id
from protocol.messages import (
    EPOCH_HEADER,
    HEAD_BYTES_OF,
    NODE_RUN_HEADER,
    OFFSET_HEADER,
    ArmedInterface,
    CacheFileAnswer,
    CacheFileRequest,
    ClaimedJob,
    ClaimRequest,
    EnrolAnswer,
    EnrolRequest,
    EventReport,
    EventsRequest,
    FinishRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    InterfaceRef,
    Inventory,
    JobReport,
    JobSettings,
    JobStanding,
    LevelsAnswer,
    LevelsRequest,
    Origin,
    PartName,
    PartOffsets,
    Phase,
    RecordingFacts,
    RunAnswer,
    RunRequest,
    SealAnswer,
    SealRequest,
    TokenRequest,
    WakeAnswer,
    Wish,
)

WAKE_LOOKS = 500
WAKE_LOOK_SECONDS = 0.01
Handler = Callable[["FakeController", Request], Awaitable[Response]]


@dataclass
class FakeJob:
    job_id: UUID
    recording_id: UUID
    settings: JobSettings
    requested_at: float
    state: str = "queued"
    epoch: int = 1
    claim_id: UUID | None = None
    wish: Wish = Wish.RUN
    wished_at: float = 0.0
    reports: list[JobReport] = field(default_factory=list)
    finish: FinishRequest | None = None
    starts_at: float | None = None
    ends_at: float | None = None
    attempt: int = 1

    @property
    def is_live(self) -> bool:
        return self.state == "running"

    @property
    def phase(self) -> Phase | None:
        return self.reports[-1].phase if self.reports else None


@dataclass
class FakeCacheFile:
    request: CacheFileRequest
    parts: dict[PartName, bytearray]
    facts: RecordingFacts | None = None
    origin: Origin | None = None
    sealed_at: float | None = None
    verdict: Literal["sealed", "verified", "damaged"] = "sealed"
    """What reading it back has found so far, at a controller that does."""

    @property
    def offsets(self) -> PartOffsets:
        return PartOffsets(**{name: len(content) for name, content in self.parts.items()})


class Refusal(Exception):
    def __init__(self, status: int, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.facts = facts


class FakeController:
    """One node's controller. Its attributes are what tests look at and turn."""

    def __init__(self) -> None:
        self.node_run = 0
        self.run_request: UUID | None = None
        self.change_no = 1
        self.jobs: dict[UUID, FakeJob] = {}
        self.cache_files: dict[UUID, FakeCacheFile] = {}
        self.inventory: Inventory | None = None
        self.events: list[EventReport] = []
        self.watched: list[InterfaceRef] = []
        self.armed: list[ArmedInterface] = []
        self.levels: list[LevelsRequest] = []
        self.enrolments: list[EnrolRequest] = []
        self.claim_ids: list[UUID] = []
        self.fenced: list[int] = []
        """Runs whose agent said that it was refused for a newer one."""
        self.calls: Counter[str] = Counter()
        self.called_at: defaultdict[str, list[float]] = defaultdict(list)
        """When each call of a route came, in monotonic seconds."""
        self.received_bytes = 0
        self.lost_answers: Counter[str] = Counter()
        """How many answers to a route get lost after their effect."""
        self.refusals: dict[str, tuple[int, str]] = {}
        """Status and Retry-After by route; `*` for all."""
        self.reads_back = False
        """Whether it reads back what it sealed, and tells; older ones do not."""
        self.rotates_token = False
        """Whether heartbeats ask for another token."""
        self.token_digests: list[str] = []
        """Of the tokens that agents made, as they were told."""
        self.refused_tokens: set[str] = set()
        self.only_token: str | None = None
        """The one that is good, when every other is refused."""
        self.bearers: Counter[str] = Counter()
        """How many requests came with which token."""
        self.damaged_parts = 0
        """How many seals find another byte than was sent."""
        self._changed = threading.Condition()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0

    # ---- being there or not ----

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        listener = self._listener()
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(_app(self), log_level="critical", lifespan="off", timeout_graceful_shutdown=0)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.should_exit = self._server.force_exit = True
            self._server, thread, self._thread = None, self._thread, None
            thread.join(10)

    def _listener(self) -> socket.socket:
        """On the port it had before, as soon as no passing connection of somebody else has that."""
        end = time.monotonic() + 60
        while True:
            try:
                return socket.create_server(("127.0.0.1", self.port))
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    # ---- what people do ----

    def add_job(
        self, settings: JobSettings, *, starts_in: float | None = None, ends_in: float | None = None
    ) -> FakeJob:
        now = time.monotonic()
        job = FakeJob(
            job_id=new_id(),
            recording_id=new_id(),
            settings=settings,
            requested_at=now,
            starts_at=None if starts_in is None else now + starts_in,
            ends_at=None if ends_in is None else now + ends_in,
        )
        self.jobs[job.job_id] = job
        self.change_no += 1
        return job

    def arm(self, *armed: ArmedInterface) -> None:
        """These interfaces and no others."""
        self.armed = list(armed)
        self.change_no += 1

    def add_retry(self, job: FakeJob, *, ends_in: float | None = None) -> FakeJob:
        """Another attempt at the same recording, with the same settings."""
        again = self.add_job(job.settings, ends_in=ends_in)
        again.recording_id, again.attempt = job.recording_id, job.attempt + 1
        return again

    def wish(self, job: FakeJob, wish: Wish, *, age: float = 0.0) -> float:
        """When it was pressed."""
        job.wish, job.wished_at = wish, time.monotonic() - age
        self.change_no += 1
        return job.wished_at

    def end_lease(self, job: FakeJob) -> None:
        """What a rescuer does."""
        job.state, job.epoch = "failed", job.epoch + 1

    def sealed(self, job: FakeJob) -> FakeCacheFile | None:
        return next(
            (
                one
                for one in self.cache_files.values()
                if one.request.job_id == job.job_id and one.sealed_at is not None
            ),
            None,
        )

    # ---- waiting ----

    def wait_until(self, what: str, question: Callable[[], Any], seconds: float = 60.0) -> Any:
        """The first true answer; asked again whenever a request came in."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (answer := question()):
                left = deadline - time.monotonic()
                assert left > 0, f"{what} did not happen within {seconds} s"
                self._changed.wait(min(left, 0.05))
        return answer

    def wait_for_audio(self, job: FakeJob, bytes_of_audio: int, seconds: float = 60.0) -> None:
        """Until the controller has that much of this recording."""
        self.wait_until(
            "audio",
            lambda: any(
                len(one.parts["audio"]) >= bytes_of_audio
                for one in self.cache_files.values()
                if one.request.job_id == job.job_id
            ),
            seconds,
        )

    def note_change(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def require_run(self, node_run: int) -> None:
        if node_run != self.node_run:
            raise Refusal(409, "node_run_superseded")

    def leased(self, job_id: UUID, epoch: int, *, salvage: bool = False) -> FakeJob:
        job = self.jobs[job_id]
        if salvage:
            return job
        if job.epoch != epoch:
            raise Refusal(409, "epoch_superseded")
        if not job.is_live:
            raise Refusal(409, "job_ended")
        return job

    def require_wanted(self, job_id: UUID, epoch: int, origin: Origin) -> None:
        """Content is taken under the lease, as salvage, or in place of what was found damaged."""
        is_damaged = any(one.verdict == "damaged" for one in self.cache_files.values() if one.request.job_id == job_id)
        if not is_damaged:
            self.leased(job_id, epoch, salvage=origin is Origin.SALVAGED)


# ---- the routes ----


async def _enrol(fake: FakeController, request: Request) -> Response:
    fake.enrolments.append(EnrolRequest.model_validate_json(await request.body()))
    return _json(EnrolAnswer(node_id=new_id(), name="test node", token="rkn_token"))


async def _token(fake: FakeController, request: Request) -> Response:
    fake.token_digests.append(TokenRequest.model_validate_json(await request.body()).digest)
    fake.rotates_token = False
    return Response(status_code=204)


async def _run(fake: FakeController, request: Request) -> Response:
    body = RunRequest.model_validate_json(await request.body())
    if fake.run_request is None or body.request_id != fake.run_request:
        if body.previous_run != fake.node_run:
            raise Refusal(409, "node_run_superseded")
        fake.node_run, fake.run_request = fake.node_run + 1, body.request_id
    live = [_claimed(job) for job in fake.jobs.values() if job.is_live]
    return _json(RunAnswer(node_run=fake.node_run, jobs=live, armed=fake.armed))


async def _inventory(fake: FakeController, request: Request) -> Response:
    body = Inventory.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    fake.inventory = body
    return Response(status_code=204)


async def _claim(fake: FakeController, request: Request) -> Response:
    body = ClaimRequest.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    fake.claim_ids.append(body.claim_id)
    for job in fake.jobs.values():
        if job.claim_id == body.claim_id:
            return _json(_claimed(job))
    for job in fake.jobs.values():
        if job.state == "queued":
            job.state, job.claim_id = "running", body.claim_id
            return _json(_claimed(job))
    return Response(status_code=204)


async def _wake(fake: FakeController, request: Request) -> Response:
    after = int(request.query_params["after"])
    fake.require_run(int(request.headers[NODE_RUN_HEADER]))
    for _ in range(WAKE_LOOKS):
        if fake.change_no != after or not fake.is_up:
            break
        await asyncio.sleep(WAKE_LOOK_SECONDS)
    return _json(WakeAnswer(change_no=fake.change_no, watched=fake.watched))


async def _heartbeat(fake: FakeController, request: Request) -> Response:
    body = HeartbeatRequest.model_validate_json(await request.body())
    if body.knows_newer_run:
        fake.fenced.append(body.node_run)
    fake.require_run(body.node_run)
    answers = []
    for report in body.jobs:
        job = fake.jobs[report.job_id]
        standing = _standing(job, report)
        if standing == "renewed":
            job.reports.append(report)
        answers.append(
            JobStanding(
                job_id=job.job_id,
                standing=standing,
                wish=job.wish,
                wish_age_ms=_age_ms(job.wished_at),
            )
        )
    answer = HeartbeatAnswer(
        jobs=answers,
        change_no=fake.change_no,
        watched=fake.watched,
        armed=fake.armed,
        rotate_token=fake.rotates_token,
    )
    return _json(answer)


def _standing(job: FakeJob, report: JobReport) -> Literal["renewed", "ended", "superseded"]:
    if job.epoch != report.epoch:
        return "superseded"
    return "renewed" if job.is_live else "ended"


async def _finish(fake: FakeController, request: Request) -> Response:
    body = FinishRequest.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    job = fake.jobs[UUID(request.path_params["job_id"])]
    if job.finish != body:
        job = fake.leased(job.job_id, body.epoch)
        job.finish, job.state = body, body.outcome
    return Response(status_code=204)


async def _events(fake: FakeController, request: Request) -> Response:
    body = EventsRequest.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    told = {event.id for event in body.events}
    fake.events = [event for event in fake.events if event.id not in told] + body.events
    return Response(status_code=204)


async def _levels(fake: FakeController, request: Request) -> Response:
    body = LevelsRequest.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    fake.levels.append(body)
    return _json(LevelsAnswer(watched=fake.watched))


async def _open(fake: FakeController, request: Request) -> Response:
    body = CacheFileRequest.model_validate_json(await request.body())
    fake.require_run(body.node_run)
    if body.id not in fake.cache_files:
        fake.require_wanted(body.job_id, body.epoch, body.origin)
        fake.cache_files[body.id] = FakeCacheFile(body, {part: bytearray() for part in HEAD_BYTES_OF})
    found = fake.cache_files[body.id]
    state = None if not fake.reads_back else "receiving" if found.sealed_at is None else found.verdict
    return _json(CacheFileAnswer(id=body.id, offsets=found.offsets, state=state))


async def _part(fake: FakeController, request: Request) -> Response:
    cache_file, part = _cache_file(fake, request), request.path_params["part"]
    content = cache_file.parts[part]
    if request.method == "HEAD":
        return Response(status_code=204, headers={OFFSET_HEADER: str(len(content))})
    fake.require_run(int(request.headers[NODE_RUN_HEADER]))
    fake.require_wanted(cache_file.request.job_id, int(request.headers[EPOCH_HEADER]), cache_file.request.origin)
    found = re.fullmatch(r"bytes (\d+)-(\d+)/\*", request.headers["Content-Range"])
    assert found is not None
    if int(found[1]) != len(content):
        raise Refusal(409, "wrong_offset", offset=len(content))
    with suppress(ClientDisconnect):
        async for block in request.stream():
            content += block
            fake.received_bytes += len(block)
        assert len(content) == int(found[2]) + 1
    return Response(status_code=204, headers={OFFSET_HEADER: str(len(content))})


async def _seal(fake: FakeController, request: Request) -> Response:
    body = SealRequest.model_validate_json(await request.body())
    cache_file = _cache_file(fake, request)
    job = fake.jobs[body.job_id]
    if cache_file.sealed_at is None:
        fake.require_run(body.node_run)
        fake.require_wanted(body.job_id, body.epoch, cache_file.request.origin)
        if fake.damaged_parts:
            fake.damaged_parts -= 1
            cache_file.parts["audio"][5000] ^= 1
        for part, bytes_of_head in HEAD_BYTES_OF.items():
            _put_head(cache_file.parts[part], getattr(body, part), bytes_of_head)
        cache_file.facts, cache_file.origin, cache_file.sealed_at = body.facts, body.origin, time.monotonic()
        if cache_file.request.origin is not Origin.SALVAGED:
            job.state = "completed"
    is_verified = cache_file.verdict == "verified" if fake.reads_back else None
    return _json(SealAnswer(recording_id=job.recording_id, cache_state="cached", is_verified=is_verified))


def _put_head(content: bytearray, seal: Any, bytes_of_head: int) -> None:
    head = base64.b64decode(seal.head)
    body = bytes(content[bytes_of_head:])
    if (
        len(content) != seal.bytes
        or sha256(head).hexdigest() != seal.head_sha256
        or sha256(body).hexdigest() != seal.body_sha256
    ):
        raise Refusal(422, "digest_mismatch")
    content[: len(head)] = head


def _cache_file(fake: FakeController, request: Request) -> FakeCacheFile:
    found = fake.cache_files.get(UUID(request.path_params["cache_file_id"]))
    if found is None:
        raise Refusal(404, "not_found")
    return found


def _claimed(job: FakeJob) -> ClaimedJob:
    now = time.monotonic()
    return ClaimedJob(
        job_id=job.job_id,
        recording_id=job.recording_id,
        attempt=job.attempt,
        epoch=job.epoch,
        settings=job.settings,
        wish=job.wish,
        wish_age_ms=_age_ms(job.wished_at),
        requested_age_ms=_age_ms(job.requested_at),
        starts_in_ms=None if job.starts_at is None else round((job.starts_at - now) * 1000),
        ends_in_ms=None if job.ends_at is None else round((job.ends_at - now) * 1000),
    )


def _age_ms(at: float) -> int:
    return max(0, round((time.monotonic() - at) * 1000)) if at else 0


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")


def _app(fake: FakeController) -> Starlette:
    base = "/api/agent/v1"
    handlers: list[tuple[str, str, Handler]] = [
        ("POST", "/enrol", _enrol),
        ("POST", "/token", _token),
        ("POST", "/run", _run),
        ("PUT", "/inventory", _inventory),
        ("POST", "/claim-next", _claim),
        ("GET", "/wake", _wake),
        ("POST", "/heartbeat", _heartbeat),
        ("POST", "/events", _events),
        ("POST", "/levels", _levels),
        ("POST", "/jobs/{job_id}/finish", _finish),
        ("POST", "/cache-files", _open),
        ("HEAD", "/cache-files/{cache_file_id}/{part}", _part),
        ("PUT", "/cache-files/{cache_file_id}/{part}", _part),
        ("POST", "/cache-files/{cache_file_id}/seal", _seal),
    ]
    return Starlette(
        routes=[
            Route(
                base + path, functools.partial(_answer, fake, name=path.split("/")[-1], handler=handler), methods=[verb]
            )
            for verb, path, handler in handlers
        ]
    )


async def _answer(fake: FakeController, request: Request, *, name: str, handler: Handler) -> Response:
    fake.called_at[name].append(time.monotonic())
    fake.calls[name] += 1
    refusal = fake.refusals.get(name) or fake.refusals.get("*")
    if refusal:
        return _problem(Refusal(refusal[0], "unavailable"), {"Retry-After": refusal[1]})
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    fake.bearers[bearer] += 1
    try:
        if bearer in fake.refused_tokens or fake.only_token not in (None, bearer):
            raise Refusal(401, "unauthorised")
        answer = await handler(fake, request)
    except Refusal as refused:
        answer = _problem(refused, {})
    fake.note_change()
    if fake.lost_answers[name]:
        fake.lost_answers[name] -= 1
        return StreamingResponse(_broken_off(), headers={"Content-Length": "100"})
    return answer


async def _broken_off() -> AsyncIterator[bytes]:
    yield b"x"


def _problem(refused: Refusal, headers: dict[str, str]) -> Response:
    body = {"title": refused.code, "status": refused.status, "detail": "", "code": refused.code, **refused.facts}
    return JSONResponse(body, refused.status, headers, media_type="application/problem+json")
