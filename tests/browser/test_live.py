"""The console never lies about how live it is, and is right again by itself."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from reelkeeper.faultkit.system import wait_for
from tests.acceptance.demo import Demo
from tests.browser.conftest import Complaints

New = Callable[..., BrowserContext]


def live(page: Page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def test_a_state_that_changes_elsewhere_is_seen_without_a_reload(demo: Demo, page: Page) -> None:
    page.goto("/jobs")
    live(page)
    page.evaluate("() => { window.sameDocument = true; }")
    recording = demo.record("tone", name="Seen while it happens")
    row = page.locator("tr", has_text="Seen while it happens")
    expect(row).to_contain_text("Capturing")
    demo.stop_recording(recording)
    expect(row).to_contain_text("Completed")
    assert page.evaluate("() => window.sameDocument")


TOLD_BY_HAND = """() => {
  const opened = [];
  class Told extends EventTarget {
    static CLOSED = 2;
    readyState = 1;
    constructor() { super(); opened.push(this); setTimeout(() => this.dispatchEvent(new Event("open"))); }
    close() { this.readyState = 2; }
  }
  window.EventSource = Told;
  window.tell = (name, data) => opened.at(-1).dispatchEvent(new MessageEvent(name, {data}));
}"""


def test_news_that_crosses_an_older_answer_is_not_lost(demo: Demo, new_context: New) -> None:
    """The answer puts a new row in the place of the one that heard the news; what it shows was read before."""
    name = "Told just before the answer"
    demo.wait_state(demo.record("tone", name=name, duration_ms=500), "completed")
    context = new_context()
    context.add_init_script(f"({TOLD_BY_HAND})()")
    page = context.new_page()
    page.goto("/jobs")
    live(page)
    row = page.locator("tr", has_text=name)
    tell = f"() => window.tell('job', '{(row.get_attribute('id') or '').removeprefix('job-')} completed')"
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        answered = route.fetch()
        if len(asked) > 1:
            route.fulfill(response=answered)
            return
        page.evaluate(tell)
        route.fulfill(response=answered, body=answered.text().replace("Completed", "Uploading"))

    page.route("**/jobs/*/row", answer)
    page.evaluate(tell)
    for _ in range(600):
        if len(asked) == 2:
            break
        page.wait_for_timeout(100)
    expect(row).to_contain_text("Completed")
    assert len(asked) == 2


@pytest.mark.parametrize("away_seconds", [6, pytest.param(30, marks=pytest.mark.long)])
def test_after_an_outage_the_screen_is_right_by_itself(
    demo: Demo, page: Page, complaints: Complaints, away_seconds: float
) -> None:
    """The controller dies and stays away; meanwhile a recording ends. Nobody reloads the page."""
    complaints.expected |= {"ERR_", "/events", "htmx:", "503 for"}
    page.goto("/jobs")
    live(page)
    page.evaluate("() => { window.sameDocument = true; }")
    name = f"Ends while the controller is away for {away_seconds} s"
    recording = demo.record("tone", name=name, duration_ms=8_000)
    row = page.locator("tr", has_text=name)
    expect(row).to_contain_text("Capturing")
    with controller_away(demo):
        expect(page.locator("#live")).to_have_attribute("data-state", "reconnecting")
        time.sleep(away_seconds)
    returned = time.monotonic()
    live(page)
    print(f"away {away_seconds} s: live {time.monotonic() - returned:.1f} s after the return")
    demo.wait_state(recording, "completed")
    known = time.monotonic()
    expect(row).to_contain_text("Completed")
    print(f"and right {time.monotonic() - known:.2f} s after the controller knew")
    assert page.evaluate("() => window.sameDocument")


@contextlib.contextmanager
def controller_away(demo: Demo) -> Iterator[None]:
    """Killed, and not started again until the end of the block, at which it answers."""
    assert demo.process is not None
    os.kill(demo.process.pid, signal.SIGSTOP)
    os.kill(controller_of(demo), signal.SIGKILL)
    try:
        yield
    finally:
        os.kill(demo.process.pid, signal.SIGCONT)
    wait_for("the controller to answer again", lambda: is_ready(demo))


def controller_of(demo: Demo) -> int:
    for pid in demo.processes():
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            if b"controller" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
    raise AssertionError("no controller runs")


def is_ready(demo: Demo) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{demo.url}/readyz").is_success
    return False


HIDE = """() => {
  Object.defineProperty(document, "hidden", {value: HIDDEN, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_eight_tabs_all_load_and_the_hidden_hold_no_stream(demo: Demo, new_context: New) -> None:
    """Chromium opens six connections to a host: with a stream a tab the seventh tab would hang."""
    context = new_context()
    context.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true});")
    pages = []
    for _ in range(8):
        page = context.new_page()
        page.goto("/jobs", wait_until="load")  # the seventh would wait until another tab closes
        expect(page.locator("#live")).to_have_attribute("data-state", "paused")
        pages.append(page)
    recording = demo.record("tone", name="While all were hidden")
    for page in (pages[7], pages[0]):
        page.evaluate(HIDE.replace("HIDDEN", "false"))
        live(page)
        expect(page.locator("tr", has_text="While all were hidden")).to_be_visible()
    pages[0].evaluate(HIDE.replace("HIDDEN", "true"))
    expect(pages[0].locator("#live")).to_have_attribute("data-state", "paused")
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")


def test_back_shows_a_whole_page_also_after_fragments_were_fetched(demo: Demo, page: Page) -> None:
    page.goto("/jobs")
    live(page)
    page.get_by_role("link", name="Failed").first.click()
    page.wait_for_url("**state=failed*")
    page.get_by_role("link", name="Nodes").click()
    page.wait_for_url("**/nodes")
    page.go_back()
    page.wait_for_url("**state=failed*")
    expect(page.get_by_role("banner")).to_be_visible()
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()
    page.go_back()
    page.wait_for_url("**/jobs")
    expect(page.get_by_role("banner")).to_be_visible()


def test_a_field_in_use_is_not_swapped_away(demo: Demo, page: Page) -> None:
    page.goto("/record")
    live(page)
    name = page.get_by_label("Name")
    name.fill("Half a na")
    recording = demo.record("tone")
    demo.wait_capturing(recording)
    demo.stop_recording(recording)
    demo.wait_state(recording, "completed")
    expect(name).to_be_focused()
    expect(name).to_have_value("Half a na")


PRESSED_AT_ONCE = """(keys) => keys.forEach(
  (key) => document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}))
)"""
"""A second key counts for a moment only, which a busy machine may miss."""


def test_single_keys_lead_to_pages_and_can_be_switched_off(page: Page) -> None:
    page.goto("/jobs")
    page.evaluate(PRESSED_AT_ONCE, ["g", "n"])
    page.wait_for_url("**/nodes")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    keys.get_by_role("checkbox").uncheck()
    keys.get_by_role("button", name="Close").click()
    page.keyboard.press("r")
    expect(page.get_by_role("dialog", name="Record")).not_to_be_visible()


def test_a_dialog_that_is_refused_says_why_and_does_not_open(page: Page, complaints: Complaints) -> None:
    complaints.expected |= {"403", "htmx:"}
    page.goto("/jobs")
    page.route("**/record", lambda route: route.fulfill(status=403, body="That needs the permission recording:create."))
    page.get_by_role("link", name="Record", exact=True).first.click()
    expect(page.get_by_role("alert")).to_have_text("That needs the permission recording:create.")
    expect(page.locator("#dialog")).to_be_hidden()


def test_a_part_that_could_not_be_fetched_is_marked_and_fetched_again(page: Page, complaints: Complaints) -> None:
    complaints.expected |= {"503", "htmx:"}
    page.route("**/dashboard/last-day", lambda route: route.fulfill(status=503, body="Later."))
    page.goto("/")
    day = page.locator("#day")
    expect(day).to_have_attribute("data-stale", "")
    with page.expect_response(lambda answer: answer.url.endswith("/dashboard/last-day") and answer.ok):
        page.unroute("**/dashboard/last-day")
    expect(day).not_to_have_attribute("data-stale", "")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_link_keeps_the_focus_while_its_part_of_the_page_is_fetched_again(page: Page) -> None:
    page.goto("/")
    live(page)
    tile = page.locator("#day .tile", has_text="Failed")
    tile.focus()
    page.evaluate("() => { document.querySelector('#day .tiles').dataset.old = ''; htmx.trigger('#day', 'live'); }")
    expect(page.locator("#day .tiles[data-old]")).to_have_count(0)
    expect(tile).to_be_focused()


def test_a_page_whose_session_has_ended_leads_to_the_sign_in(new_context: New, complaints: Complaints) -> None:
    complaints.expected |= {"401", "/events"}
    context = new_context()
    context.add_init_script("Object.defineProperty(document, 'hidden', {value: true, configurable: true});")
    page = context.new_page()
    page.goto("/jobs")
    expect(page.locator("#live")).to_have_attribute("data-state", "paused")
    context.clear_cookies()
    page.evaluate(HIDE.replace("HIDDEN", "false"))
    page.wait_for_url("**/sign-in?next=/jobs")
