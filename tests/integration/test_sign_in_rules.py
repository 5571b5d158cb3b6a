"""Who has to have a second factor can do nothing without it but set one up, and nobody locks himself out."""

from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from protocol.ids import new_id
from tests.integration.actors import somebody_who_holds
from tests.integration.console import parsed
from tests.integration.room import SOMEBODY
from tests.integration.web_room import Running
from web.domain.access import Permission, Scope, everywhere
from web.domain.errors import ChangedMeanwhileError, ConflictError, ForbiddenError, SecondFactorNeededError
from web.domain.people import SignedIn, Visit
from web.domain.sign_in_rules import SecondFactorRule
from web.domain.tokens import TokenRequest
from web.services.entry import accounts, login_sessions, second_factor, sign_in_rules, tokens
from web.services.keys import open_keys
from web.store import accounts as stored_accounts
from web.store.database import Database

pytestmark = pytest.mark.anyio

OPTIONAL, ADMINISTRATORS, EVERYBODY = SecondFactorRule


async def _begin(db: Database, user_id: Any, **how: bool) -> SignedIn:
    async with db.transaction() as session:
        held = await stored_accounts.hold(session, user_id)
        assert held is not None
        return await login_sessions.begin(session, held.user, Visit(), how="test", **how)


def test_administrators_are_those_who_may_change_accounts_or_settings() -> None:
    somewhere = Scope(nodes=frozenset({new_id()}))
    for access, is_one in (
        ({}, False),
        (everywhere({Permission.RECORDING_READ, Permission.USER_READ}), False),
        (everywhere({Permission.USER_EDIT}), True),
        ({Permission.SETTINGS_EDIT: somewhere}, True),
        (everywhere(), True),
    ):
        assert ADMINISTRATORS.asks(access) is is_one
        assert (OPTIONAL.asks(access), EVERYBODY.asks(access)) == (False, True)


async def test_a_rule_counts_for_sessions_that_go_on_and_for_no_token(db: Database, owner: Any) -> None:
    ana = await somebody_who_holds(owner, "ana", everywhere({Permission.USER_EDIT}))
    ben = await somebody_who_holds(owner, "ben", everywhere({Permission.RECORDING_READ}))
    of_ana, of_ben = await _begin(db, ana.id), await _begin(db, ben.id)
    by_link, by_issuer = await _begin(db, ana.id, is_by_link=True), await _begin(db, ana.id, is_by_issuer=True)
    script = await tokens.make(db, TokenRequest(name="script", permissions=[Permission.USER_EDIT]), by=ana)

    await sign_in_rules.change(db, ADMINISTRATORS, was=OPTIONAL, by=SOMEBODY)
    assert await sign_in_rules.lacking(db, by=SOMEBODY) == {OPTIONAL: 0, ADMINISTRATORS: 1, EVERYBODY: 2}
    with pytest.raises(SecondFactorNeededError):
        await accounts.authenticate_session(db, of_ana.token)
    assert (await accounts.authenticate_for_second_factor(db, of_ana.token))[0].access == {}
    for begun in (of_ben, by_link, by_issuer):
        assert (await accounts.authenticate_session(db, begun.token))[0].access
    assert (await tokens.authenticate(db, script.secret)).may(Permission.USER_EDIT)

    await sign_in_rules.change(db, EVERYBODY, was=ADMINISTRATORS, by=SOMEBODY)
    with pytest.raises(SecondFactorNeededError):
        await accounts.authenticate_session(db, of_ben.token)
    noted = await owner.fetch("SELECT before, after FROM audit_entry WHERE action = 'sign_in_rule.edit' ORDER BY id")
    assert [(row["before"], row["after"]) for row in noted][-1] == (
        '{"second_factor": "administrators"}',
        '{"second_factor": "everybody"}',
    )


