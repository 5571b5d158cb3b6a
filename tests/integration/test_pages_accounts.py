"""Who signs in to the console, and how it looks to them."""

import httpx
import pytest

from tests.integration.console import FRAGMENT, parsed
from tests.integration.web_room import Running
from web.services import accounts
from web.store.database import Database

pytestmark = pytest.mark.anyio

PASSWORD = "a few words that nobody guesses"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


async def test_the_link_shows_one_button_and_looking_at_it_spends_nothing(controller: Running, db: Database) -> None:
    path = f"/welcome/{await accounts.sign_in_link_code(db)}"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as browser:
        for _ in range(3):
            page = parsed(await browser.get(path))
            assert [button.text for button in page.all("button")] == ["Open the console"]
        answer = await browser.post(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await browser.get("/account")).status_code == 200


async def test_a_link_that_was_used_says_so_and_signs_nobody_in(controller: Running, db: Database) -> None:
    path = f"/welcome/{await accounts.sign_in_link_code(db)}"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as first:
        await first.post(path)
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as second:
        answer = await second.post(path)
        assert answer.status_code == 410
        assert "reelkeeper sign-in" in parsed(answer).one("p", role="alert").text
        assert not second.cookies


async def test_without_a_session_every_page_leads_to_sign_in_and_back(controller: Running) -> None:
    async with httpx.AsyncClient(base_url=controller.url) as stranger:
        answer = await stranger.get("/jobs?state=failed")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in?next=/jobs%3Fstate%3Dfailed"
        answer = await stranger.get("/jobs", headers=FRAGMENT | {"Referer": f"{controller.url}/jobs"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/sign-in?next=/jobs")


async def test_a_password_lets_in_from_anywhere_and_signs_others_out(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    other = httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE)
    await other.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
    answer = await visitor.post("/account/password", data={"password": PASSWORD})
    assert answer.headers["location"] == "/account?changed=password"
    assert (await visitor.get("/account")).status_code == 200
    assert (await other.get("/account")).status_code == 303

    form = parsed(await other.get("/sign-in?next=/account")).one("form")
    fields = {one.attributes["name"]: one.attributes["value"] for one in form.all("input")}
    answer = await other.post("/sign-in", data=fields | {"name": "admin", "password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert (await other.get("/account")).status_code == 200
    await other.aclose()


async def test_a_wrong_password_gives_the_form_back_without_telling_what_was_wrong(
    controller: Running, visitor: httpx.AsyncClient
) -> None:
    await visitor.post("/account/password", data={"password": PASSWORD})
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as stranger:
        said = set()
        for name in ("admin", "nobody"):
            answer = await stranger.post("/sign-in", data={"name": name, "password": "wrong", "next": "//evil.example"})
            assert answer.status_code == 422
            page = parsed(answer)
            assert page.one("input", name="name").attributes["value"] == name
            assert page.one("input", name="password").attributes["value"] == ""
            assert page.one("input", name="next").attributes["value"] == "/"
            said.add(page.one(class_="fault-summary").text)
        assert len(said) == 1


async def test_a_short_password_is_refused_beside_its_field(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/account/password", data={"password": "short"})
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one("input", name="password").attributes["aria-invalid"] == "true"
    assert "12 characters" in page.one(id="password-says").text


async def test_signing_out_ends_the_session_itself(controller: Running, visitor: httpx.AsyncClient) -> None:
    cookies = dict(visitor.cookies)
    answer = await visitor.post("/sign-out")
    assert answer.headers["location"] == "/sign-in"
    async with httpx.AsyncClient(base_url=controller.url, cookies=cookies) as thief:
        assert (await thief.get("/account")).status_code == 303


async def test_signing_in_again_ends_the_session_that_the_browser_had(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    cookies = dict(visitor.cookies)
    answer = await visitor.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
    assert answer.status_code == 303
    assert (await visitor.get("/account")).status_code == 200
    async with httpx.AsyncClient(base_url=controller.url, cookies=cookies) as thief:
        assert (await thief.get("/account")).status_code == 303


async def test_another_site_cannot_act_in_the_name_of_who_is_signed_in(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert (await visitor.get("/account")).status_code == 200


async def test_colours_and_clock_are_kept_by_the_browser_and_lead_back(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/preferences", data={"theme": "dark", "next": "/account"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert parsed(await visitor.get("/account")).one("html").attributes["data-theme"] == "dark"
    await visitor.post("/preferences", data={"theme": "pink", "next": "https://evil.example"})
    assert parsed(await visitor.get("/account")).one("html").attributes["data-theme"] == "dark"


async def test_pages_are_strict_about_scripts_styles_and_frames(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/account")
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["vary"].startswith("HX-Request")
    page = parsed(answer)
    assert not [one for one in page.all("") if "style" in one.attributes]
    assert all("src" in one.attributes for one in page.all("script"))


async def test_an_unknown_address_is_a_page_for_people_and_a_problem_for_programs(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/nowhere")
    assert answer.status_code == 404
    assert parsed(answer).one("h1").text == "Not Found"
    answer = await visitor.get("/api/v1/nowhere")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_assets_are_kept_for_ever_under_their_version(visitor: httpx.AsyncClient) -> None:
    page = parsed(await visitor.get("/account"))
    address = page.all("link", rel="stylesheet")[0].attributes["href"]
    answer = await visitor.get(address)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" not in (await visitor.get(address.partition("?")[0])).headers["cache-control"]
