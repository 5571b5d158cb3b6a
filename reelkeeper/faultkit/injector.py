"""Breaks one thing on purpose, and mends it: one small function for each class of faults.

A function returns when what it broke is whole again, not when the system has recovered. What it draws, it draws from
the chance of its scene, so that a seed decides everything.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from agent.owner.socket import MOST_FRAME_BYTES, encode
from agent.owner.state import Process
from protocol.timeouts import Timeouts
from reelkeeper.faultkit.history import History
from reelkeeper.faultkit.proxy import ANSWERS_LOST, CUT, PASS, SILENCE, Act, Network, Rule
from reelkeeper.faultkit.rig import Rig
from reelkeeper.faultkit.system import UnexpectedError, is_alive, wait_for
from reelkeeper.faultkit.volume import Cut, why_no_power_cuts
from reelkeeper.faultkit.workload import FLAC_PROFILE, Workload

FAKETIME = "libfaketime.so.1"
_FAKETIME_FOLDERS = ("/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime")


@dataclass(frozen=True)
class Scene:
    """Everything that a fault may touch."""

    rig: Rig
    workload: Workload
    history: History
    chance: Random

    @property
    def timeouts(self) -> Timeouts:
        return self.rig.timeouts

    @property
    def interfaces(self) -> list[str]:
        """Those that are captured."""
        return sorted({state["interface"]["name"] for state in self.rig.system.owner_states()})

    def pause(self, least: float, most: float) -> float:
        """Lets a time pass that the chance decides; the seconds."""
        seconds = self.chance.uniform(least, most)
        time.sleep(seconds)
        return seconds

    def stop_one(self) -> None:
        """Somebody stops a recording in the middle of it."""
        running = [one for one in self.workload.recordings if one not in self.workload.stopped]
        if running:
            self.workload.stop(self.chance.choice(running), times=self.chance.choice((1, 1, 3)))


# ---- processes ----


def kill_agent(scene: Scene) -> None:
    scene.rig.kill_agent()
    scene.pause(0.0, 1.0)
    scene.rig.start_agent()


def restart_agent(scene: Scene) -> None:
    scene.rig.stop_agent()
    scene.pause(0.0, 0.5)
    scene.rig.start_agent()


def kill_owner(scene: Scene) -> None:
    for _ in range(scene.chance.choice((1, 1, 2))):
        scene.rig.kill_owners()
        scene.pause(0.2, 1.0)


def kill_both(scene: Scene) -> None:
    acts = [scene.rig.kill_agent, scene.rig.kill_owners]
    scene.chance.shuffle(acts)
    for act in acts:
        act()
    scene.pause(0.0, 1.0)
    scene.rig.start_agent()


def kill_renderer(scene: Scene) -> None:
    for _ in range(scene.chance.choice((1, 2, 3))):
        scene.rig.kill_renderers()
        scene.pause(0.05, 0.5)


def kill_controller(scene: Scene) -> None:
    scene.rig.kill_controller()
    away = scene.pause(0.0, scene.chance.choice((0.5, 1.5 * scene.timeouts.lease)))
    scene.rig.start_controller()
    scene.history.note("controller away", seconds=away + 5)


def restart_controller(scene: Scene) -> None:
    scene.rig.stop_controller()
    scene.rig.start_controller()
    scene.history.note("controller away", seconds=5)


def restart_database(scene: Scene) -> None:
    scene.rig.signal_database(signal.SIGQUIT)


def kill_database(scene: Scene) -> None:
    scene.rig.signal_database(signal.SIGKILL)


def stop_agent_for_long(scene: Scene) -> None:
    """A zombie: it stands still until its jobs are given up, and then goes on as if nothing had been."""
    agent = scene.rig.system.agent
    if agent is None:
        raise UnexpectedError("there is no agent")
    scene.history.note("contact lost")
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        limits = scene.timeouts
        time.sleep(limits.lease + limits.grace_capturing + limits.rescue_period)
        scene.pause(0.0, 2.0)
    finally:
        os.kill(agent.pid, signal.SIGCONT)


def stop_owner(scene: Scene) -> None:
    """The capture stands still for longer than the device can hold what it hears."""
    pids = scene.rig.system.owners()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    scene.pause(0.5, 3.5)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


# ---- the network ----


def part_shortly(scene: Scene) -> None:
    _part(scene, scene.chance.uniform(0.2, 0.9) * scene.timeouts.lease)


def part_longer_than_the_lease(scene: Scene) -> None:
    scene.history.note("contact lost")
    _part(scene, scene.chance.uniform(1.1, 2.0) * scene.timeouts.lease)


def part_longer_than_the_recording(scene: Scene) -> None:
    """Everything is stopped before anybody at the node can hear of it."""
    scene.history.note("contact lost")
    scene.rig.proxy.become(scene.chance.choice((CUT, SILENCE)))
    scene.pause(0.0, 1.0)
    for recording in [one for one in scene.workload.recordings if one not in scene.workload.stopped]:
        scene.workload.stop(recording)
    scene.pause(0.5, scene.timeouts.lease)
    scene.rig.proxy.become(PASS)


def part_until_given_up(scene: Scene) -> None:
    scene.history.note("contact lost")
    limits = scene.timeouts
    _part(scene, limits.lease + limits.grace_capturing + limits.rescue_period + scene.chance.uniform(0.5, 2.0))


def lose_answers(scene: Scene) -> None:
    """What the agent asks has its effect; it never hears so."""
    scene.history.note("contact lost")
    _part(scene, scene.chance.uniform(0.3, 1.5) * scene.timeouts.lease, ANSWERS_LOST)


def slow_network(scene: Scene) -> None:
    scale = scene.rig.system.scale
    scene.history.note("contact lost")
    networks = (
        Network(latency_seconds=0.4 * scale, jitter_seconds=0.1 * scale, bytes_per_second=256_000 / 8 / scale),
        Network(slice_bytes=scene.chance.randrange(40, 2000)),
        Network(stall_share=0.05, stall_seconds=5 * scale),
        Network(reset_after_bytes=scene.chance.randrange(2_000, 400_000)),
    )
    _part(scene, scene.chance.uniform(1.0, 4.0), scene.chance.choice(networks))


def repeat_requests(scene: Scene) -> None:
    most = 10 * 60 * scene.rig.system.scale / 20
    acts: tuple[Act, ...] = ("repeat", "delay", "lose answer")
    rules = [
        Rule(act, method="POST", share=scene.chance.uniform(0.1, 0.4), least_seconds=0.0, most_seconds=most)
        for act in scene.chance.sample(acts, 2)
    ]
    scene.history.note("contact lost")
    scene.rig.proxy.obey(*rules)
    scene.pause(1.0, 2.0)
    scene.stop_one()
    scene.pause(0.5, 1.5)
    scene.rig.proxy.obey()
    scene.rig.proxy.settle(most + 10)


def damage_uploads(scene: Scene) -> None:
    acts: tuple[Act, ...] = ("flip", "truncate", "extend", "cut")
    rules = [Rule(act, method="PUT", times=scene.chance.randrange(1, 4)) for act in scene.chance.sample(acts, 2)]
    scene.rig.proxy.obey(*rules)
    scene.pause(0.5, 2.0)
    scene.stop_one()
    scene.pause(0.2, 1.0)
    scene.rig.proxy.obey()


# ---- disks ----


def fill_disk(scene: Scene) -> None:
    scene.rig.fill_disk(leave_bytes=scene.chance.choice((0, 0, 100_000, 1_000_000)))
    if scene.chance.random() < 0.3:
        scene.workload.start("counter", FLAC_PROFILE, while_full=True)
    scene.pause(0.5, 3.0)
    if scene.chance.random() < 0.3:
        scene.stop_one()
    scene.rig.ballast.unlink(missing_ok=True)


def fail_writes(scene: Scene) -> None:
    """Calls of the capture process answer EIO, once or for a while."""
    call = scene.chance.choice(("fdatasync", "write", "fdatasync,write", "openat"))
    when = scene.chance.choice(("1", "2", f"1+{scene.chance.randrange(2, 6)}"))
    _trace_owners(scene, f"{call}:error=EIO:when={when}", scene.chance.uniform(0.3, 1.0))


def slow_disk(scene: Scene) -> None:
    """Each sync of the capture process takes long."""
    seconds = scene.chance.uniform(0.3, 5.0) * scene.rig.system.scale
    _trace_owners(scene, f"fdatasync,fsync:delay_enter={round(seconds * 1e6)}", scene.chance.uniform(1.0, 2.5))


def cut_power_of_node(scene: Scene) -> None:
    _cut_power(scene, is_node=True, is_controller=False)


def cut_power_of_controller(scene: Scene) -> None:
    _cut_power(scene, is_node=False, is_controller=True)


def cut_power_of_all(scene: Scene) -> None:
    _cut_power(scene, is_node=True, is_controller=True)


def flip_bit_of_rendition(scene: Scene) -> None:
    """A bit of what waits on the node for its upload turns over."""
    _flip(scene, list((scene.rig.system.node_folder / "jobs").glob("*/audio")))


def flip_bit_of_received(scene: Scene) -> None:
    """A bit of what the controller has received so far turns over."""
    _flip(scene, list((scene.rig.system.home / "cache" / "incoming").glob("*/audio")))


# ---- the device ----


def lose_device(scene: Scene) -> None:
    for _ in range(scene.chance.choice((1, 1, 2))):
        seconds = scene.chance.uniform(0.2, 3.0)
        for interface in scene.interfaces:
            scene.rig.hook(interface, "disconnect", seconds)
        time.sleep(seconds)
        scene.pause(0.0, 0.5)


def change_format(scene: Scene) -> None:
    """The device returns with another rate, and only later with its own."""
    for interface in scene.interfaces:
        scene.rig.hook(interface, "format", scene.chance.choice((44_100, 96_000)))
    scene.pause(0.5, 2.0)
    for interface in scene.interfaces:
        scene.rig.hook(interface, "format", 0)


def overrun_device(scene: Scene) -> None:
    for _ in range(scene.chance.randrange(1, 30)):
        for interface in scene.interfaces:
            scene.rig.hook(interface, "overrun", scene.chance.randrange(1, 2_000))
        scene.pause(0.0, 0.1)


def stall_device(scene: Scene) -> None:
    seconds = scene.chance.uniform(0.1, 2.5)
    for interface in scene.interfaces:
        scene.rig.hook(interface, "stall", seconds)
    time.sleep(seconds)


def hang_device(scene: Scene) -> None:
    """Opening it again takes its time."""
    seconds = scene.chance.uniform(0.5, 2.0)
    for interface in scene.interfaces:
        scene.rig.hook(interface, "hang", seconds)
        scene.rig.hook(interface, "disconnect", 0.1)
    time.sleep(seconds)


# ---- people, strangers, clocks ----


def race_wishes(scene: Scene) -> None:
    """Many stop and cancel at once, in any order, and start the same again."""
    acts: list[Callable[[], None]] = []
    for recording in scene.workload.recordings:
        acts += [lambda one=recording: scene.workload.stop(one)] * scene.chance.randrange(1, 6)  # type: ignore[misc]
        if scene.chance.random() < 0.3:
            acts.append(lambda one=recording: scene.workload.cancel(one))  # type: ignore[misc]
        acts.append(lambda one=recording: scene.workload.start_other(one))  # type: ignore[misc]
    scene.chance.shuffle(acts)
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


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
    _end_all_in(run_folder)
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


# ---- what a class of faults is ----


DEVICE_GAPS = frozenset({"device_lost", "device_stalled", "device_format_changed", "overrun"})
DISK_GAPS = frozenset({"disk_full", "disk_failing", "write_error", "ring_full", "owner_died"})
GIVEN_UP = frozenset({"contact_lost"})
NOT_TAKEN = frozenset({"node_did_not_answer", "not_claimed", "capture_not_started", "contact_lost"})
NO_ROOM = frozenset({"disk_full", "capture_not_started", "below_minimum", "contact_lost"})


@dataclass(frozen=True)
class FaultClass:
    """`rows` are those of the fault matrix in docs/fault-kit.md."""

    name: str
    rows: tuple[int, ...]
    inject: Callable[[Scene], None]
    gap_causes: frozenset[str] = frozenset()
    """Gaps that it explains."""
    may_fail: frozenset[str] = frozenset()
    """Failures that it explains."""
    delay_seconds: float = 0.0
    """How much later than usual a press may be heard of, without having been told of its age."""
    loses_contact: bool = False
    """Jobs may be given up by it; then nobody can stop their recordings any more, so they have a planned end."""
    may_damage: bool = False
    """What the controller has may turn out to be damaged, as long as it says so and serves none of it."""
    why_not: Callable[[], str | None] = lambda: None
    """Why this machine does not allow it."""
    weight: int = 1
    """How often it is drawn."""


def why_no_trace() -> str | None:
    return None if shutil.which("strace") and os.geteuid() == 0 else "It takes strace, and root."


def why_no_clocks() -> str | None:
    return None if faketime_library() else "It takes libfaketime."


def faketime_library() -> str | None:
    paths = [Path(folder) / FAKETIME for folder in _FAKETIME_FOLDERS]
    return next((str(path) for path in paths if path.exists()), None)


_OWNER = frozenset({"owner_died"})

OFTEN = 6
"""Classes that a release counts one by one."""

SINGLE = (
    FaultClass("agent_kill", (1, 34), kill_agent, may_fail=NOT_TAKEN, weight=OFTEN),
    FaultClass("agent_restart", (14,), restart_agent, may_fail=NOT_TAKEN),
    FaultClass("owner_kill", (2,), kill_owner, _OWNER, weight=OFTEN),
    FaultClass("both_kill", (3,), kill_both, _OWNER, NOT_TAKEN, weight=OFTEN),
    FaultClass("renderer_kill", (3,), kill_renderer),
    FaultClass("controller_kill", (4,), kill_controller, weight=OFTEN),
    FaultClass("controller_restart", (5,), restart_controller),
    FaultClass("database_restart", (6,), restart_database),
    FaultClass("database_kill", (7,), kill_database),
    FaultClass("partition_short", (8,), part_shortly, may_fail=NOT_TAKEN, weight=2),
    FaultClass("partition_beyond_lease", (8,), part_longer_than_the_lease, may_fail=NOT_TAKEN, weight=2),
    FaultClass("partition_beyond_recording", (8,), part_longer_than_the_recording, may_fail=NOT_TAKEN, weight=2),
    FaultClass("partition_given_up", (8,), part_until_given_up, may_fail=NOT_TAKEN, loses_contact=True),
    FaultClass("one_way", (9,), lose_answers, may_fail=NOT_TAKEN),
    FaultClass("slow_network", (10,), slow_network, may_fail=NOT_TAKEN, delay_seconds=1.0),
    FaultClass("enospc", (11,), fill_disk, DISK_GAPS, NO_ROOM, why_not=why_no_power_cuts, weight=OFTEN),
    FaultClass("eio", (12,), fail_writes, DISK_GAPS, NO_ROOM, why_not=why_no_trace),
    FaultClass("power_cut_node", (13,), cut_power_of_node, _OWNER, NOT_TAKEN, why_not=why_no_power_cuts, weight=3),
    FaultClass("power_cut_controller", (13,), cut_power_of_controller, why_not=why_no_power_cuts, weight=2),
    FaultClass("power_cut_all", (13,), cut_power_of_all, _OWNER, NOT_TAKEN, why_not=why_no_power_cuts, weight=2),
    FaultClass("device_loss", (15,), lose_device, DEVICE_GAPS, weight=OFTEN),
    FaultClass("device_format", (16,), change_format, DEVICE_GAPS),
    FaultClass("overrun", (17,), overrun_device, DEVICE_GAPS),
    FaultClass("stall", (15,), stall_device, DEVICE_GAPS),
    FaultClass("device_hang", (35,), hang_device, DEVICE_GAPS | _OWNER),
    FaultClass("owner_pause", (17,), stop_owner, DEVICE_GAPS | _OWNER | {"ring_full"}),
    FaultClass("clock_jump", (18,), jump_clock, may_fail=NOT_TAKEN, why_not=why_no_clocks),
    FaultClass("zombie", (20,), stop_agent_for_long, may_fail=NOT_TAKEN, loses_contact=True, weight=OFTEN),
    FaultClass("clone", (21,), clone_node, may_fail=NOT_TAKEN),
    FaultClass("repeated_requests", (22,), repeat_requests, may_fail=NOT_TAKEN, delay_seconds=3.0),
    FaultClass("race", (23, 38), race_wishes),
    FaultClass("bit_flip_node", (25,), flip_bit_of_rendition),
    FaultClass("bit_flip_controller", (25,), flip_bit_of_received, may_damage=True),
    FaultClass("upload_damage", (26,), damage_uploads, weight=OFTEN),
    FaultClass("hostile_owner", (27, 37), storm_owner),
    FaultClass("pid_reuse", (28,), reuse_pid, _OWNER, NOT_TAKEN),
    FaultClass("slow_disk", (29, 36), slow_disk, DISK_GAPS, why_not=why_no_trace),
)

NOT_RUN = {
    14: "Restart and upgrade of the systemd unit of an owner: process 1 of the test machine is no systemd.",
    19: "Suspend: a time namespace moves CLOCK_BOOTTIME of new processes only, not that of a running system.",
    24: "Torn last segment, cut at every byte: a test of the core runs it at store level.",
    30: "Memory limit: tested at the level of one process.",
    32: "Upgrade and downgrade with a live recording: there is one released version so far.",
    33: "24 h and 7 d soak with a fault a minute: takes longer than a campaign.",
}
"""Rows of the fault matrix that are no class here, and why."""


# ---- how ----


def _part(scene: Scene, seconds: float, network: Network | None = None) -> None:
    """The way to the controller is bad for so long; sometimes somebody stops a recording meanwhile."""
    scene.rig.proxy.become(network or scene.chance.choice((CUT, SILENCE)))
    time.sleep(seconds / 2)
    if scene.chance.random() < 0.4:
        scene.stop_one()
    time.sleep(seconds / 2)
    scene.rig.proxy.become(PASS)


def _cut_power(scene: Scene, *, is_node: bool, is_controller: bool) -> None:
    rig = scene.rig
    cut = scene.chance.choice(list(Cut))
    volumes = [
        volume
        for volume, is_cut in ((rig.recorder, is_node), (rig.library, is_controller))
        if volume is not None and is_cut
    ]
    for volume in volumes:
        volume.cut_power(cut)
    if is_node:
        scene.history.note("capture ended", processes=len(rig.system.owners()))
    if is_node:
        rig.kill_agent()
        rig.kill_renderers()
        for pid in rig.system.owners():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _end_all_in(rig.system.run_folder, besides="database")
        for folder in rig.system.run_folder.glob("owner-*"):
            shutil.rmtree(folder)
    if is_controller:
        rig.kill_controller()
        rig.kill_database_processes()
    began_at = time.monotonic()
    for volume in volumes:
        volume.restart()
    scene.pause(0.0, 0.5)
    if is_controller:
        rig.start_controller()
        scene.history.note("controller away", seconds=time.monotonic() - began_at + 5)
    rig.start_agent()


def _trace_owners(scene: Scene, injection: str, seconds: float) -> None:
    """Breaks calls of every capture process for a while."""
    calls = injection.split(":")[0]
    tracers = []
    for pid in scene.rig.system.owners():
        command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={calls}"]
        tracers.append(subprocess.Popen([*command, "-e", f"inject={injection}"]))
    time.sleep(seconds)
    for tracer in tracers:
        tracer.send_signal(signal.SIGINT)
        try:
            tracer.wait(10)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def _flip(scene: Scene, files: list[Path]) -> None:
    """One bit of one of these files, behind its head."""
    for path in scene.chance.sample(files, len(files)):
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            size = path.stat().st_size
            if size > 8192:
                at = scene.chance.randrange(4096, size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << scene.chance.randrange(8)]))
                scene.history.note("bit flipped", file=path.name, byte=at)
                return


def _end_all_in(folder: Path, besides: str | None = None) -> None:
    """Kills every process that has a file of this folder open."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            opened = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
            inside = [path for path in opened if path.startswith(f"{folder}/")]
            if any(besides is None or not path.startswith(f"{folder}/{besides}") for path in inside):
                pid = int(process.name)
                if pid != os.getpid() and is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