async def test_nobody_makes_a_rule_that_he_does_not_keep_or_has_not_seen(
    db: Database, owner: Any, tmp_path: Path
) -> None:
    chief = await somebody_who_holds(owner, "chief", everywhere())
    clerk = await somebody_who_holds(owner, "clerk", everywhere({Permission.SETTINGS_READ}))
    with pytest.raises(ForbiddenError):
        await sign_in_rules.change(db, EVERYBODY, was=OPTIONAL, by=clerk)
    for rule in (ADMINISTRATORS, EVERYBODY):
        with pytest.raises(ConflictError, match="yourself"):
            await sign_in_rules.change(db, rule, was=OPTIONAL, by=chief)
    keys = await open_keys(db, tmp_path / "keys")
    begun = await _begin(db, chief.id)
    current = await accounts.session_of(db, begun.token)
    app = pyotp.TOTP((await second_factor.begin(db, keys, current)).secret)
    await accounts.add_second_factor(db, keys, begun.token, app.now())
    await sign_in_rules.change(db, EVERYBODY, was=OPTIONAL, by=chief)
    with pytest.raises(ChangedMeanwhileError, match="chief"):
        await sign_in_rules.change(db, ADMINISTRATORS, was=OPTIONAL, by=chief)
    assert (await sign_in_rules.rule(db, by=clerk)).second_factor is EVERYBODY


async def test_a_token_makes_no_rule_that_its_owner_does_not_keep(db: Database, owner: Any) -> None:
    chief = await somebody_who_holds(owner, "chief", everywhere())
    wanted = TokenRequest(name="script", permissions=[Permission.SETTINGS_EDIT])
    script = await tokens.authenticate(db, (await tokens.make(db, wanted, by=chief)).secret)
    for rule in (ADMINISTRATORS, EVERYBODY):
        with pytest.raises(ConflictError, match="chief, whose token this is"):
            await sign_in_rules.change(db, rule, was=OPTIONAL, by=script)
    of_nobody = await tokens.authenticate(db, await tokens.create_token(db, "machine", by=SOMEBODY))
    await sign_in_rules.change(db, EVERYBODY, was=OPTIONAL, by=of_nobody)
    await sign_in_rules.change(db, OPTIONAL, was=EVERYBODY, by=script)


async def test_who_has_to_have_one_is_led_to_it_and_then_goes_on(
    controller: Running, visitor: httpx.AsyncClient, db: Database, owner: Any
) -> None:
    page = parsed(await visitor.get("/settings/sign-in"))
    assert page.one("input", type="radio", checked="").attributes["value"] == "optional"
    answer = await visitor.post("/settings/sign-in", data={"was": "optional", "second_factor": "nobody"})
    assert answer.status_code == 422
    answer = await visitor.post("/settings/sign-in", data={"was": "optional", "second_factor": "everybody"})
    assert answer.status_code == 303
    ana = await somebody_who_holds(owner, "ana", everywhere({Permission.RECORDING_READ}))
    begun = await _begin(db, ana.id)
    name = next(iter(visitor.cookies))
    async with httpx.AsyncClient(
        base_url=controller.url, headers={"Sec-Fetch-Site": "same-origin"}, cookies={name: begun.token}, trust_env=False
    ) as browser:
        for path in ("/", "/recordings", "/account", "/account/tokens", "/settings"):
            assert (await browser.get(path)).headers["location"] == "/account/second-factor"
        for path in ("/account/password", "/account/second-factor/remove", "/account/second-factor/codes"):
            assert (await browser.post(path, data={})).headers["location"] == "/account/second-factor"
        fragment = await browser.get("/dashboard/nodes", headers={"HX-Request": "true"})
        assert fragment.headers["HX-Redirect"] == "/account/second-factor"
        assert (await browser.get("/events")).status_code == 401
        await owner.execute("UPDATE user_account SET password_hash = NULL WHERE id = $1", ana.id)
        assert (await browser.post("/account/second-factor/begin", data={"own_password": ""})).status_code == 303
        page = parsed(await browser.get("/account/second-factor"))
        assert "is asked of you" in page.one("main").text
        code = pyotp.TOTP(page.one("code").text).now()
        assert (await browser.post("/account/second-factor", data={"code": code})).status_code == 200
        assert (await browser.get("/recordings")).status_code == 200


async def test_programs_read_the_rule_and_change_what_they_have_seen(user: httpx.AsyncClient) -> None:
    for wanted, was, status in (("everybody", "optional", 200), ("optional", "administrators", 409)):
        answer = await user.put("/api/v1/sign-in-rule", json={"second_factor": wanted, "was": was})
        assert answer.status_code == status
    told = (await user.get("/api/v1/sign-in-rule")).json()
    assert (told["second_factor"], told["changed_by"]) == ("everybody", "test")
