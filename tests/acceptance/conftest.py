import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelkeeper.faultkit.system import TERMINAL, System, running, wait_for
from tests.folders import remove


@pytest.fixture
def start_system() -> Iterator[Callable[..., System]]:
    """Starts systems in short folders that every system user can reach; removes them when the test passed or failed."""
    with ExitStack() as stack:
        yield lambda **settings: _started(stack, **settings)


@pytest.fixture(scope="session")
def _shared() -> Iterator[System]:
    with ExitStack() as stack:
        yield _started(stack, scale=0.2)


@pytest.fixture
def system(_shared: System) -> Iterator[System]:
    """One system for all tests of a worker that break nothing of it; what one leaves running is cancelled, and gone."""
    yield _shared
    for recording in _shared.get("/recordings")["items"]:
        if recording["state"] not in TERMINAL:
            _shared.request("POST", f"/recordings/{recording['id']}/cancel")  # unless it has just ended
    wait_for("every renderer to end", lambda: not _shared.renderers())


def _started(stack: ExitStack, **settings: object) -> System:
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    stack.callback(remove, home)
    return stack.enter_context(running(System(home=home, **settings)))  # type: ignore[arg-type]
