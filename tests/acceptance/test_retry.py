"""What failed or was cancelled is tried again: with what the node still holds, else with what is left of the window."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from reelkeeper.faultkit.sound import breaks_of, counter_of
from reelkeeper.faultkit.system import Json, System, wait_for

pytestmark = pytest.mark.first_reliable_recording_baseline

Start = Callable[..., System]
RATE = 48_000


def _attempts(system: System, recording: str) -> list[Json]:
    """Oldest first."""
    found: list[Json] = system.get(f"/jobs?recording_id={recording}")["items"]
    return found[::-1]


def test_cancelled_recording_comes_back_whole_when_it_is_tried_again(system: System, tmp_path: Path) -> None:
    recording = system.record()
    system.wait_capturing(recording, 2 * RATE)
    system.post(f"/recordings/{recording}/cancel")
    system.wait_state(recording, "cancelled")
    (before,) = _attempts(system, recording)

    assert system.agent is not None
    system.agent.send_signal(signal.SIGSTOP)  # who holds all of it could deliver it between the two
    for _ in range(2):
        assert system.post(f"/recordings/{recording}/retry")["attempt"] == 2
    system.agent.send_signal(signal.SIGCONT)

    found = system.wait_state(recording, "completed")
    assert (found["mark"], found["attempt"]) == (None, 2)
    numbers = counter_of(system.download(recording, tmp_path / "again.wav"))
    assert breaks_of(numbers) == []
    assert len(numbers) >= 2 * RATE
    assert _attempts(system, recording)[0] == before
    assert system.request("POST", f"/recordings/{recording}/retry").status_code == 409


@pytest.mark.long
def test_capture_that_outlived_its_lost_job_is_delivered_by_the_next_attempt(
    start_system: Start, tmp_path: Path
) -> None:
    system = start_system(scale=0.15)
    recording = system.record()
    system.wait_capturing(recording, RATE)
    assert system.agent is not None
    system.agent.send_signal(signal.SIGKILL)
    system.agent.wait()
    failed = system.wait_state(recording, "failed", 60)
    assert failed["reason"] == "contact_lost"
    began = time.monotonic()

    system.start_agent()
    assert system.post(f"/recordings/{recording}/retry")["state"] == "queued"
    system.wait_capturing(recording, RATE)
    system.stop_recording(recording)

    found = system.wait_state(recording, "completed")
    assert (found["mark"], found["attempt"]) == (None, 2)
    numbers = counter_of(system.download(recording, tmp_path / "again.wav"))
    assert breaks_of(numbers) == []
    assert len(numbers) > (time.monotonic() - began) * RATE
    assert [job["state"] for job in _attempts(system, recording)] == ["failed", "completed"]


@contextmanager
def _open_page(system: System, interface_id: str) -> Iterator[Iterator[Json]]:
    """The levels that a page of a person hears, who came by a link."""
    link = system.run("sign-in")
    with httpx.Client(headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False, timeout=60) as browser:
        assert browser.post(link).status_code == 303
        with browser.stream("GET", f"{system.url}/events?meters={interface_id}") as answer:
            assert answer.status_code == 200

            def levels() -> Iterator[Json]:
                for line in answer.iter_lines():
                    if line.startswith("data: {"):
                        yield json.loads(line.removeprefix("data: "))

            yield levels()


def _peaks(levels: Json) -> list[int]:
    return [round(channel["peak"]) for channel in levels["channels"]]


def test_an_idle_input_is_metered_while_a_page_shows_it(system: System) -> None:
    takes = system.home / "node" / "takes"
    before = set(takes.glob("[!.]*"))
    tone = next(one for one in system.node()["interfaces"] if one["name"] == "tone")
    with _open_page(system, tone["id"]) as levels:
        heard = [next(levels) for _ in range(21)]
        while _peaks(heard[-1]) != [-18, -18]:
            heard.append(next(levels))
    assert {one["interface"] for one in heard} == {tone["id"]}
    assert set(takes.glob("[!.]*")) <= before
    wait_for("a recording to be possible as well", lambda: system.record("tone"))
