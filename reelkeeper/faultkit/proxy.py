"""A proxy between agent and controller that breaks what passes: the whole network, or single requests.

It runs in a thread of its own, so that synchronous code can use it. One seed decides everything that it draws.
"""

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")
Direction = Literal["requests", "answers"]

BLOCK_BYTES = 16 * 1024
KEPT_REQUESTS = 256
_HEAD_LIMIT = 64 * 1024
_STATUS = re.compile(rb"^HTTP/1\.1 (\d{3})")


@dataclass(frozen=True)
class Network:
    """How the way between agent and controller is. What hangs is not lost: it arrives when the way is free again."""

    is_cut: bool = False
    """Connections are refused, and those that were open are reset."""
    requests_hang: bool = False
    answers_hang: bool = False
    """Requests arrive and have their effect, but nobody hears of it."""
    latency_seconds: float = 0.0
    jitter_seconds: float = 0.0
    """So much is added at most to the latency of a block."""
    bytes_per_second: float | None = None
    """In each direction, of all connections together."""
    slice_bytes: int | None = None
    """Bytes come in pieces of this size at most."""
    stall_share: float = 0.0
    """So many of all blocks wait for `stall_seconds`."""
    stall_seconds: float = 0.0
    reset_after_bytes: int | None = None
    """Each connection is reset after so many bytes of requests."""


PASS = Network()
CUT = Network(is_cut=True)
ANSWERS_LOST = Network(answers_hang=True)
SILENCE = Network(requests_hang=True, answers_hang=True)
SLOW = Network(latency_seconds=0.4, jitter_seconds=0.1, bytes_per_second=256_000 / 8)
SLICED = Network(slice_bytes=97)

Act = Literal["cut", "flip", "truncate", "extend", "lose answer", "delay", "repeat"]


@dataclass(frozen=True)
class Rule:
    """What becomes of single requests; the first rule that takes a request decides.

    `cut` resets the connection inside the body. `flip`, `truncate` and `extend` damage the body by one bit, a lost end
    or some bytes more, with headers that agree. `lose answer` resets once the request had its effect. `delay` lets the
    sender believe that the request was lost, and delivers it later. `repeat` delivers it, and once more later.
    """

    act: Act
    method: str = ""
    path: str = ""
    """A part of the path."""
    times: int | None = None
    """None is for ever."""
    share: float = 1.0
    least_seconds: float = 0.0
    """Of a delay or a repetition."""
    most_seconds: float = 0.0

    def is_about(self, request: "Request") -> bool:
        if self.act in {"cut", "flip", "truncate", "extend"} and request.length < 2:
            return False
        return self.method in {"", request.method} and self.path in request.path


@dataclass(frozen=True)
class Request:
    """One request of the agent. `body` is there only where it was kept."""

    method: str
    path: str
    head: bytes
    length: int
    body: bytes = b""

    @classmethod
    def parse(cls, head: bytes) -> Self:
        method, path, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        return cls(method, path, head, int(_header(head, b"content-length") or 0))

    @property
    def range_start(self) -> int | None:
        """Where an append begins."""
        found = re.search(rb"bytes (\d+)-", _header(self.head, b"content-range") or b"")
        return int(found[1]) if found else None

    def with_length(self, length: int) -> "Request":
        """The same for a body of another length; the range of an append agrees with it."""
        head = _with_header(self.head, b"content-length", b"%d" % length)
        if (start := self.range_start) is not None:
            head = _with_header(head, b"content-range", b"bytes %d-%d/*" % (start, start + max(length, 1) - 1))
        return replace(self, head=head, length=length)


@dataclass
class Append:
    """One request that appended audio: where it began, and how many of its bytes were let through."""

    start: int
    passed: int = 0
    was_cut: bool = False


@dataclass(frozen=True)
class Delivery:
    """A request that was delivered late or again, and the status of its answer; None when there was no answer."""

    request: Request
    status: int | None


@dataclass(eq=False)
class _Connection:
    agent: asyncio.StreamWriter
    controller: asyncio.StreamWriter
    request_bytes: int = 0
    loses_answer: bool = False
    passed_at: dict[Direction, float] = field(default_factory=dict)


@dataclass
class _RuleInUse:
    rule: Rule
    left: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.rule.times


