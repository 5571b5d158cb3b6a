"""People who race, strangers who knock, copies of the node, clocks that jump."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from agent.owner.socket import MOST_FRAME_BYTES, encode
from agent.owner.state import Process
from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.rig import end_all_in
from reelkeeper.faultkit.system import UnexpectedError, wait_for

_FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
)


def race_wishes(scene: Scene) -> None:
    """Many stop and cancel at once, in any order, and start the same again."""
    acts: list[Callable[[], object]] = []
    for recording in scene.workload.recordings:
        acts += [partial(scene.workload.stop, recording)] * scene.chance.randrange(1, 6)
        if scene.chance.random() < 0.3:
            acts.append(partial(scene.workload.cancel, recording))
        acts.append(partial(scene.workload.start_other, recording))
    scene.chance.shuffle(acts)
    _at_once(acts)


def meet_ends(scene: Scene) -> None:
    """Stops, the end of the device and a signal to the owner come at the same moment."""
    acts: list[Callable[[], object]] = [partial(scene.workload.stop, one) for one in scene.workload.recordings]
    acts += [partial(scene.rig.hook, interface, "disconnect", 1.0) for interface in scene.interfaces]
    acts += [partial(os.kill, pid, signal.SIGTERM) for pid in scene.rig.system.owners()]
    scene.chance.shuffle(acts)
    _at_once(acts)


def storm_owner(scene: Scene) -> None:
    """Strangers at the socket of a capture: wrong tokens, endless frames, silence."""
    for state in scene.rig.system.owner_states():
        token = str(state["token"])
        messages = [
            encode({"do": "disarm", "reason": "evil", "token": "wrong"}),
            encode({"do": "disarm", "reason": "evil", "token": token[:-1]}),
            (MOST_FRAME_BYTES + 1).to_bytes(4, "big") + bytes(100),
            scene.chance.randbytes(scene.chance.randrange(1, 500)),
            encode({"do": "status", "token": token})[:-3],
            b"",
        ]
        clients = []
        for _ in range(scene.chance.randrange(20, 300)):
            with contextlib.suppress(OSError):
                client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                client.setblocking(False)
                clients.append(client)
                client.connect(f"{state['folder']}/socket")
                client.sendall(scene.chance.choice(messages))
        scene.pause(0.1, 0.5)
        for client in clients:
            client.close()


def reuse_pid(scene: Scene) -> None:
    """The state of a dead capture names a stranger's process."""
    states = scene.rig.system.owner_states()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        process = Process.of(stranger.pid)
        assert process is not None
        scene.rig.kill_agent()
        scene.rig.kill_owners()
        for state in states:
            fields = {name: value for name, value in state.items() if name != "folder"}
            fields["process"] = {"pid": process.pid, "start_ticks": process.start_ticks, "boot_id": process.boot_id}
            (Path(state["folder"]) / "state.json").write_text(json.dumps(fields))
        scene.rig.start_agent()
        scene.pause(1.0, 2.0)
        if stranger.poll() is not None:
            scene.history.note("harmed", words=f"process {stranger.pid}, a stranger's, was ended")
        stranger.kill()


def clone_node(scene: Scene) -> None:
    """A copy of the node starts elsewhere; the node is fenced, and started again once the copy is gone."""
    first = scene.rig.system.agent
    if first is None:
        raise UnexpectedError("there is no agent")
    elsewhere = scene.rig.folder / "clone"
    (elsewhere / "node").mkdir(parents=True)
    shutil.copy(scene.rig.system.node_folder / "node.json", elsewhere / "node" / "node.json")
    run_folder = scene.rig.folder / "clone-run"
    environment = {"REELKEEPER_HOME": str(elsewhere), "REELKEEPER_RUN_FOLDER": str(run_folder)}
    clone = scene.rig.system.spawn("agent", **environment)
    try:
        wait_for("the first agent to be fenced", lambda: first.poll() is not None, 30)
    except UnexpectedError as fault:
        scene.history.note("harmed", words=f"two agents run as one node: {fault}")
    clone.kill()
    clone.wait()
    end_all_in(run_folder)
    shutil.rmtree(elsewhere)
    scene.rig.start_agent()


def jump_clock(scene: Scene) -> None:
    """The agent wakes up with another wall clock; its monotonic clocks are right."""
    library = faketime_library()
    assert library is not None
    seconds = scene.chance.choice((-3600, 3600, -1, 1, 365 * 86_400))
    scene.rig.kill_agent()
    scene.rig.system.agent = scene.rig.system.spawn(
        "agent", LD_PRELOAD=library, FAKETIME=f"{seconds:+d}s", FAKETIME_DONT_FAKE_MONOTONIC="1"
    )
    scene.pause(1.0, 2.5)
    if scene.chance.random() < 0.5:
        scene.stop_one()
    scene.rig.kill_agent()
    scene.rig.start_agent()


def why_no_clocks() -> str | None:
    return None if faketime_library() else "It takes libfaketime."


def faketime_library() -> str | None:
    return next((path for path in _FAKETIME if Path(path).exists()), None)


def _at_once(acts: list[Callable[[], object]]) -> None:
    with ThreadPoolExecutor(len(acts)) as pool:
        for future in [pool.submit(act) for act in acts]:
            future.result()
