"""X12: pages that are open while things change: processor time of the controller, delay, memory of each page.

Every page hears every event. Some pages are read event by event, the others only drained, so that the bench does not
measure itself.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).parents[1]))

import asyncpg
import httpx
import uvloop

from bench.measure import at_most, report
from reelkeeper.faultkit.system import System, rss_bytes
from web.settings import ControllerSettings
from web.store.embedded import EmbeddedPostgres

READ_PAGES = 20
LOCAL = "127.0.0.1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=100, help="a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="rk-"))
    home.chmod(0o755)
    system = System(home=home)
    try:
        system.start_controller()
        uvloop.run(_measure(system, arguments.pages, arguments.events, arguments.seconds))
    finally:
        system.stop()
        shutil.rmtree(home)


async def _measure(system: System, pages: int, events: int, seconds: float) -> None:
    assert system.controller is not None
    pid, before_bytes = system.controller.pid, rss_bytes(system.controller.pid)
    request = _request(system)
    delays: list[float] = []
    loop = asyncio.get_running_loop()
    opened = [
        await loop.create_connection(partial(_Page, request, delays if i < READ_PAGES else None), LOCAL, system.port)
        for i in range(pages)
    ]
    await asyncio.sleep(2 + pages / 200)
    each_kib = (rss_bytes(pid) - before_bytes) / pages / 1024
    delays.clear()
    busy_before, began = _cpu_seconds(pid), time.monotonic()
    await _tell(_database_url(system), events, seconds)
    share = (_cpu_seconds(pid) - busy_before) / (time.monotonic() - began)
    for transport, _ in opened:
        transport.abort()
    delays.sort()
    report(
        "live_updates",
        [
            at_most("X12 processor of the controller, share of a core", share, 0.6),
            at_most("X12 event → page, p95 s", delays[int(len(delays) * 0.95)], 0.5),
            at_most("X12 memory of an open page, KiB", each_kib, 40),
        ],
        {
            "pages": pages,
            "events a second": events,
            "median delay s": statistics.median(delays),
            "load of the machine": os.getloadavg()[0],
        },
    )


def _request(system: System) -> bytes:
    """What opens a page's stream, of somebody who came by a link."""
    with httpx.Client(headers={"Sec-Fetch-Site": "same-origin"}, trust_env=False) as browser:
        assert browser.post(system.run("sign-in")).status_code == 303
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    lines = ["GET /events?topics=job HTTP/1.1", f"Host: {LOCAL}:{system.port}", f"Cookie: {cookie}", "", ""]
    return "\r\n".join(lines).encode()


class _Page(asyncio.Protocol):
    """An open page; with a list of delays it is read, else only drained."""

    def __init__(self, request: bytes, delays: list[float] | None) -> None:
        self._request = request
        self._delays = delays

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._delays is not None:
            now = time.monotonic()
            self._delays += [now - float(found) for found in re.findall(rb"data: at ([0-9.]+)", data)]


async def _tell(url: str, events: int, seconds: float) -> None:
    connection = await asyncpg.connect(url)
    began = time.monotonic()
    try:
        for number in range(round(events * seconds)):
            await asyncio.sleep(max(0, began + number / events - time.monotonic()))
            said = {"name": "job", "id": str(uuid4()), "data": f"at {time.monotonic()}"}
            await connection.execute("SELECT pg_notify('reelkeeper_page', $1)", json.dumps(said))
        await asyncio.sleep(1)
    finally:
        await connection.close()


def _database_url(system: System) -> str:
    settings = ControllerSettings(home=system.home, run_folder=system.run_folder)
    return EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder).running_url()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
