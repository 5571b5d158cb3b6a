"""The way between agent and controller breaks in every manner: each recording arrives whole, once, or as salvage."""

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.daemon import EXIT_SUPERSEDED
from reelkeeper.faultkit import proxy as networks
from reelkeeper.faultkit.proxy import Network, Proxy, Rule
from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import Json, System, free_port, wait_for

pytestmark = pytest.mark.first_reliable_recording_baseline

Start = Callable[..., System]
RATE = 48_000
CALLS = ("/claim-next", "/heartbeat", "/inventory", "/cache-files", "/audio", "/waveform", "/seek", "/ledger", "/seal")


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(free_port(), seed=4) as made:
        yield made


def start(start_system: Start, proxy: Proxy, scale: float) -> System:
    return start_system(port=proxy.target, agent_url=f"http://127.0.0.1:{proxy.port}", scale=scale)


def arrived(system: System, recording: str, folder: Path) -> NDArray[np.int64]:
    """The frame numbers of what can be downloaded, which are without a break and as the checksum says."""
    checksum = system.wait_checksum(recording)
    file = system.download(recording, folder / f"{recording}.wav")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == checksum
    numbers = counter_of(file)
    assert breaks_of(numbers) == []
    assert (system.ledger(recording)["frames"], system.ledger(recording)["gaps"]) == (len(numbers), [])
    return numbers


def salvage_of(system: System, recording: str, seconds: float) -> Json:
    wait_for("the salvage", lambda: system.recording(recording)["mark"] == "salvaged", seconds)
    found = system.recording(recording)
    assert (found["state"], found["reason"], found["cache_state"]) == ("failed", "contact_lost", "cached")
    return found


def test_lost_answers_damaged_content_repeated_requests_and_a_one_way_network_change_nothing(
    start_system: Start, proxy: Proxy, tmp_path: Path
) -> None:
    system = start(start_system, proxy, 0.2)
    lost = [Rule("lose answer", path=path, times=1) for path in CALLS]
    late = [Rule("delay", path=path, times=1, most_seconds=1.0) for path in ("/claim-next", "/heartbeat", "/seal")]
    damaged = [Rule(act, method="PUT", path="/audio", times=1) for act in ("flip", "truncate", "extend", "cut")]
    proxy.obey(*lost, *late, *damaged, Rule("repeat", most_seconds=1.0))
    recording = system.record()
    system.wait_capturing(recording, RATE)
    proxy.become(networks.ANSWERS_LOST)
    time.sleep(system.timeouts.lease / 3)
    proxy.become(networks.PASS)
    system.stop_recording(recording)
    found = system.wait_state(recording, "completed", 90)
    numbers = arrived(system, recording, tmp_path)
    assert (found["mark"], system.job_of(recording)["attempt"], numbers[0] > 0) == (None, 1, True)
    assert [proxy.counts[act] for act in ("flip", "truncate", "extend", "cut")] == [1] * 4
    assert proxy.counts["lose answer"] >= len(CALLS) - 1
    for request in proxy.requests:
        proxy.send_again(request)
    again = system.recording(recording)
    assert {name: again[name] for name in ("state", "mark", "duration_ms")} == {
        name: found[name] for name in ("state", "mark", "duration_ms")
    }
    assert len(system.get("/recordings")["items"]) == 1
    assert (arrived(system, recording, tmp_path) == numbers).all()


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("network", [networks.CUT, networks.ANSWERS_LOST, networks.SILENCE], ids=["cut", "one", "both"])
def test_network_away_until_long_after_the_end_of_a_recording_makes_it_salvage(
    start_system: Start, proxy: Proxy, tmp_path: Path, network: Network
) -> None:
    system = start(start_system, proxy, 0.1)
    recording = system.record(duration_ms=5_000)
    system.wait_capturing(recording, RATE)
    proxy.become(network)
    if network.requests_hang or network.is_cut:
        system.wait_state(recording, "failed", 60)
        proxy.become(networks.PASS)
        salvage_of(system, recording, 60)
    else:
        time.sleep(2 * system.timeouts.lease)
        proxy.become(networks.PASS)
        assert system.wait_state(recording, "completed", 60)["mark"] is None
    assert len(arrived(system, recording, tmp_path)) == 5 * RATE


