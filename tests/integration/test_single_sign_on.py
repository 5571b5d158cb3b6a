"""People come in by an OpenID provider, a real one on loopback, and hold what their groups there mean here."""

import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from starlette.requests import Request

from tests.integration.console import parsed, person
from tests.integration.room import SOMEBODY
from tests.integration.web_room import Running, running, settings_in, user_client
from web.app import create_app
from web.pages import single_sign_on
from web.services.access import people
from web.services.entry import accounts
from web.services.entry.sign_on_rates import SignOnLimits, SignOnRates
from web.services.keys import open_keys
from web.settings import ControllerSettings
from web.store.database import Database

pytestmark = pytest.mark.anyio

TESTS = Path(__file__).parents[1]
MAPPING = {"radio": {"role": "operator"}, "chiefs": {"role": "administrator"}, "night": {"group": "Night shift"}}
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Provider:
    """An issuer, and what it tells of people."""

    address: str
    people: Path

    def tells(self, **people: list[str]) -> None:
        """The groups of each person; the subject is not the name."""
        told = {f"of {name}": {"preferred_username": name, "groups": groups} for name, groups in people.items()}
        self.people.write_text(json.dumps(told))


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    people = tmp_path_factory.mktemp("provider") / "people.json"
    people.write_text("{}")
    command = ["node", str(TESTS / "openid_provider.mjs"), str(people)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield Provider(process.stdout.readline().strip(), people)
        process.terminate()


@pytest.fixture
async def controller(provider: Provider, tmp_path: Path, database_url: str) -> AsyncIterator[Running]:
    """One that takes people of the provider."""
    secret = tmp_path / "secret"
    secret.write_text("a secret of the test alone\n")
    settings = settings_in(
        tmp_path,
        oidc_issuer=provider.address,
        oidc_client_secret_file=secret,
        oidc_mapping=MAPPING,
        oidc_allow_http=True,
        oidc_label="Sign in with Radio ID",
    )
    async with running(settings, database_url) as controller:
        yield controller


@pytest.fixture
async def browser(controller: Running) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, trust_env=False) as browser:
        yield browser


async def _back_from(browser: httpx.AsyncClient, name: str, wanted: str = "/account") -> str:
    """Goes to the provider, signs in and consents there; answers the address that leads back."""
    page = parsed(await browser.get(f"/sign-in?next={wanted}"))
    button = next(link for link in page.all("a") if link.text == "Sign in with Radio ID")
    address = urljoin(str(browser.base_url), button.attributes["href"])
    for _ in range(20):
        answer = await browser.get(address)
        if answer.status_code == 200:
            form = parsed(answer).one("form")
            fields = {
                one.attributes["name"]: one.attributes.get("value", "") for one in form.all("input", name="prompt")
            }
            if form.has("input", name="login"):
                fields |= {"login": f"of {name}", "password": "any"}
            answer = await browser.post(urljoin(address, form.attributes["action"]), data=fields)
        address = urljoin(address, answer.headers["location"])
        if urlsplit(address).path == "/sign-in/single/back":
            return address
    raise AssertionError(f"the way back was not found, but {address}")


async def _signed_in(controller: Running, name: str) -> httpx.Response:
    """A new browser, all the way; the answer to its way back."""
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, trust_env=False) as browser:
        return await browser.get(await _back_from(browser, name))


async def _roles(owner: Any, name: str) -> list[str]:
    rows = await owner.fetch(
        "SELECT r.name FROM access_grant g JOIN role r ON r.id = g.role_id JOIN user_account u ON u.id = g.user_id "
        "WHERE u.name = $1 ORDER BY r.name",
        name,
    )
    return [row["name"] for row in rows]


