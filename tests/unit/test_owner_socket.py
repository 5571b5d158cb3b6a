import json
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.owner.ending import Ending
from agent.owner.socket import LENGTH_BYTES, MOST_FRAME_BYTES, FrameError, Server, bind, body_bytes, decode, encode
from protocol.timeouts import Timeouts

json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20)


@given(st.dictionaries(st.text(), json_values))
def test_frame_comes_out_as_it_went_in(fields: dict[str, object]) -> None:
    frame = encode(fields)
    assert body_bytes(frame[:LENGTH_BYTES]) == len(frame) - LENGTH_BYTES
    assert decode(frame[LENGTH_BYTES:]) == fields


def test_frame_of_exactly_the_limit_fits_and_one_byte_more_does_not() -> None:
    empty = len(json.dumps({"x": ""}))
    assert len(encode({"x": "a" * (MOST_FRAME_BYTES - empty)})) == LENGTH_BYTES + MOST_FRAME_BYTES
    with pytest.raises(FrameError):
        encode({"x": "a" * (MOST_FRAME_BYTES - empty + 1)})


@given(st.integers(MOST_FRAME_BYTES + 1, 2**32 - 1))
def test_longer_frame_is_refused_by_its_length(length: int) -> None:
    with pytest.raises(FrameError):
        body_bytes(length.to_bytes(LENGTH_BYTES, "big"))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_frame_error(body: bytes) -> None:
    with suppress(FrameError):
        assert isinstance(decode(body), dict)


def test_deeply_nested_frame_is_refused() -> None:
    with pytest.raises(FrameError):
        decode(b"[" * 60_000)


def test_first_reason_to_end_wins() -> None:
    ending = Ending()
    assert ending.wait(0) is None
    ending.ask("node stopped")
    ending.ask("disarmed")
    assert ending.wait(0) == "node stopped"


def test_server_that_gets_no_threads_for_a_while_is_heard_again_afterwards() -> None:
    with tempfile.TemporaryDirectory(prefix="rk-") as folder:
        path = Path(folder) / "socket"
        Server(bind(path), "token", lambda fields: {"ok": fields["do"]}, Timeouts()).start()
        usual_bytes = threading.stack_size(1 << 46)
        try:
            assert [_asked(path) for _ in range(10)] == [b""] * 10
        finally:
            threading.stack_size(usual_bytes)
        answer = _asked(path)
        assert decode(answer[LENGTH_BYTES:]) == {"ok": "hook"}


def _asked(path: Path) -> bytes:
    """What is answered until the server closes; nothing when it closes at once."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(30)
        client.connect(str(path))
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(encode({"token": "token", "do": "hook"}))
            return client.recv(MOST_FRAME_BYTES)
    return b""
