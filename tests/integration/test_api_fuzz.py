"""Whatever is called, as the document says or not, is answered as the document says, and never by a fault."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.api_fuzz import Found, Share, fuzzed
from tests.integration.room import make_room
from tests.integration.web_room import running, settings_in
from web import outbound
from web.domain.access import system
from web.services.entry import tokens
from web.store.database import Database

SEED = 20_261_121
SHARES = 4


@contextmanager
def controller_beside(folder: Path, database_url: str) -> Iterator[tuple[str, str]]:
    """A controller in a thread of its own, with a node that has a recording; its address and the token of somebody
    who may do everything."""
    ready = threading.Event()
    told: list[tuple[str, str]] = []
    endings: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        settings = settings_in(folder)
        async with running(settings, database_url) as controller, Database(database_url, settings.timeouts) as db:
            room = await make_room(db)
            await room.start()
            told.append((controller.url, await tokens.create_token(db, "fuzz", by=system("test"))))
            stop = asyncio.Event()
            endings.append((asyncio.get_running_loop(), stop))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(60)
        yield told[0]
    finally:
        for loop, stop in endings:
            loop.call_soon_threadsafe(stop.set)
        thread.join()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name has an address: webhooks that are made up here reach nobody."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError

    monkeypatch.setattr(outbound, "_resolved", resolve)


def report(found: Found) -> str:
    wrong = "\n\n".join(f"{what}\n{how}" for what, how in found.failures.items())
    return f"{found.calls} calls of {len(found.operations)} operations, {dict(found.statuses)}\n{wrong}"


@pytest.mark.usefixtures("nowhere")
def test_a_few_calls_of_each_operation_keep_to_the_document(tmp_path: Path, database_url: str) -> None:
    with controller_beside(tmp_path, database_url) as (url, token):
        found = fuzzed(url, token, examples=2, seed=SEED, phases=("fuzzing",))
    assert not found.failures, report(found)
    assert len(found.operations) > 80
    assert not [status for status in found.statuses if status >= 500]


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("number", range(SHARES))
def test_twenty_thousand_calls_keep_to_the_document(tmp_path: Path, database_url: str, number: int) -> None:
    """In shares, which may run side by side and again each by itself."""
    with controller_beside(tmp_path, database_url) as (url, token):
        found = fuzzed(url, token, examples=250, seed=SEED, share=Share(number, SHARES))
    print(report(found))
    assert not found.failures, report(found)
    assert found.calls >= 20_000 // SHARES
    assert not [status for status in found.statuses if status >= 500]
