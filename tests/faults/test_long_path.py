"""The path from sound to file at full length, with every timeout of the product as it ships."""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protocol.timeouts import Timeouts
from reelkeeper.faultkit import proxy as proxies
from reelkeeper.faultkit.proxy import Proxy
from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import System, free_port, wait_for
from tests.acceptance.conftest import start_system  # noqa: F401

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

Start = Callable[..., System]
RATE = 48_000
T = Timeouts()
LEASE_AND_GRACE = T.lease + T.grace_capturing + T.rescue_period


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(free_port(), seed=1) as made:
        yield made


def whole(system: System, recording: str, folder: Path) -> int:
    """Downloads, holds against checksum and ledger, finds no break; its length in frames."""
    checksum = system.wait_checksum(recording)
    file = system.download(recording, folder / "one.wav")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == checksum
    numbers = counter_of(file)
    assert breaks_of(numbers) == []
    ledger = system.ledger(recording)
    assert (ledger["frames"], ledger["gaps"]) == (len(numbers), [])
    print(f"{len(numbers)} frames, {file.stat().st_size} bytes, sha256 {checksum}")
    return len(numbers)


def test_a_minute_of_counter_is_delivered_to_the_frame(start_system: Start, tmp_path: Path) -> None:  # noqa: F811
    system = start_system()
    recording = system.record(duration_ms=60_000)
    system.wait_state(recording, "completed", 90)
    assert whole(system, recording, tmp_path) == 60 * RATE


@pytest.mark.parametrize("seconds", [2 * T.lease, LEASE_AND_GRACE + 10])
def test_controller_away_and_back_completes_as_if_nothing_had_been(
    start_system: Start,  # noqa: F811
    tmp_path: Path,
    seconds: float,
) -> None:
    system = start_system()
    recording = system.record()
    system.wait_capturing(recording, RATE)
    assert system.controller is not None
    os.killpg(system.controller.pid, signal.SIGKILL)
    system.controller.wait()
    time.sleep(seconds)
    system.start_controller()
    frames = system.job_of(recording)["frames"]
    system.wait_capturing(recording, frames + RATE, 60)
    system.stop_recording(recording)
    assert system.wait_state(recording, "completed", 60)["mark"] is None
    assert whole(system, recording, tmp_path) > seconds * RATE


def test_partition_beyond_lease_and_grace_fails_the_job_and_everything_stays_on_the_node_as_owed(
    start_system: Start,  # noqa: F811
    proxy: Proxy,
) -> None:
    system = start_system(port=proxy.target, agent_url=f"http://127.0.0.1:{proxy.port}")
    recording = system.record()
    system.wait_capturing(recording, RATE)
    proxy.become(proxies.CUT)
    system.wait_state(recording, "failed", LEASE_AND_GRACE + 30)
    assert system.job_of(recording)["reason"] == "contact_lost"
    assert system.request("GET", f"/recordings/{recording}/download").status_code == 409
    proxy.become(proxies.PASS)
    wait_for("the job to be owed", lambda: system.spooled_job(recording).get("owed"), 60)
    numbers = counter_of(system.job_folder(recording) / "audio")
    assert breaks_of(numbers) == []
    assert len(numbers) > (T.lease + T.grace_capturing) * RATE


def test_network_away_for_two_leases_changes_nothing(
    start_system: Start,  # noqa: F811
    proxy: Proxy,
    tmp_path: Path,
) -> None:
    system = start_system(port=proxy.target, agent_url=f"http://127.0.0.1:{proxy.port}")
    recording = system.record()
    system.wait_capturing(recording, RATE)
    proxy.become(proxies.CUT)
    time.sleep(2 * T.lease)
    proxy.become(proxies.PASS)
    frames = system.job_of(recording)["frames"]
    system.wait_capturing(recording, frames + 2 * T.lease * RATE, 90)
    system.stop_recording(recording)
    assert system.wait_state(recording, "completed", 60)["mark"] is None
    assert whole(system, recording, tmp_path) > 2 * T.lease * RATE
