"""Every page in both themes and from 320 px to wide: nobody is shut out, nothing spills over, little is loaded."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Response

from tests.acceptance.demo import Demo
from tests.browser.shut_out import shut_out, sideways

New = Callable[..., BrowserContext]
STATIC = Path(__file__).parents[2] / "static"
FIRST_VISIT_BYTES = 60_000
REPEATED_VISIT_BYTES = 25_000
SCRIPTS_BYTES = 20_000
STYLES_BYTES = 8_000


@pytest.fixture(scope="module")
def pages(demo: Demo) -> Iterator[dict[str, str]]:
    """Name → path, of a console that has something to show in every state."""
    done = demo.record("speech", name="Council 2026-11-20", folder="Meetings/2026", tags=["council"])
    failed = demo.record("tone", name="Was cancelled")
    growing = demo.record("counter-32", name="Court 3", channels=[0, 1])
    demo.wait_capturing(failed)
    demo.post(f"/recordings/{failed}/cancel")
    demo.wait_capturing(done, 96_000)
    demo.stop_recording(done)
    demo.wait_state(failed, "cancelled")
    demo.wait_state(done, "completed")
    demo.wait_capturing(growing)
    yield {
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
    demo.stop_recording(growing)


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


@pytest.mark.parametrize("name", NAMES)
def test_page_shuts_nobody_out_spills_nothing_and_loads_little(
    new_context: New, pages: dict[str, str], name: str
) -> None:
    """All that one load of it can prove: loading it is dear, and the other themes and widths are there at once."""
    context = new_context()
    page = context.new_page()
    first, again = visited(page, pages[name]), visited_again(context, pages[name])
    print(f"{name:12} first {first:7} bytes, repeated {again:7} bytes")
    assert first <= FIRST_VISIT_BYTES
    assert again <= REPEATED_VISIT_BYTES
    assert sideways(page) == []
    assert shut_out(page) == []


def test_what_is_unfolded_lies_within_a_small_screen(new_context: New, pages: dict[str, str]) -> None:
    page = new_context(viewport={"width": 320, "height": 700}).new_page()
    page.goto(pages["dashboard"])
    page.locator("#you > summary").click()
    place = page.locator("#you > .menu-body").bounding_box()
    assert place is not None
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= 320


def test_at_least_twelve_recordings_are_in_view(demo: Demo, page: Page, pages: dict[str, str]) -> None:
    page.goto("/recordings")
    box = page.locator("[data-row]").first.bounding_box()
    assert box is not None
    rows = int((900 - box["y"]) // box["height"])
    print(f"rows in view at 1440 x 900: {rows} of {box['height']:.0f} px, from {box['y']:.0f} px")
    assert rows >= 12


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
    return total


def visited_again(context: BrowserContext, path: str) -> int:
    """As `visited`, of a page that the context has loaded before."""
    page = context.new_page()
    total = visited(page, path)
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
