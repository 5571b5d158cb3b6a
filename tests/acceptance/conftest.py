import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from reelkeeper.faultkit.system import System, running
from tests.folders import remove


@pytest.fixture
def start_system() -> Iterator[Callable[..., System]]:
    """Starts systems in short folders that every system user can reach; removes them when the test passed or failed."""
    with ExitStack() as stack:

        def start(**settings: object) -> System:
            home = Path(tempfile.mkdtemp(prefix="rk-"))
            home.chmod(0o755)
            stack.callback(remove, home)
            return stack.enter_context(running(System(home=home, **settings)))  # type: ignore[arg-type]

        yield start
