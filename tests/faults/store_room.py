"""Runs campaigns and scenarios of the stores in interpreters of their own, as tests want them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]


def run_campaign(store: str, rounds: int, *options: str, seed: int = 1) -> dict[str, Any]:
    """What `tests.faults.kill_campaign` counted. Raises AssertionError with its sentence when something was lost."""
    return _run("tests.faults.kill_campaign", store, str(rounds), str(seed), *options)


def run_nth_call(scenario: str, *options: str) -> dict[str, Any]:
    """What `tests.faults.nth_call` counted. Raises AssertionError with its sentence when a promise was broken."""
    return _run("tests.faults.nth_call", scenario, *options)


def _run(module: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted
