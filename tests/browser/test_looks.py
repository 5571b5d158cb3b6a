"""Every page in both themes and from 320 px to wide: nobody is shut out, nothing spills over, little is loaded."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Response

from reelkeeper.faultkit.system import wait_for
from tests.acceptance.demo import Demo

New = Callable[..., BrowserContext]
STATIC = Path(__file__).parents[2] / "static"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""All that hangs on the theme."""
WIDTHS = (320, 360, 832, 1440)
FIRST_VISIT_BYTES = 60_000
REPEATED_VISIT_BYTES = 25_000
SCRIPTS_BYTES = 20_000
STYLES_BYTES = 8_000


@pytest.fixture(scope="module")
def pages(demo: Demo) -> dict[str, str]:
    """Name → path, of a console that has something to show in every state."""
    done = demo.record("speech", name="Council 2026-11-20", folder="Meetings/2026", tags=["council"])
    demo.wait_capturing(done, 96_000)
    demo.stop_recording(done)
    demo.wait_state(done, "completed")
    failed = demo.record("tone", name="Was cancelled")
    demo.wait_capturing(failed)
    demo.post(f"/recordings/{failed}/cancel")
    demo.wait_state(failed, "cancelled")
    growing = demo.record("counter-32", name="Court 3", channels=[0, 1])
    demo.wait_capturing(growing)
    return {
        "dashboard": "/",
        "record": "/record",
        "recordings": "/recordings",
        "no match": "/recordings?q=nothing-is-called-so",
        "recording": f"/recordings/{done}",
        "growing": f"/recordings/{growing}",
        "cancelled": f"/recordings/{failed}",
        "stop": f"/recordings/{growing}/stop",
        "jobs": "/jobs",
        "job": f"/jobs/{demo.recording(done)['job_id']}",
        "nodes": "/nodes",
        "node": f"/nodes/{demo.node()['id']}",
        "add node": "/nodes/new",
        "node groups": "/nodes/groups",
        "audit": "/audit",
        "audit entry": "/audit/1",
        "account": "/account",
        "second factor": "/account/second-factor",
        "sign-in": "/sign-in",
    }


NAMES = [
    *("dashboard", "record", "recordings", "no match", "recording", "growing", "cancelled", "stop"),
    *(
        "jobs",
        "job",
        "nodes",
        "node",
        "add node",
        "node groups",
        "audit",
        "audit entry",
        "account",
        "second factor",
        "sign-in",
    ),
]


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize(("theme", "rules"), [("light", RULES), ("dark", RULES_OF_COLOUR)], ids=["light", "dark"])
def test_axe_finds_nothing_on_any_page(
    new_context: New, pages: dict[str, str], theme: str, rules: list[str], width: int
) -> None:
    page = new_context(color_scheme=theme, viewport={"width": width, "height": 900}).new_page()
    found = {}
    for name in NAMES:
        page.goto(pages[name])
        wait_for("meters and waveforms to be drawn", lambda: page.evaluate("() => document.readyState === 'complete'"))
        answer = Axe().run(page, options={"runOnly": rules})
        if answer.violations_count:
            found[name] = answer.generate_report()
    assert not found, "\n".join(f"{name}: {text}" for name, text in found.items())


def test_no_page_scrolls_sideways(new_context: New, pages: dict[str, str]) -> None:
    page = new_context(viewport={"width": WIDTHS[0], "height": 900}).new_page()
    wide = []
    for name in NAMES:
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        page.goto(pages[name])
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
                wide.append((name, width))
    assert not wide


def test_what_is_unfolded_lies_within_a_small_screen(new_context: New, pages: dict[str, str]) -> None:
    page = new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto(pages["dashboard"])
    page.locator("#you > summary").click()
    place = page.locator("#you > .menu-body").bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 320


def test_text_of_twice_the_size_does_not_scroll_sideways(new_context: New, pages: dict[str, str]) -> None:
    page = new_context(viewport={"width": 1280, "height": 900}).new_page()
    wide = []
    for name in NAMES:
        page.goto(pages[name])
        page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
        if page.evaluate("() => document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)
    assert not wide


def test_at_least_twelve_recordings_are_in_view(demo: Demo, page: Page, pages: dict[str, str]) -> None:
    page.goto("/recordings")
    box = page.locator("[data-row]").first.bounding_box()
    assert box is not None
    rows = int((900 - box["y"]) // box["height"])
    print(f"rows in view at 1440 x 900: {rows} of {box['height']:.0f} px, from {box['y']:.0f} px")
    assert rows >= 12


def test_a_first_visit_loads_little_and_a_repeated_one_less(new_context: New, pages: dict[str, str]) -> None:
    too_heavy = {}
    for name in NAMES:
        context = new_context()
        first, again = visited(context.new_page(), pages[name]), visited(context.new_page(), pages[name])
        print(f"{name:12} first {first:7} bytes, repeated {again:7} bytes")
        if first > FIRST_VISIT_BYTES or again > REPEATED_VISIT_BYTES:
            too_heavy[name] = (first, again)
    assert not too_heavy


def visited(page: Page, path: str) -> int:
    """Bytes that came over the line for a page. Sound, events and what is fetched again for them go on for ever, and do
    not count."""
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(path, wait_until="load")
    page.wait_for_timeout(500)
    total = 0
    for answer in answers:
        kind = answer.headers.get("content-type", "")
        if kind.startswith(("audio/", "text/event-stream")) or "hx-request" in answer.request.headers:
            continue
        total += answer.request.sizes()["responseBodySize"] + answer.request.sizes()["responseHeadersSize"]
    page.close()
    return total


def test_own_scripts_and_the_styles_of_a_page_stay_small() -> None:
    def compressed(folder: str) -> dict[str, int]:
        files = [file for file in (STATIC / folder).iterdir() if file.suffix in (".js", ".css")]
        return {file.name: len(gzip.compress(file.read_bytes())) for file in files}

    scripts, styles = compressed("js"), compressed("css")
    shell = styles.pop("reelkeeper.css")
    print(f"own scripts {sum(scripts.values())} bytes; styles {shell} and {styles}, compressed")
    assert sum(scripts.values()) <= SCRIPTS_BYTES
    assert shell + max(styles.values()) <= STYLES_BYTES
