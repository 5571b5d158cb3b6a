"""Every page and every read of the API over a full database, and lists as people with narrow rights see them."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx

from bench import full_house, measure
from bench.full_house import Guest, thing
from protocol.ids import new_id, new_token
from web.app import create_app
from web.route_rules import SECTIONS
from web.settings import ControllerSettings
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import migrate

GOAL_MS = 100.0
_NOT_PAGES = ("/events", "/static/{path}", "/audit.csv", "/api/v1/audit/export", "/api/agent/v1/wake")
_SOUND = ("/audio", "/live", "/download", "/waveform.dat", "/peaks", "/ledger")
"""What is sent as it comes is measured by benches of its own."""
_LISTS = {
    "/recordings": (
        *("", "?state=failed", "?state=queued", "?q=council+77", "?q=nothing+has+this", "?state=failed&q=council+77"),
        *("?per=100", f"?before={thing('recording', 90_000)}", "?q=room+77", "?q=tag+77"),
    ),
    "/recordings/news": (f"?after={thing('recording', 300)}", f"?after={thing('recording', 90_000)}"),
    "/jobs": (
        *("", "?state=failed", "?state=queued", "?state=cancelled", f"?node={thing('node', 13)}", "?q=council+77"),
        *("?q=nothing+has+this", f"?before={thing('job', 90_000)}", f"?node={thing('node', 13)}&state=failed"),
    ),
    "/": ("",),
    "/dashboard/verdict": ("",),
    "/dashboard/recording-now": ("",),
    "/dashboard/attention": ("",),
    "/dashboard/last-day": ("",),
    "/nodes": ("",),
    f"/nodes/{thing('node', 7)}": ("",),
    "/record": ("",),
    "/api/v1/recordings": ("?limit=100", "?state=failed&limit=100", "?text=council+77"),
    "/api/v1/jobs": ("?limit=100", "?state=failed&limit=100", f"?node_id={thing('node', 13)}"),
    "/api/v1/health-events": ("", f"?node_id={thing('node', 13)}", f"?recording_id={thing('recording', 301)}"),
}


@dataclass
class Timed:
    """The answers to one address."""

    who: str
    path: str
    status: int = 0
    body_bytes: int = 0
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """Of this process; what the database works is not in it."""

    @property
    def p95_ms(self) -> float:
        return statistics.quantiles(self.wall_ms, n=20)[-1] if len(self.wall_ms) > 1 else self.wall_ms[0]

    @property
    def row(self) -> str:
        middle, cpu = statistics.median(self.wall_ms), statistics.median(self.cpu_ms)
        size = f"{self.body_bytes / 1000:8.1f}"
        return f"{self.p95_ms:8.1f} {middle:8.1f} {cpu:8.1f} {size} {self.status}  {self.who}: {self.path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="paths that contain this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rk-") as name, asyncio.Runner() as runner:
        folder = Path(name)
        folder.chmod(0o711)
        runner.run(_measure(folder, arguments.rounds, arguments.only))


async def _measure(folder: Path, rounds: int, only: str) -> None:
    async with EmbeddedPostgres(folder / "database", folder / "s") as server:
        await migrate(server.url("owner"))
        superuser = await asyncpg.connect(server.url("postgres"))
        await full_house.furnish(superuser)
        guests = await full_house.invite(superuser)
        await superuser.close()
        timed = await visit(folder, server.url(), guests, rounds=rounds, only=only)
    show(timed)


async def visit(folder: Path, url: str, guests: Sequence[Guest], *, rounds: int, only: str = "") -> list[Timed]:
    """Each address in turn, again and again, after a round that does not count."""
    timed = [
        *(Timed(guests[0].name, path) for path in _pages() if only in path),
        *(
            Timed(guest.name, path + query)
            for guest in guests
            for path, queries in _LISTS.items()
            for query in queries
            if only in path
        ),
    ]
    cookies = {guest.name: guest.cookie for guest in guests}
    async with _browser(folder, url) as browser:
        for turn in range(rounds + 1):
            for one in timed:
                await _ask(browser, one, cookies, counts=turn > 0)
    return timed


def show(timed: Sequence[Timed]) -> None:
    slowest = sorted(timed, key=lambda one: one.p95_ms, reverse=True)
    print("     p95  median      CPU       kB         ms of the answer, of this process, size")
    for one in slowest:
        print(one.row)
    faults = [one.path for one in timed if one.status >= 500]
    measure.report(
        "pages",
        [
            measure.at_most(f"slowest p95, ms: {slowest[0].who}: {slowest[0].path}", slowest[0].p95_ms, GOAL_MS),
            measure.at_most("addresses over it", sum(one.p95_ms > GOAL_MS for one in timed), 0),
            measure.at_most("faults", len(faults), 0),
        ],
        {
            "addresses": len(timed),
            "rounds": len(slowest[0].wall_ms),
            "load": os.getloadavg()[0],
            **{f"p95, ms, {one.who}: {one.path}": one.p95_ms for one in slowest[:20]},
        },
    )


def _pages() -> Iterator[str]:
    for rules in SECTIONS.values():
        for rule in rules:
            if rule.method == "GET" and rule.path not in _NOT_PAGES and not rule.path.endswith(_SOUND):
                yield rule.path.format_map(_things(rule.path))


def _things(path: str) -> Mapping[str, str]:
    is_person = path.endswith("/remove-second-factor") or "/users/" in path
    return {
        "recording_id": str(thing("recording", 301)),
        "job_id": str(thing("job", 301)),
        "node_id": str(thing("node", 301)),
        "profile_id": "00000000-0000-7000-8000-000000000002",
        "user_id": str(thing("person", 301 if is_person else 1)),
        "group_id": str(thing("group", 2)),
        "role_id": "00000000-0000-7000-8000-000000000002",
        "code_id": str(thing("code", 1)),
        "entry_id": "50000",
        "code": new_token("link", new_id()),
        "token_id": str(thing("token", 1)),
        "grant_id": str(new_id()),
        "webhook_id": str(new_id()),
    }


async def _ask(browser: httpx.AsyncClient, one: Timed, cookies: Mapping[str, str], *, counts: bool) -> None:
    cpu, start = time.process_time(), time.perf_counter()
    answer = await browser.get(one.path, headers={"Cookie": cookies[one.who]})
    wall_ms, cpu_ms = (time.perf_counter() - start) * 1000, (time.process_time() - cpu) * 1000
    one.status, one.body_bytes = answer.status_code, len(answer.content)
    if counts:
        one.wall_ms.append(wall_ms)
        one.cpu_ms.append(cpu_ms)


@asynccontextmanager
async def _browser(folder: Path, url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Asks the application itself, so that no socket is measured."""
    settings = ControllerSettings(home=folder / "home", port=0, disk_reserve_bytes=0)
    app = create_app(settings, url)
    async with app.router.lifespan_context(app):
        browser = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://127.0.0.1",
            headers={"Sec-Fetch-Site": "same-origin", "Accept-Encoding": "gzip"},
            trust_env=False,
        )
        async with browser:
            yield browser


if __name__ == "__main__":
    main()
