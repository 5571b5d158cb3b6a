"""What people with bad intentions send, and what becomes of it. `docs/security.md` names these tests."""

import asyncio
import gzip
import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from protocol.ids import new_id, new_token
from tests.integration.conftest import Server
from tests.integration.console import parsed, person
from tests.integration.raw_http import opened, request, said, status_of
from tests.integration.route_calls import ask, request_of, texts_of
from tests.integration.route_house import House, keeping_house
from tests.integration.web_room import Running, WebAgent, make_content, running, settings_in
from web.pages.page import own_path
from web.route_rules import RULES, Needs
from web.services.entry import accounts
from web.store.database import Database

pytestmark = pytest.mark.anyio

FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
TEXTS = (
    "\x00",
    "a\x00b",
    "\ufffe\uffff",
    "\u202egnp.exe",
    "👩‍👩‍👧‍👦" * 20,
    "ﷺ" * 50,
    "' OR 1=1; DROP TABLE recording; --",
    "{{ 7 * 7 }}{% raw %}",
    "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>",
    "../../../../etc/passwd",
    "=1+1",
    "%s%n\r\nSet-Cookie: a=b",
    "a" * 70_000,
)
UNREADABLE = ("%00", "%ff%fe", "%c0%ae", "%ed%a0%80", "%", "%zz", "+" * 50, "9" * 400, "-1", "1e999", "NaN")


@pytest.fixture
async def house(
    tmp_path: Path, postgres: Server, database_url: str, database_name: str, owner: Any, anyio_backend: str
) -> AsyncIterator[House]:
    superuser_url = postgres.url("postgres", database_name)
    async with keeping_house(tmp_path, database_url, owner, superuser_url) as made:
        yield made


# ---- sessions, origins and addresses ----


async def test_a_session_that_somebody_planted_is_not_the_one_that_begins(controller: Running, db: Database) -> None:
    planted = new_token("session", new_id())
    name = f"reelkeeper-{controller.url.rpartition(':')[2]}"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, trust_env=False) as browser:
        browser.cookies.set(name, planted, domain="127.0.0.1", path="/")
        answer = await browser.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
        assert answer.status_code == 303
        assert planted not in answer.headers["set-cookie"]
    async with httpx.AsyncClient(base_url=controller.url, cookies={name: planted}, trust_env=False) as thief:
        assert (await thief.get("/account")).status_code == 303


@pytest.mark.parametrize(
    "wanted",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "///evil.example", "evil"),
        *("/\tevil", "/\n/evil.example", "javascript:alert(1)", "/\x00", "http:evil.example", "", " //evil.example"),
    ],
)
def test_nobody_is_led_elsewhere_after_signing_in(wanted: str) -> None:
    assert own_path(wanted) == "/"


