"""X12 in a browser: an agent reports another phase of a job → the row of that job reads so in Chromium.

Twenty nodes report one after another; a page of jobs is open, and other pages hold streams of their own besides.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.measure import at_most, report
from reelkeeper.faultkit.system import System, wait_for

NODES = 20
OTHER_PAGES = 3
PHASES = ("capturing", "finishing", "uploading")
_CAPTURE = {"channels": 2, "sample_rate_hz": 48_000, "sample_type": "s16"}
_NOTE_CHANGES = """() => {
  window.seen = {};
  const note = () => {
    for (const row of document.querySelectorAll("tr[id^=job-]")) {
      const key = `${row.id} ${row.querySelector(".badge").textContent.trim().toLowerCase()}`;
      window.seen[key] ??= Date.now();
    }
  };
  new MutationObserver(note).observe(document.body, {childList: true, subtree: true, characterData: true});
  note();
}"""


class Node:
    """An agent that captures nothing and says what it is told to."""

    def __init__(self, system: System, number: int) -> None:
        code = system.post("/enrolment-codes", {"name": f"Room {number:02}"})["code"]
        self._http = httpx.Client(base_url=f"{system.url}/api/agent/v1", timeout=30)
        joined = self._call("POST", "/enrol", {"code": code, "version": "1"})
        self._http.headers["Authorization"] = f"Bearer {joined['token']}"
        self.id = joined["node_id"]
        self._run = self._call("POST", "/run", {"previous_run": 0, "version": "1"})["node_run"]
        self._call("PUT", "/inventory", _inventory(self._run))

    def claim(self) -> None:
        claim = {"claim_id": str(uuid.uuid4()), "node_run": self._run, "interfaces": [_reference()]}
        self._job = self._call("POST", "/claim-next", claim)

    def says(self, phase: str) -> str:
        """Reports; the job's id."""
        report = {"job_id": self._job["job_id"], "epoch": self._job["epoch"], "phase": phase}
        body = {"node_run": self._run, "jobs": [{**report, "frames": 48_000, "uploaded_bytes": 1}]}
        self._call("POST", "/heartbeat", body)
        job_id: str = self._job["job_id"]
        return job_id

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    system = System(home=home)
    try:
        system.start_controller()
        system.token = system.run("token", "create", "bench")
        delays = measure(system)
    finally:
        system.stop()
        shutil.rmtree(home)
    report(
        "event_to_dom",
        [
            at_most("X12 heartbeat sent → row changed, p95 s", statistics.quantiles(delays, n=20)[18], 0.5),
            at_most("X12 the slowest, s", max(delays), 1.5),
        ],
        {"events": len(delays), "median s": statistics.median(delays), "nodes": NODES, "pages": OTHER_PAGES + 1},
    )


def measure(system: System) -> list[float]:
    """Seconds from sending a heartbeat until its row reads so; by one clock, since all is one machine."""
    nodes = [Node(system, number) for number in range(NODES)]
    for node in nodes:
        request = {"id": str(uuid.uuid4()), "node_id": node.id, "name": "Meeting", "interface": _reference()}
        system.post("/recordings", request)
        node.claim()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        context = browser.new_context(base_url=system.url)
        page = signed_in(context.new_page(), system.run("sign-in"))
        for _ in range(OTHER_PAGES):
            context.new_page().goto("/")
        page.goto("/jobs")
        wait_for("the stream", lambda: page.locator("#live[data-state=live]").count())
        page.evaluate(_NOTE_CHANGES)
        sent = {}
        for phase in PHASES:
            for node in nodes:
                at = time.time()
                sent[f"job-{node.says(phase)} {phase}"] = at
                page.wait_for_timeout(100)
        wait_for("every row", lambda: sent.keys() <= page.evaluate("() => window.seen").keys())
        seen = page.evaluate("() => window.seen")
        browser.close()
    return [seen[key] / 1000 - at for key, at in sent.items()]


def signed_in(page: Page, link: str) -> Page:
    page.goto(link)
    page.get_by_role("button", name="Open the console").click()
    page.wait_for_url("**/")
    return page


def _reference() -> dict[str, str]:
    return {"backend": "synthetic", "name": "tone"}


def _inventory(node_run: int) -> dict[str, Any]:
    interface = {
        **_reference(),
        "label": "Tone",
        "max_channels": 2,
        "sample_rates_hz": [48_000],
        "sample_types": ["s16"],
        "default_capture": _CAPTURE,
    }
    return {
        "node_run": node_run,
        "version": "1",
        "interfaces": [interface],
        "spool_free_bytes": 10**12,
        "spool_total_bytes": 10**12,
        "utc_ns": time.time_ns(),
    }


if __name__ == "__main__":
    main()
