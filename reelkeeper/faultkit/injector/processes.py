"""Processes that die, stand still, or start anew."""

import contextlib
import os
import signal
import time

from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.system import UnexpectedError


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


def suspend_node(scene: Scene) -> None:
    """The machine of the node sleeps: it holds its lease to be over, and the controller may not."""
    _suspend(scene, scene.chance.uniform(0.1, 0.6))


def suspend_node_for_long(scene: Scene) -> None:
    """The machine of the node sleeps until its jobs are given up, and goes on as if nothing had been."""
    limits = scene.timeouts
    _suspend(scene, limits.lease + limits.grace_capturing + limits.rescue_period + scene.chance.uniform(0.0, 2.0))


def _suspend(scene: Scene, halt_seconds: float) -> None:
    scene.rig.suspend(scene.chance.uniform(1.1, 4.0) * scene.timeouts.lease, halt_seconds)
    scene.pause(0.5, 1.5)


def stop_owner(scene: Scene) -> None:
    """The capture stands still for longer than the device can hold what it hears."""
    pids = scene.rig.system.owners()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    scene.pause(0.5, 3.5)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
