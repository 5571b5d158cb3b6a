"""The way between agent and controller: away, slow, one-sided, damaging."""

import time

from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.proxy import ANSWERS_LOST, CUT, PASS, SILENCE, Act, Network, Rule


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


def _part(scene: Scene, seconds: float, network: Network | None = None) -> None:
    """The way to the controller is bad for so long; sometimes somebody stops a recording meanwhile."""
    scene.rig.proxy.become(network or scene.chance.choice((CUT, SILENCE)))
    time.sleep(seconds / 2)
    if scene.chance.random() < 0.4:
        scene.stop_one()
    time.sleep(seconds / 2)
    scene.rig.proxy.become(PASS)
