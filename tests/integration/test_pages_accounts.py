"""Who signs in to the console, and how it looks to them."""

import asyncio
from typing import Any

import httpx
import pyotp
import pytest

from tests.integration.console import FRAGMENT, parsed
from tests.integration.web_room import Running
from web.domain.access import system
from web.services.access import people
from web.services.entry import accounts
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


async def test_an_unknown_address_stands_in_the_console_for_who_is_signed_in_alone(
    controller: Running, visitor: httpx.AsyncClient
) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("POST", "/nodes", 405)):
        page = parsed(await visitor.request(method, path))
        assert page.one("p", class_="code").text == str(status)
        assert ("There is no such page." in page.one("main").text) == (status == 404)
        assert page.has("nav", class_="pages")
        assert page.has("a", id="record-button")
        assert "0 recording" in page.one("header").text
        part = parsed(await visitor.request(method, path, headers=FRAGMENT))
        assert (part.has("h1"), part.has("nav")) == (True, False)
    name = next(iter(visitor.cookies))
    for cookies in ({}, {name: "nonsense"}):
        async with httpx.AsyncClient(base_url=controller.url, cookies=cookies, trust_env=False) as nobody:
            answer = await nobody.get("/nowhere")
        assert answer.status_code == 404
        assert not parsed(answer).has("nav")


async def test_assets_are_kept_for_ever_under_their_version(visitor: httpx.AsyncClient) -> None:
    page = parsed(await visitor.get("/account"))
    address = page.all("link", rel="stylesheet")[0].attributes["href"]
    answer = await visitor.get(address)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" not in (await visitor.get(address.partition("?")[0])).headers["cache-control"]


async def _sign_in(browser: httpx.AsyncClient, name: str = "admin", **more: str) -> httpx.Response:
    return await browser.post("/sign-in", data={"name": name, "password": PASSWORD, **more})


async def test_an_invitation_is_a_form_that_sets_a_password_and_leads_in(controller: Running, db: Database) -> None:
    path = f"/invitation/{(await people.invite(db, 'ana', by=system('test'))).code}"
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as browser:
        page = parsed(await browser.get(path))
        assert page.one("h1").text == "Welcome, ana"
        assert page.one("input", name="name").attributes["autocomplete"] == "username"
        answer = await browser.post(path, data={"password": "password1234"})
        assert answer.status_code == 422
        assert "tried first" in parsed(answer).one(id="password-says").text
        answer = await browser.post(path, data={"password": PASSWORD})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Signed in as ana" in parsed(await browser.get("/account")).text
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as late:
        for answer in (await late.get(path), await late.post(path, data={"password": PASSWORD})):
            assert answer.status_code == 410
            assert "ask whoever sent it" in parsed(answer).one("p", role="alert").text


