"""An owner lives on through upgrades of its agent, which may be a version apart from it."""

import asyncio
import os
from pathlib import Path

from agent.owner import socket as owner_socket
from agent.owner.config import Capture, Interface
from agent.owner.handle import Owner
from agent.owner.socket import Fields
from agent.owner.state import OwnerState, Process, write_state
from protocol.timeouts import Timeouts

PATIENT = Timeouts(owner_request=60.0, owner_first_request=60.0)
FIRST_VERSION = {
    "status": {
        "pid": 1,
        "interface": {"backend": "synthetic", "name": "counter"},
        "capture": {"channels": 2, "sample_rate_hz": 48_000, "sample_type": "s16"},
        "take_id": "one",
        "take_folder": "/takes/one",
        "next_frame": 20,
        "durable_frame": 10,
        "growth": "growing",
        "fault": None,
        "device": "capturing",
        "needs": ["a"],
        "events": [{"number": 1, "kind": "device_lost", "message": "It is gone.", "boottime_ns": 5}],
    },
    "begin": {"take_id": "one", "take_folder": "/takes/one", "start_frame": 7},
    "levels": {"channels": [{"peak_dbfs": -3.0, "rms_dbfs": None, "zero_frames": 4}]},
}


def test_owner_of_the_first_version_is_understood_by_the_agent_of_today(tmp_path: Path) -> None:
    def answer(request: Fields) -> Fields:
        return {"ok": FIRST_VERSION[request["do"]]}

    async def run() -> None:
        owner = Owner(tmp_path, PATIENT)
        status = await owner.status()
        assert (status.needs, status.durable_frame, status.storage) == (["a"], 10, "usable")
        assert (status.preroll_ms, status.silence, status.events) == (0, None, [])
        begun = await owner.begin("a", 0)
        assert (begun.start_frame, begun.press_frame) == (7, 7)
        assert [level.clipped_frames for level in await owner.levels()] == [0]
        owner.disconnect()

    process = Process.of(os.getpid())
    assert process
    state = OwnerState(tmp_path, process, "token", Interface("synthetic", "counter"), Capture(2, 48_000, "s16"))
    listener = owner_socket.bind(state.socket_path)
    write_state(state)
    owner_socket.Server(listener, state.token, answer, PATIENT).start()
    asyncio.run(run())
    listener.close()
