"""A real Chromium before a real demo. Whatever the browser complains of fails the test that made it complain."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect, sync_playwright

from tests.acceptance.demo import Demo
from tests.folders import remove

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
PATIENCE_MS = 60_000
"""A loaded machine is slow; what does not come at all fails all the same."""
_EXPECTED_STATUS = {422}
"""A refused form is an answer, not a fault."""


@dataclass
class Complaints:
    """What Chromium said against our pages: errors of scripts, broken rules of the CSP, requests that failed."""

    found: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)
    """Parts of texts that a test provokes on purpose."""

    def watch(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._note(f"script error: {error}"))
        page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self._note(f"console {message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in _EXPECTED_STATUS:
            self._note(f"{response.status} for {response.request.method} {response.url}")

    def _note(self, text: str) -> None:
        if not any(part in text for part in self.expected):
            self.found.append(text)


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """One demo for all tests of a worker."""
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    made = Demo(home=home)
    try:
        made.launch_to_console()
        made.token = made.run("token", "create", "browser")
        yield made
    finally:
        made.end()
        remove(home)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(demo: Demo, chromium: Browser) -> Any:
    """The cookies of somebody who used the one-time link."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(demo.run("sign-in"))
    page.get_by_role("button", name="Open the console").click()
    page.get_by_role("heading", level=1).wait_for()
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    noted = Complaints()
    yield noted
    assert noted.found == []


@pytest.fixture
def new_context(
    demo: Demo, chromium: Browser, signed_in: Any, complaints: Complaints
) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts that are signed in unless `storage_state=None` is asked for; paths are relative to the console."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = chromium.new_context(**{"storage_state": signed_in, "base_url": demo.url, **options})
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", complaints.watch)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def page(new_context: Callable[..., BrowserContext]) -> Page:
    """A signed-in page of the usual size."""
    return new_context(viewport={"width": 1440, "height": 900}).new_page()
