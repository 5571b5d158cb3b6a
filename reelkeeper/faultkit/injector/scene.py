"""Everything that a fault may touch."""

import time
from dataclasses import dataclass
from random import Random

from protocol.timeouts import Timeouts
from reelkeeper.faultkit.history import History
from reelkeeper.faultkit.rig import Rig
from reelkeeper.faultkit.workload import Workload


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
