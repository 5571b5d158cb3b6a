"""What the proxy of the fault kit does to requests, against a server that remembers what it got."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from reelkeeper.faultkit import proxy as proxies
from reelkeeper.faultkit.proxy import Proxy, Rule
from reelkeeper.faultkit.system import wait_for

AUDIO = "/api/agent/v1/cache-files/1/audio"


class Remembering(ThreadingHTTPServer):
    """Answers every request with how many it has got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []
        self.ranges: list[str | None] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Remembering

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.bodies.append(body)
        self.server.ranges.append(self.headers["Content-Range"])
        answer = str(len(self.server.bodies)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PUT = do_POST

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Remembering]:
    with Remembering() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: Remembering) -> Iterator[Proxy]:
    with Proxy(server.server_address[1], seed=3) as made:
        yield made


@pytest.fixture
def agent(proxy: Proxy) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", timeout=60, trust_env=False) as made:
        yield made


def put(agent: httpx.Client, body: bytes) -> httpx.Response:
    return agent.put(AUDIO, content=body, headers={"Content-Range": f"bytes 0-{len(body) - 1}/*"})


def test_everything_passes_unchanged_in_one_piece_or_in_slices(
    agent: httpx.Client, proxy: Proxy, server: Remembering
) -> None:
    body = bytes(range(256)) * 400
    assert agent.post("/claim-next", content=b"one").text == "1"
    for network in (proxies.PASS, proxies.SLICED, proxies.Network(latency_seconds=0.01, bytes_per_second=1e6)):
        proxy.become(network)
        assert put(agent, body).is_success
    assert server.bodies == [b"one", body, body, body]
    assert [append.passed for append in proxy.appends] == [len(body)] * 3
    assert [request.body for request in proxy.requests] == [b"one"]


def test_cut_network_refuses_and_resets_until_it_is_back(agent: httpx.Client, proxy: Proxy) -> None:
    assert agent.post("/run", content=b"").is_success
    proxy.become(proxies.CUT)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            agent.post("/run", content=b"")
    assert proxy.counts["refused"] >= 1
    proxy.become(proxies.PASS)
    assert agent.post("/run", content=b"").is_success


def test_lost_answers_leave_the_effect_and_reach_nobody(agent: httpx.Client, proxy: Proxy, server: Remembering) -> None:
    proxy.become(proxies.ANSWERS_LOST)
    with pytest.raises(httpx.ReadTimeout):
        agent.post("/finish", content=b"all", timeout=httpx.Timeout(10, read=0.3))
    wait_for("the effect", lambda: server.bodies == [b"all"])
    proxy.become(proxies.PASS)
    proxy.obey(Rule("lose answer", path="/finish", times=1))
    with pytest.raises(httpx.TransportError):
        agent.post("/finish", content=b"one")
    assert agent.post("/finish", content=b"none").is_success
    assert server.bodies == [b"all", b"one", b"none"]


@pytest.mark.parametrize("act", ["flip", "truncate", "extend"])
def test_damaged_body_agrees_with_its_headers(
    agent: httpx.Client, proxy: Proxy, server: Remembering, act: proxies.Act
) -> None:
    proxy.obey(Rule(act, method="PUT", times=1))
    body = bytes(5000)
    assert put(agent, body).is_success
    assert put(agent, body).is_success
    damaged, whole = server.bodies
    assert (damaged != body, whole) == (True, body)
    assert server.ranges[0] == f"bytes 0-{len(damaged) - 1}/*"
    sizes = {"flip": len(damaged) == 5000, "truncate": len(damaged) < 5000, "extend": len(damaged) > 5000}
    assert sizes[act]


def test_cut_append_lets_some_of_its_bytes_through(agent: httpx.Client, proxy: Proxy) -> None:
    proxy.obey(Rule("cut", path="/audio", times=1))
    with pytest.raises(httpx.TransportError):
        put(agent, bytes(100_000))
    assert put(agent, bytes(10)).is_success
    first, second = proxy.appends
    assert (first.was_cut, 0 < first.passed < 100_000, second.passed) == (True, True, 10)


def test_reset_after_n_bytes_holds_for_each_connection(agent: httpx.Client, proxy: Proxy) -> None:
    proxy.become(proxies.Network(reset_after_bytes=1000))
    assert agent.post("/run", content=b"").is_success
    with pytest.raises(httpx.TransportError):
        put(agent, bytes(2000))
    assert agent.post("/run", content=b"").is_success


def test_delayed_request_fails_for_its_sender_and_arrives_behind_a_later_one(
    agent: httpx.Client, proxy: Proxy, server: Remembering
) -> None:
    proxy.obey(Rule("delay", path="/finish", times=1, least_seconds=2.0, most_seconds=2.0))
    with pytest.raises(httpx.TransportError):
        agent.post("/finish", content=b"early")
    agent.post("/finish", content=b"late")
    proxy.settle(60)
    assert server.bodies == [b"late", b"early"]
    assert [delivery.status for delivery in proxy.deliveries] == [200]


def test_repeated_request_is_answered_once_and_arrives_twice(
    agent: httpx.Client, proxy: Proxy, server: Remembering
) -> None:
    proxy.obey(Rule("repeat"))
    assert agent.post("/run", content=b"twice").is_success
    proxy.settle(60)
    assert proxy.send_again(proxy.requests[0]) == 200
    assert server.bodies == [b"twice"] * 3


def test_one_seed_draws_the_same_again() -> None:
    drawn = []
    for _ in range(2):
        with Proxy(1, seed=9) as made:
            drawn.append([made._cut_at(proxies.Request("PUT", "/audio", b"", 10_000)) for _ in range(5)])
    assert drawn[0] == drawn[1]
