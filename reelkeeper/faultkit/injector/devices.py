"""Inputs that are away, silent, in another format, slow to open, or drop frames."""

import time

from reelkeeper.faultkit.injector.scene import Scene


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