async def test_who_comes_by_the_provider_is_signed_in_with_the_mapped_role(
    provider: Provider, browser: httpx.AsyncClient, owner: Any
) -> None:
    provider.tells(ana=["radio", "unheard of"])
    answer = await browser.get(await _back_from(browser, "ana"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "Signed in as ana" in parsed(await browser.get("/account")).text
    assert await _roles(owner, "ana") == ["operator"]
    row = await owner.fetchrow("SELECT issuer, subject, password_hash FROM user_account")
    assert tuple(row) == (provider.address, "of ana", None)


async def test_groups_are_followed_at_every_sign_in_both_ways(
    provider: Provider, controller: Running, owner: Any
) -> None:
    await owner.execute("INSERT INTO user_group (id, name) VALUES (gen_random_uuid(), 'Night shift')")
    members = "SELECT count(*) FROM user_group_member"
    provider.tells(ana=["night"])
    await _signed_in(controller, "ana")
    assert (await _roles(owner, "ana"), await owner.fetchval(members)) == ([], 1)
    provider.tells(ana=["radio"])
    await _signed_in(controller, "ana")
    assert (await _roles(owner, "ana"), await owner.fetchval(members)) == (["operator"], 0)
    await owner.execute(
        "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, created_by) "
        "SELECT gen_random_uuid(), u.id, r.id, 'allow', 'everything', 'by hand' FROM user_account u, role r "
        "WHERE r.name = 'auditor'"
    )
    provider.tells(ana=[])
    await _signed_in(controller, "ana")
    assert await _roles(owner, "ana") == ["auditor"]
    assert await owner.fetchval("SELECT count(*) FROM user_account") == 1


async def test_the_last_administrator_keeps_the_role_and_comes_in(
    provider: Provider, controller: Running, owner: Any
) -> None:
    provider.tells(ana=["chiefs"])
    await _signed_in(controller, "ana")
    provider.tells(ana=["radio"])
    answer = await _signed_in(controller, "ana")
    assert answer.status_code == 303
    assert await _roles(owner, "ana") == ["administrator", "operator"]


async def test_an_account_of_the_same_name_is_somebody_else(
    provider: Provider, controller: Running, db: Database, owner: Any
) -> None:
    await accounts.spend_code(db, await accounts.sign_in_link_code(db))
    provider.tells(admin=[])
    await _signed_in(controller, "admin")
    rows = await owner.fetch("SELECT name, subject FROM user_account ORDER BY created_at")
    assert [tuple(row) for row in rows] == [("admin", None), ("admin (2)", "of admin")]
    assert await _roles(owner, "admin (2)") == []


async def test_who_is_disabled_here_stays_out(provider: Provider, controller: Running, owner: Any) -> None:
    provider.tells(ana=["radio"])
    await _signed_in(controller, "ana")
    await owner.execute("UPDATE user_account SET disabled_at = now()")
    provider.tells(ana=[])
    answer = await _signed_in(controller, "ana")
    assert answer.status_code == 422
    assert await _roles(owner, "ana") == ["operator"]
    assert "disabled" in parsed(answer).one(class_="fault-summary").text
    assert await owner.fetchval("SELECT count(*) FROM audit_entry WHERE reason = 'disabled'") == 1


@pytest.mark.parametrize("spoilt", ["state", "code", "iss", "cookie"])
async def test_an_answer_that_is_not_for_this_browser_signs_nobody_in(
    provider: Provider, browser: httpx.AsyncClient, owner: Any, spoilt: str
) -> None:
    provider.tells(ana=["radio"])
    address = await _back_from(browser, "ana")
    if spoilt == "cookie":
        browser.cookies.clear()
    else:
        right = parse_qs(urlsplit(address).query)[spoilt][0]
        address = str(httpx.URL(address).copy_set_param(spoilt, f"x{right}"))
    answer = await browser.get(address)
    assert answer.status_code == 422
    assert parsed(answer).has(class_="fault-summary")
    assert await owner.fetchval("SELECT count(*) FROM login_session") == 0


async def test_the_way_back_works_once(provider: Provider, browser: httpx.AsyncClient, owner: Any) -> None:
    provider.tells(ana=["radio"])
    address = await _back_from(browser, "ana")
    cookies = {cookie.name: cookie.value or "" for cookie in browser.cookies.jar if "reelkeeper" in cookie.name}
    assert cookies
    assert (await browser.get(address)).status_code == 303
    async with httpx.AsyncClient(base_url=browser.base_url, cookies=cookies, trust_env=False) as thief:
        assert (await thief.get(address)).status_code == 422
    assert await owner.fetchval("SELECT count(*) FROM login_session") == 1


async def test_a_provider_that_is_away_is_said_so_and_passwords_go_on(tmp_path: Path, database_url: str) -> None:
    settings = settings_in(tmp_path, oidc_issuer="http://127.0.0.1:1", oidc_allow_http=True)
    async with (
        running(settings, database_url) as controller,
        httpx.AsyncClient(base_url=controller.url, trust_env=False) as browser,
    ):
        answer = await browser.get("/sign-in/single")
        assert answer.status_code == 503
        page = parsed(answer)
        assert "does not answer" in page.one(class_="fault-summary").text
        assert page.has("input", name="password")


async def test_without_a_provider_there_is_no_button_and_no_way(tmp_path: Path, database_url: str) -> None:
    async with (
        running(settings_in(tmp_path), database_url) as controller,
        httpx.AsyncClient(base_url=controller.url, trust_env=False) as browser,
    ):
        assert (await browser.get("/sign-in/single")).status_code == 404
        assert not [
            link for link in parsed(await browser.get("/sign-in")).all("a") if "single" in link.attributes["href"]
        ]


async def test_passwords_can_be_switched_off_and_links_for_them_too(
    provider: Provider, tmp_path: Path, database_url: str, db: Database, owner: Any
) -> None:
    settings = settings_in(tmp_path, oidc_issuer=provider.address, oidc_allow_http=True, local_sign_in=False)
    async with (
        running(settings, database_url) as controller,
        httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, trust_env=False) as browser,
    ):
        assert not parsed(await browser.get("/sign-in")).has("input", name="password")
        answer = await browser.post("/sign-in", data={"name": "admin", "password": "a long enough password"})
        assert answer.status_code == 409
        ana = await people.invite(db, "ana", by=SOMEBODY)
        link = f"/invitation/{ana.code}"
        for answer in (await browser.get(link), await browser.post(link, data={"password": "a long enough password"})):
            assert answer.status_code == 409
            assert "reelkeeper sign-in" in parsed(answer).one("main").text
        assert not await owner.fetchval("SELECT count(password_hash) FROM user_account")
        async with user_client(controller.url, db) as program:
            for path in ("", f"/{ana.user_id}/reset-link"):
                assert (await program.post(f"/api/v1/users{path}", json={"name": "bea"})).status_code == 409
        async with person(controller.url, db) as chief:
            assert not parsed(await chief.get("/settings/users")).has("input", name="name")
            assert (await chief.post("/settings/users", data={"name": "bea"})).status_code == 422
            assert (await chief.post(f"/settings/users/{ana.user_id}/reset-link")).status_code == 409
        assert await owner.fetchval("SELECT count(*) FROM user_account WHERE name = 'bea'") == 0


async def test_single_sign_on_is_begun_and_finished_only_so_often_from_one_address(
    db: Database, tmp_path: Path
) -> None:
    rates = SignOnRates(SignOnLimits(per_address=1), clock=lambda: 0.0)
    rates.admit(None)
    app = create_app(ControllerSettings(), db.url)
    app.state.controller = SimpleNamespace(
        sign_on_rates=rates,
        is_local_sign_in=True,
        open_id=SimpleNamespace(issuer=SimpleNamespace(label="Radio ID")),
        keys=await open_keys(db, tmp_path / "keys"),
    )
    for step in (single_sign_on.begin, single_sign_on.finish):
        scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": b"", "headers": []}
        answer = await step(Request({**scope, "server": ("127.0.0.1", 80), "app": app}))
        assert answer.status_code == 429
        assert b"wait 60 seconds" in bytes(answer.body)