async def test_another_name_or_a_forged_address_changes_nothing(controller: Running, db: Database) -> None:
    async with person(controller.url, db) as visitor:
        assert (await visitor.get("/", headers={"Host": "evil.example"})).status_code == 421
        answer = await visitor.get("/jobs", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"})
        assert answer.status_code == 200
        assert "evil.example" not in answer.text
        assert "strict-transport-security" not in answer.headers
        answer = await visitor.get("/sign-in?next=/x", headers={"X-Original-URL": "/account", "X-HTTP-Method": "PUT"})
        assert answer.status_code == 200


async def test_nobody_leaves_the_folders_that_are_served(controller: Running) -> None:
    """As bytes: good clients tidy such paths before they send them."""
    for path in (
        *("/static/../web/settings.py", "/static/%2e%2e/web/settings.py", "/static/..%2fweb/settings.py"),
        *("/static/%252e%252e/web/settings.py", "/static/..\\web\\settings.py", "/static//etc/passwd"),
        *("/static/css/%00reelkeeper.css", "/static/....//web/settings.py", "/static/css", "/static/"),
    ):
        answer = await said(controller.url, request(f"GET {path}", url=controller.url))
        assert status_of(answer) in (400, 404), (path, answer[:200])
        assert b"root:" not in answer
        assert b"ControllerSettings" not in answer


async def test_a_node_cannot_name_files_of_its_own(agent: WebAgent) -> None:
    job = await agent.room.claimed()
    cache_file_id = await agent.open_file(job)
    headers = agent.append_headers(job, 0, 3)
    for part in ("..%2f..%2faudio", "%2e%2e", "audio%00", "audio.part", "head", ".writable", "AUDIO"):
        answer = await agent.http.put(f"/cache-files/{cache_file_id}/{part}", content=b"abc", headers=headers)
        assert answer.status_code in (404, 422), part
    answer = await agent.http.put("/cache-files/..%2f..%2f..%2fetc/audio", content=b"abc", headers=headers)
    assert answer.status_code == 404


# ---- bodies ----


async def test_bodies_that_unpack_to_much_are_not_unpacked(controller: Running, user: httpx.AsyncClient) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    for encoding in ("gzip", "deflate", "br"):
        answer = await user.post(
            "/api/v1/recordings",
            content=bomb,
            headers={"Content-Type": "application/json", "Content-Encoding": encoding},
        )
        assert answer.status_code in (415, 422)


async def test_nesting_without_end_is_refused(user: httpx.AsyncClient, agent: WebAgent) -> None:
    for body in ("[" * 500_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, '"' + "\\u0000" * 100_000 + '"'):
        answer = await user.post("/api/v1/recordings", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert (await agent.post("/heartbeat", body)).status_code == 422


async def test_forms_of_many_parts_and_many_fields_are_refused(controller: Running, db: Database) -> None:
    async with person(controller.url, db) as visitor:
        parts = [(f"f{number}", ("name.wav", b"RIFF")) for number in range(200)]
        assert (await visitor.post("/preferences", files=parts)).status_code == 422
        fields = urlencode([("theme", "dark")] * 5_000)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await visitor.post("/preferences", content=fields, headers=form)).status_code == 422
        assert (await visitor.post("/preferences", content=b"a=%ff%fe", headers=form)).status_code == 422
        assert (await visitor.post("/preferences", content=b"\xff\xfe=1", headers=form)).status_code == 422


@pytest.mark.parametrize(
    ("channels", "rate", "bits", "data_bytes"),
    [
        (65_535, 48_000, 16, 400),
        (2, 2**32 - 1, 16, 400),
        (0, 0, 0, 400),
        (2, 48_000, 16, 2**32 - 1),
        (2, 48_000, 0, 400),
    ],
)
async def test_a_file_whose_head_lies_is_not_taken(
    agent: WebAgent, channels: int, rate: int, bits: int, data_bytes: int
) -> None:
    """The controller reads heads by itself and believes no length that it did not count."""
    job = await agent.room.claimed()
    cache_file_id = await agent.open_file(job)
    content = make_content(100)
    form = struct.pack("<HHIIHH", 1, channels, rate, 0, 0, bits)
    front = b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + struct.pack("<I", len(form)) + form
    front += b"JUNK" + struct.pack("<I", 4096 - len(front) - 16) + bytes(4096 - len(front) - 16)
    front += b"data" + struct.pack("<I", data_bytes)
    lying = type(content)(100, front + content.audio[4096:], content.waveform, content.seek, content.ledger)
    await agent.send(job, cache_file_id, lying)
    answer = await agent.seal(job, cache_file_id, lying)
    assert answer.status_code == 422, answer.text


async def test_many_ranges_are_one_answer(agent: WebAgent, user: httpx.AsyncClient) -> None:
    job = await agent.room.claimed()
    content = make_content(5_000)
    await agent.deliver(job, content)
    path = f"/api/v1/recordings/{job.recording_id}/audio"
    for ranges in ("bytes=" + ",".join(f"{n}-{n}" for n in range(1_000)), "bytes=0-,0-,0-,0-", "bytes=5-4"):
        answer = await user.get(path, headers={"Range": ranges}, timeout=60)
        assert answer.status_code == 200
        assert answer.content == content.audio
    flood = await asyncio.gather(*(user.get(path, headers={"Range": f"bytes={n}-{n}"}, timeout=60) for n in range(50)))
    assert {answer.status_code for answer in flood} <= {206, 429, 503}


async def test_hundreds_of_slow_clients_leave_room_for_others(controller: Running) -> None:
    slow = [await opened(controller.url) for _ in range(300)]
    try:
        for number, (_, writer) in enumerate(slow):
            writer.write(b"POST /sign-in HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: b\r\n" * (number % 5))
        async with httpx.AsyncClient(base_url=controller.url, timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert {answer.status_code for answer in answers} == {200}
    finally:
        for _, writer in slow:
            writer.close()


# ---- texts ----


@pytest.mark.long
async def test_no_text_in_any_field_of_any_call_is_a_fault_of_ours(house: House) -> None:
    """Each body that the API takes, with each of its texts in turn."""
    by = next(one for one in house.world.principals if one.name == "token of everything")
    faults = []
    for rule in RULES:
        if not (rule.changes and rule.path.startswith("/api/v1/") and isinstance(rule.who, Needs)):
            continue
        path, headers, _ = request_of(rule, house.world, "own")
        for text in TEXTS:
            for body in texts_of(rule, house.world, "own", text):
                answer = await ask(house.app, rule.method, path, {**headers, **by.headers}, json.dumps(body).encode())
                if answer.status >= 500:
                    faults.append(f"{rule.method} {rule.path} {body!r:.200}: {answer.body!r:.200}")
    assert faults == []


@pytest.mark.long
async def test_no_text_in_any_address_or_form_is_a_fault_of_ours(house: House) -> None:
    by = next(one for one in house.world.principals if one.name == "administrator")
    program = next(one for one in house.world.principals if one.name == "token of everything")
    form = {"Content-Type": "application/x-www-form-urlencoded", **by.headers}
    faults = []
    for rule in RULES:
        if rule.path in ("/events", "/sign-out") or rule.path.startswith("/api/agent"):
            continue
        path, _, _ = request_of(rule, house.world, "own")
        asked = path.partition("?")[0]
        headers = program.headers if rule.path.startswith("/api/") else form
        if rule.method == "GET":
            tries = [(f"{asked}?{'&'.join(f'{key}={text}' for key in _KEYS)}", b"") for text in UNREADABLE]
        elif rule.path.startswith("/api/"):
            continue
        else:
            tries = [
                (asked, "&".join(f"{key}={text}" for key in _FIELDS).encode())
                for text in (*UNREADABLE, *map(quote, TEXTS[:-1]))
            ]
        for address, body in tries:
            answer = await ask(house.app, rule.method, address, headers, body)
            if answer.status >= 500:
                faults.append(f"{rule.method} {address} {body!r:.100}: {answer.status} {answer.body!r:.200}")
    assert faults == []


_KEYS = (
    *("q", "state", "before", "after", "first", "per", "t", "level", "start", "count", "from_seconds", "node"),
    *("block", "actor", "action", "from", "to", "text", "limit", "next", "tz"),
)
_FIELDS = (
    *("name", "folder", "node", "interface", "id", "tags", "capacity", "minimum_bytes", "preroll_seconds", "role_id"),
    *("scope", "user_id", "effect", "permissions", "description", "password", "code", "label", "location", "theme"),
)


async def test_names_of_any_script_are_shown_as_they_are_and_run_nowhere(
    agent: WebAgent, user: httpx.AsyncClient, visitor: httpx.AsyncClient
) -> None:
    name = "Ratssitzung 会議 🎙 <script>alert(1)</script> \"'; \u202etxt.exe"
    job = await agent.room.claimed(name=name)
    await agent.deliver(job, make_content(1_000))
    page = parsed(await visitor.get(f"/recordings/{job.recording_id}"))
    assert all("src" in script.attributes for script in page.all("script"))
    assert "<script>alert(1)</script>" in page.one("h1").text
    answer = await user.get(f"/api/v1/recordings/{job.recording_id}/download")
    disposition = answer.headers["content-disposition"]
    assert disposition.isascii()
    assert "filename*=UTF-8''" in disposition
    assert disposition.count('"') == 2


# ---- guessing ----


async def test_who_guesses_tokens_is_soon_asked_to_wait_and_others_are_not(
    tmp_path: Path, database_url: str, db: Database, owner: Any
) -> None:
    async with running(settings_in(tmp_path, api_failures_per_minute=2), database_url) as controller:
        async with httpx.AsyncClient(base_url=controller.url, trust_env=False) as guesser:
            for _ in range(2):
                guess = {"Authorization": f"Bearer {new_token('user', new_id())}"}
                assert (await guesser.get("/api/v1/recordings", headers=guess)).status_code == 401
            answer = await guesser.get("/api/v1/recordings", headers=guess)
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
        async with person(controller.url, db) as visitor:
            assert (await visitor.get("/recordings")).status_code == 200
