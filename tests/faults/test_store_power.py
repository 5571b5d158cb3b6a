"""The spool of an agent and the cache store of a controller, killed or without power at random instants."""

import pytest

from reelkeeper.faultkit.volume import why_no_power_cuts
from tests.faults.store_room import run_campaign

SUDDEN = [] if why_no_power_cuts() else ["--power"]
"""Without root the same campaign runs with kills alone."""


def test_spool_says_the_last_or_the_last_but_one_of_every_file() -> None:
    counted = run_campaign("spool", 15, *SUDDEN)
    assert counted["rounds"] == 15
    assert counted["files"] > 50


def test_cache_store_keeps_what_it_acknowledged_and_shows_nothing_unsealed() -> None:
    counted = run_campaign("cache", 15, *SUDDEN)
    assert counted["acknowledged"] > 20
    assert counted["sealed"] > 2


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("store", ["takes", "paced", "spool", "cache"])
@pytest.mark.parametrize("seed", [2, 3])
def test_300_sudden_ends_lose_nothing(store: str, seed: int) -> None:
    rounds = 60 if store == "paced" else 300
    assert run_campaign(store, rounds, *SUDDEN, seed=seed)["rounds"] == rounds