async def test_a_second_factor_is_set_up_and_then_asked_for(
    controller: Running, visitor: httpx.AsyncClient, owner: Any
) -> None:
    await visitor.post("/account/password", data={"password": PASSWORD})
    answer = await visitor.post("/account/second-factor/begin", data={"own_password": ""})
    assert answer.headers["location"] == "/account/second-factor"
    page = parsed(await visitor.get("/account/second-factor"))
    assert page.one("img", class_="qr").attributes["src"].startswith("data:image/svg+xml")
    app = pyotp.TOTP(page.one("code", class_="secret").text)
    answer = await visitor.post("/account/second-factor", data={"code": "12 34"})
    assert (answer.status_code, parsed(answer).one(id="code-says").text) == (422, "The app shows 6 digits.")
    codes = [
        code.text for code in parsed(await visitor.post("/account/second-factor", data={"code": app.now()})).all("code")
    ]
    assert len(codes) == 10
    assert (await visitor.get("/account")).status_code == 200

    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as browser:
        answer = await _sign_in(browser, next="/jobs?state=failed")
        assert answer.headers["location"] == "/sign-in/code?next=%2Fjobs%3Fstate%3Dfailed"
        assert (await browser.get("/account")).status_code == 303
        form = parsed(await browser.get(answer.headers["location"])).one("form")
        fields = {one.attributes["name"]: one.attributes["value"] for one in form.all("input")}
        assert (await browser.post("/sign-in/code", data=fields | {"code": "000000"})).status_code == 422
        answer = await browser.post("/sign-in/code", data=fields | {"code": codes[0]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?state=failed")
        assert "9 recovery codes left" in parsed(await browser.get("/account")).text
        answer = await browser.post("/account/second-factor/remove", data={"code": codes[1]})
        assert answer.headers["location"] == "/account/second-factor"
        assert parsed(await browser.get("/account/second-factor")).one("main").one("h2").text == "Set it up"


async def test_the_second_step_without_the_first_leads_back(controller: Running) -> None:
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as stranger:
        answers = (
            await stranger.get("/sign-in/code?next=/jobs"),
            await stranger.post("/sign-in/code", data={"code": "1"}),
        )
        assert [answer.headers["location"] for answer in answers] == ["/sign-in?next=%2Fjobs", "/sign-in?next=%2F"]


async def test_too_many_tries_are_told_to_wait(controller: Running, owner: Any) -> None:
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as stranger:
        assert [(await _sign_in(stranger, "nobody")).status_code for _ in range(5)] == [422] * 5
        longer = (
            "UPDATE sign_in_try SET free_at = free_at + interval '1 minute' WHERE free_at > last_at + interval '0.5 s'"
        )
        await owner.execute(longer)
        answer = await _sign_in(stranger, "nobody")
        assert answer.status_code == 429
        assert "Too many tries; wait" in parsed(answer).one(class_="fault-summary").text


async def test_sessions_are_listed_and_ended_with_what_they_opened(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    agents = ["Mozilla/5.0 (Windows NT 10.0) Firefox/140.0", "curl/8"]
    others = [httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE | {"User-Agent": agent}) for agent in agents]
    for other in others:
        await other.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
    page = parsed(await visitor.get("/account"))
    listed = page.one("ul", class_="sessions").all("li")
    assert {"Firefox on Windows", "curl/8"} < {one.one("strong").text for one in listed}
    assert sum("This browser" in one.text for one in listed) == 1
    firefox = next(one for one in listed if "Firefox" in one.text)
    answer = await visitor.post(firefox.one("form").attributes["action"])
    assert answer.headers["location"] == "/account?changed=session"
    assert [(await other.get("/account")).status_code for other in others] == [303, 200]
    await visitor.post("/account/sessions/end-others")
    assert (await others[1].get("/account")).status_code == 303
    assert (await visitor.get("/account")).status_code == 200
    for other in others:
        await other.aclose()


async def test_nobody_ends_sessions_of_others_by_their_id(
    controller: Running, db: Database, visitor: httpx.AsyncClient, owner: Any
) -> None:
    invitation = await people.invite(db, "ana", by=system("test"))
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as ana:
        await ana.post(f"/invitation/{invitation.code}", data={"password": PASSWORD})
        for session_id in await owner.fetch("SELECT id FROM login_session WHERE user_id <> $1", invitation.user_id):
            await ana.post(f"/account/sessions/{session_id['id']}/end")
    assert (await visitor.get("/account")).status_code == 200


async def test_a_session_that_was_planted_is_not_the_one_that_begins(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    planted = dict(visitor.cookies)
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE, cookies=planted) as victim:
        await victim.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
        assert (await victim.get("/account")).status_code == 200
    assert (await visitor.get("/account")).status_code == 303


async def test_cookies_of_signing_in_are_for_this_host_over_tls_and_no_script(
    controller: Running, db: Database
) -> None:
    port = httpx.URL(controller.url).port
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as browser:
        answer = await browser.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
        kept = [text for text in answer.headers.get_list("set-cookie") if "Max-Age=43200" in text]
        assert len(kept) == 1
        assert kept[0].startswith(f"reelkeeper-{port}=")
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(kept[0].split("; "))
        assert "Domain" not in kept[0]


async def test_disabling_somebody_ends_what_that_person_has_open(
    controller: Running, db: Database, visitor: httpx.AsyncClient
) -> None:
    invitation = await people.invite(db, "ana", by=system("test"))
    async with httpx.AsyncClient(base_url=controller.url, headers=FROM_HERE) as ana:
        await ana.post(f"/invitation/{invitation.code}", data={"password": PASSWORD})
        async with ana.stream("GET", "/events?topics=job") as stream:
            assert stream.status_code == 200
            await people.disable(db, invitation.user_id, by=system("test"))
            async with asyncio.timeout(20):
                async for _ in stream.aiter_bytes():
                    pass
        assert (await ana.get("/account")).status_code == 303