class Proxy:
    """Listens on `port` of this machine and passes on to `target`. Every member may be used from any thread."""

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.target = target
        self.counts: Counter[str] = Counter()
        """What it did: connections, refused, requests, resets, and each act by its name."""
        self.appends: list[Append] = []
        self.deliveries: list[Delivery] = []
        self._requests: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self._random = random.Random(seed)
        self._network = PASS
        self._rules: list[_RuleInUse] = []
        self._connections: set[_Connection] = set()
        self._free_at: dict[Direction, float] = {"requests": 0.0, "answers": 0.0}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._ready = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()
        self._ready.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def network(self) -> Network:
        return self._network

    @property
    def requests(self) -> list[Request]:
        """The newest requests that had no content of recordings, whole, oldest first."""

        async def copied() -> list[Request]:
            return list(self._requests)

        return self._wait(copied())

    @property
    def rules_left(self) -> int:
        """How many requests the rules with a limit still wait for."""
        return sum(one.left or 0 for one in self._rules)

    def become(self, network: Network) -> None:
        """From now on the way is like this."""
        self._do(lambda: self._become(network))

    def obey(self, *rules: Rule) -> None:
        """From now on these rules hold, and no others."""
        self._do(lambda: self._obey(rules))

    def send_again(self, request: Request) -> int | None:
        """Delivers a request that was kept once more; the status of its answer, None without one."""
        return self._wait(self._deliver(request))

    def settle(self, seconds: float) -> None:
        """Waits until everything was delivered that was delayed or is repeated. Raises TimeoutError."""
        self._wait(self._settle(seconds))

    def close(self) -> None:
        """Resets what is open and ends the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    # ---- the thread ----

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, sock=self._listener, limit=_HEAD_LIMIT)
        )
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._reset_all()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    def _do(self, act: Callable[[], None]) -> None:
        async def do() -> None:
            act()

        self._wait(do())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _become(self, network: Network) -> None:
        self._network = network
        self._free_at = {"requests": 0.0, "answers": 0.0}
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if network.is_cut:
            self._reset_all()

    def _obey(self, rules: tuple[Rule, ...]) -> None:
        self._rules = [_RuleInUse(rule) for rule in rules]

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            self._reset(connection)

    def _reset(self, connection: _Connection) -> None:
        self.counts["resets"] += 1
        _abort(connection.agent)
        _abort(connection.controller)

    # ---- connections ----

    async def _serve(self, from_agent: asyncio.StreamReader, to_agent: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        if self._network.is_cut:
            self.counts["refused"] += 1
            _abort(to_agent)
            return
        try:
            from_controller, to_controller = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _abort(to_agent)
            return
        connection = _Connection(to_agent, to_controller)
        self._connections.add(connection)
        back = asyncio.create_task(self._pass_answers(from_controller, connection))
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `close`, and Python 3.11 would log it as a fault
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await self._pass_requests(from_agent, connection)
                await self._until_free("requests")
        finally:
            self._connections.discard(connection)
            back.cancel()
            to_controller.close()
            to_agent.close()

    async def _pass_answers(self, source: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while block := await source.read(BLOCK_BYTES):
                if connection.loses_answer:
                    self._reset(connection)
                    return
                await self._pass("answers", block, connection)
            await self._until_free("answers")
        connection.agent.close()

    async def _pass_requests(self, source: asyncio.StreamReader, connection: _Connection) -> None:
        """Returns when the agent is done or the connection was reset."""
        while not connection.agent.is_closing():
            request = Request.parse(await source.readuntil(b"\r\n\r\n"))
            self.counts["requests"] += 1
            rule = self._rule_for(request)
            if rule is not None:
                self.counts[rule.act] += 1
            if request.range_start is None or (rule and rule.act in {"delay", "repeat"}):
                request = replace(request, body=await source.readexactly(request.length))
                self._keep(request)
                await self._pass_whole(request, rule, connection)
            else:
                await self._pass_append(request, rule, source, connection)

    def _keep(self, request: Request) -> None:
        if request.range_start is None:
            self._requests.append(request)

    def _rule_for(self, request: Request) -> Rule | None:
        for one in self._rules:
            if one.left != 0 and one.rule.is_about(request) and self._random.random() < one.rule.share:
                one.left = None if one.left is None else one.left - 1
                return one.rule
        return None

    async def _pass_whole(self, request: Request, rule: Rule | None, connection: _Connection) -> None:
        if rule is not None and rule.act == "delay":
            self._deliver_later(request, rule)
            self._reset(connection)
            return
        if rule is not None and rule.act == "repeat":
            self._deliver_later(request, rule)
        if rule is not None and rule.act == "lose answer":
            connection.loses_answer = True
        if rule is not None and rule.act == "cut":
            await self._pass("requests", request.head + request.body[: self._cut_at(request)], connection)
            self._reset(connection)
            return
        if rule is not None and rule.act in {"flip", "truncate", "extend"}:
            request = self._damaged(request, rule.act)
        await self._pass("requests", request.head + request.body, connection)

    async def _pass_append(
        self, request: Request, rule: Rule | None, source: asyncio.StreamReader, connection: _Connection
    ) -> None:
        """Content goes through while it comes, except where it has to be damaged."""
        assert request.range_start is not None
        if rule is not None and rule.act in {"flip", "truncate", "extend"}:
            whole = replace(request, body=await source.readexactly(request.length))
            await self._pass_whole(whole, rule, connection)
            return
        connection.loses_answer = rule is not None and rule.act == "lose answer"
        append = Append(request.range_start)
        if "/audio" in request.path:
            self.appends.append(append)
        allowed = self._cut_at(request) if rule is not None and rule.act == "cut" else request.length
        await self._pass("requests", request.head, connection)
        async for block in _blocks(source, request.length):
            passing = block[: allowed - append.passed]
            await self._pass("requests", passing, connection)
            append.passed += len(passing)
            if append.passed == allowed < request.length:
                append.was_cut = True
                self._reset(connection)
                return

    def _cut_at(self, request: Request) -> int:
        return self._random.randrange(1, request.length)

    def _damaged(self, request: Request, act: Act) -> Request:
        body = bytearray(request.body)
        if act == "flip":
            body[self._random.randrange(len(body))] ^= 1 << self._random.randrange(8)
        elif act == "truncate":
            del body[self._random.randrange(1, len(body)) :]
        else:
            body += self._random.randbytes(self._random.randrange(1, 4096))
        return replace(request.with_length(len(body)), body=bytes(body))

    # ---- one block ----

    async def _pass(self, direction: Direction, block: bytes, connection: _Connection) -> None:
        """Raises ConnectionResetError once the connection is over."""
        sink = connection.controller if direction == "requests" else connection.agent
        piece_bytes = self._piece_bytes()
        for start in range(0, len(block), piece_bytes):
            piece = block[start : start + piece_bytes]
            await self._travel(direction, len(piece), connection)
            if direction == "requests" and self._is_used_up(connection, len(piece)):
                self._reset(connection)
            if sink.is_closing():
                raise ConnectionResetError
            sink.write(piece)
            await sink.drain()

    def _piece_bytes(self) -> int:
        network = self._network
        by_rate = BLOCK_BYTES if network.bytes_per_second is None else max(1, int(network.bytes_per_second / 20))
        return min(BLOCK_BYTES, by_rate, network.slice_bytes or BLOCK_BYTES)

    async def _travel(self, direction: Direction, size: int, connection: _Connection) -> None:
        """Takes the time that bytes take. The latency is felt when they come after a pause: then the way was empty."""
        await self._until_free(direction)
        network, seconds = self._network, 0.0
        if self._loop.time() - connection.passed_at.get(direction, 0.0) > network.latency_seconds:
            seconds = network.latency_seconds + self._random.random() * network.jitter_seconds
        if self._random.random() < network.stall_share:
            self.counts["stalls"] += 1
            seconds += network.stall_seconds
        if network.bytes_per_second is not None:
            now = self._loop.time()
            self._free_at[direction] = max(now, self._free_at[direction]) + size / network.bytes_per_second
            seconds += self._free_at[direction] - now
        if seconds or network.slice_bytes:
            await asyncio.sleep(seconds)
        await self._until_free(direction)
        connection.passed_at[direction] = self._loop.time()

    async def _until_free(self, direction: Direction) -> None:
        while self._network.requests_hang if direction == "requests" else self._network.answers_hang:
            await self._changed.wait()

    def _is_used_up(self, connection: _Connection, size: int) -> bool:
        connection.request_bytes += size
        limit = self._network.reset_after_bytes
        return limit is not None and connection.request_bytes > limit

    # ---- late and again ----

    def _deliver_later(self, request: Request, rule: Rule) -> None:
        async def later() -> None:
            await asyncio.sleep(self._random.uniform(rule.least_seconds, rule.most_seconds))
            await self._deliver(request)

        task = asyncio.create_task(later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, request: Request) -> int | None:
        """Over a connection of its own, whatever the network is like: these bytes have left long ago."""
        status = None
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            source, sink = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                sink.write(request.head + request.body)
                await sink.drain()
                found = _STATUS.match(await source.readuntil(b"\r\n"))
                status = int(found[1]) if found else None
            finally:
                sink.close()
        self.deliveries.append(Delivery(request, status))
        return status

    async def _settle(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*self._tasks)


async def _blocks(source: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length:
        block = await source.read(min(length, BLOCK_BYTES))
        if not block:
            return
        length -= len(block)
        yield block


def _abort(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset, whatever is under way."""
    end = writer.get_extra_info("socket")
    if end is not None and not writer.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _header(head: bytes, name: bytes) -> bytes | None:
    found = re.search(rb"\r\n" + re.escape(name) + rb": *([^\r\n]*)", head, re.IGNORECASE)
    return found[1] if found else None


def _with_header(head: bytes, name: bytes, value: bytes) -> bytes:
    return re.sub(rb"(\r\n" + re.escape(name) + rb": *)[^\r\n]*", rb"\g<1>" + value, head, flags=re.IGNORECASE)