@pytest.mark.long
@pytest.mark.timeout(300)
def test_network_away_over_the_end_of_a_recording_but_not_over_the_grace_completes_it(
    start_system: Start, proxy: Proxy, tmp_path: Path
) -> None:
    system = start(start_system, proxy, 0.1)
    recording = system.record(duration_ms=4_000)
    system.wait_capturing(recording, RATE)
    proxy.become(networks.CUT)
    time.sleep(2 * system.timeouts.lease)
    proxy.become(networks.PASS)
    assert system.wait_state(recording, "completed", 60)["mark"] is None
    assert len(arrived(system, recording, tmp_path)) == 4 * RATE


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "network",
    [
        networks.SLOW,
        networks.SLICED,
        Network(stall_share=0.05, stall_seconds=1.0),
        Network(reset_after_bytes=150_000),
    ],
    ids=["256 kbit/s and 400 ms", "slices", "stalls", "reset at byte 150,000"],
)
def test_upload_over_a_bad_network_goes_on_where_it_was(
    start_system: Start, proxy: Proxy, tmp_path: Path, network: Network
) -> None:
    system = start(start_system, proxy, 1.0)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    proxy.become(network)
    system.wait_capturing(recording, 3 * RATE, 60)
    system.stop_recording(recording)
    system.wait_state(recording, "completed", 200)
    assert len(arrived(system, recording, tmp_path)) >= 3 * RATE
    size = (tmp_path / f"{recording}.wav").stat().st_size
    starts = [append.start for append in proxy.appends]
    assert starts == sorted(starts)
    assert sum(append.passed for append in proxy.appends) < 1.5 * size
    print(f"{len(starts)} appends, {size} bytes, {sum(append.passed for append in proxy.appends)} sent")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_copy_of_a_node_fences_the_agent_that_ran_before_and_nothing_is_lost(
    start_system: Start, proxy: Proxy, tmp_path: Path
) -> None:
    system = start(start_system, proxy, 0.2)
    recording = system.record(duration_ms=8_000)
    system.wait_capturing(recording, RATE)
    assert system.agent is not None
    copied = tmp_path / "copy"
    shutil.copytree(system.node_folder, copied / "node", ignore=shutil.ignore_patterns("*.lock", "takes", "jobs"))
    copy = System(home=copied, port=system.port, scale=0.2, token=system.token)
    copy.agent = copy.spawn("agent")
    try:
        assert system.agent.wait(60) == EXIT_SUPERSEDED
        assert "node_run_superseded" in system.log_of("agent")
    finally:
        copy.agent.send_signal(signal.SIGTERM)
        copy.agent.wait(30)
    system.start_agent()
    wait_for("the end", lambda: system.recording(recording)["cache_state"] == "cached", 90)
    assert len(arrived(system, recording, tmp_path)) == 8 * RATE


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("phase", ["starting", "capturing", "finishing", "uploading", "sealing"])
def test_controller_killed_in_any_phase_delivers_the_recording_once(
    start_system: Start, proxy: Proxy, tmp_path: Path, phase: str
) -> None:
    system = start(start_system, proxy, 0.2)
    held = {"starting": "/claim-next", "uploading": "/audio", "sealing": "/seal"}
    recording = system.record()
    if phase != "starting":
        system.wait_capturing(recording, RATE)
    if phase == "uploading":
        proxy.become(Network(bytes_per_second=100_000))
    if phase in held:
        before = proxy.counts["lose answer"]
        proxy.obey(Rule("lose answer", path=held[phase], times=1))
    if phase not in {"starting", "capturing"}:
        system.stop_recording(recording)
    if phase in {"uploading", "sealing"}:
        wait_for("the request", lambda: proxy.counts["lose answer"] > before, 60)
    assert system.controller is not None
    os.killpg(system.controller.pid, signal.SIGKILL)
    system.controller.wait()
    proxy.become(networks.PASS)
    system.start_controller()
    if phase in {"starting", "capturing"}:
        frames = system.job_of(recording).get("frames") or 0
        system.wait_capturing(recording, frames + RATE, 60)
        system.stop_recording(recording)
    assert system.wait_state(recording, "completed", 90)["mark"] is None
    assert len(arrived(system, recording, tmp_path)) > RATE
    assert system.job_of(recording)["attempt"] == 1
