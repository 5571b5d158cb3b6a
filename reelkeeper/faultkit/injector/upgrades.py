"""Another version takes over while recordings run, and gives back."""

from reelkeeper.faultkit.injector.scene import Scene
from reelkeeper.faultkit.rig import Part
from reelkeeper.faultkit.system import WAV_PROFILE


def upgrade(scene: Scene) -> None:
    """Controller and agent change to the version that is tested, in turn; then the agent back and forth.

    What was begun by the one is gone on with by the other; each pair that meets begins a recording besides.
    """
    order: list[Part] = ["controller", "agent"]
    scene.chance.shuffle(order)
    for part in order:
        _change(scene, part, is_other=False)
    for is_other in (True, False):
        _change(scene, "agent", is_other=is_other)


def _change(scene: Scene, part: Part, *, is_other: bool) -> None:
    scene.rig.change_version(part, is_other=is_other, is_killed=scene.chance.random() < 0.3)
    scene.pause(0.5, 1.5)
    scene.workload.start("counter", WAV_PROFILE, duration_ms=round(1000 * scene.chance.uniform(1.0, 6.0)))
    scene.pause(0.5, 1.5)
