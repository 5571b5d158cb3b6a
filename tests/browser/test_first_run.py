"""From an empty database to a recording that is heard: the first run as a newcomer goes through it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.acceptance.demo import Demo
from tests.browser.conftest import PATIENCE_MS, Complaints
from tests.browser.shut_out import shut_out, sideways
from tests.folders import remove

PAUSE_MS = 300
"""What a person takes before each act."""
CLICKS_LIMIT = 6
FIELDS_LIMIT = 3
SECONDS_LIMIT = 60.0
PASSWORD = "seven green ladders sing"


@dataclass
class Newcomer:
    """Counts what it does."""

    page: Page
    clicks: int = 0
    fields: int = 0
    headings: list[str] = field(default_factory=list)

    def click(self, element: Locator) -> None:
        self.page.wait_for_timeout(PAUSE_MS)
        element.click()
        self.clicks += 1

    def type(self, label: str, text: str) -> None:
        self.page.wait_for_timeout(PAUSE_MS)
        self.page.get_by_label(label, exact=True).fill(text)
        self.fields += 1

    def sees(self, heading: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
        self.headings.append(heading)


@pytest.fixture
def empty_demo() -> Iterator[Demo]:
    """A demo of which nobody has an account."""
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    made = Demo(home=home)
    try:
        made.launch_to_console()
        yield made
    finally:
        made.end()
        remove(home)


def go_through(newcomer: Newcomer, link: str, at_each_step: Callable[[], None] = lambda: None) -> None:
    """All steps up to the sound of the first recording."""
    page = newcomer.page
    page.goto(link)
    newcomer.sees("Welcome to Reelkeeper")
    at_each_step()
    newcomer.type("Your name", "Ana")
    newcomer.type("Password", PASSWORD)
    newcomer.click(page.get_by_role("button", name="Continue"))
    newcomer.sees("Which machine records?")
    at_each_step()
    expect(page.get_by_role("radio", name="This machine")).to_be_checked()
    newcomer.click(page.get_by_role("button", name="Continue"))
    newcomer.sees("Say something")
    expect(page.get_by_text("I hear you").first).to_be_visible()
    at_each_step()
    newcomer.click(page.get_by_role("button", name="Continue"))
    newcomer.sees("Record ten seconds")
    at_each_step()
    newcomer.click(page.get_by_role("button", name="Record 10 seconds"))
    expect(page.get_by_text("left")).to_be_visible()
    expect(page.locator("#heard")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#heard').currentTime > 0.5")
    at_each_step()


def test_a_newcomer_hears_a_first_recording_within_few_clicks(
    empty_demo: Demo, chromium: Browser, complaints: Complaints
) -> None:
    context = chromium.new_context(base_url=empty_demo.url)
    context.set_default_timeout(PATIENCE_MS)
    context.on("page", complaints.watch)
    newcomer = Newcomer(context.new_page())
    began = time.monotonic()
    go_through(newcomer, empty_demo.sign_in_link())
    seconds = time.monotonic() - began
    print(f"first run: {seconds:.1f} s, {newcomer.clicks} clicks, {newcomer.fields} fields")
    assert newcomer.clicks <= CLICKS_LIMIT
    assert newcomer.fields <= FIELDS_LIMIT
    said = newcomer.page.locator(".checks li")
    expect(said).to_have_count(3)
    assert newcomer.page.locator(".checks li.bad").count() == 0, said.all_inner_texts()
    newcomer.page.get_by_role("link", name="Continue").click()
    newcomer.sees("That was your first recording")
    newcomer.page.get_by_role("button", name="Open the Dashboard").click()
    expect(newcomer.page.get_by_role("heading", name="Worth doing next")).to_be_visible()
    context.close()


@pytest.mark.long
def test_a_newcomer_needs_less_than_a_minute_and_nobody_is_shut_out(
    empty_demo: Demo, chromium: Browser, complaints: Complaints
) -> None:
    context = chromium.new_context(base_url=empty_demo.url)
    context.set_default_timeout(PATIENCE_MS)
    context.on("page", complaints.watch)
    newcomer = Newcomer(context.new_page())
    looked_at = 0.0

    def look() -> None:
        nonlocal looked_at
        began = time.monotonic()
        assert sideways(newcomer.page) == []
        assert shut_out(newcomer.page) == []
        looked_at += time.monotonic() - began

    began = time.monotonic()
    go_through(newcomer, empty_demo.sign_in_link(), look)
    seconds = time.monotonic() - began - looked_at
    print(f"first run without the looks: {seconds:.1f} s")
    assert seconds <= SECONDS_LIMIT
    context.close()


@pytest.mark.long
def test_the_first_run_works_without_script(empty_demo: Demo, chromium: Browser) -> None:
    context = chromium.new_context(base_url=empty_demo.url, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    newcomer = Newcomer(context.new_page())
    page = newcomer.page
    page.goto(empty_demo.sign_in_link())
    newcomer.type("Your name", "Ana")
    newcomer.type("Password", PASSWORD)
    for heading in ("Which machine records?", "Say something", "Record ten seconds"):
        page.get_by_role("button", name="Continue").click()
        newcomer.sees(heading)
    page.get_by_role("button", name="Record 10 seconds").click()
    expect(page.get_by_text("Recorded", exact=True)).to_be_visible()  # the page asks again by itself
    expect(page.locator("audio#heard")).to_have_attribute("src", page.locator("audio#heard").get_attribute("src") or "")
    assert page.locator(".checks li.good").count() == 3
    page.get_by_role("link", name="Continue").click()
    newcomer.sees("That was your first recording")
    context.close()
