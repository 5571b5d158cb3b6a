"""People, groups and roles as pages: what is shown, asked and refused."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.integration.console import Element, parsed
from tests.integration.room import SOMEBODY
from tests.integration.test_rights import role_named, somebody
from tests.integration.web_room import Running
from web.domain.access import Permission
from web.domain.grants import GrantDraft, Holder, RoleDraft
from web.domain.people import FROM_NOWHERE, User, Visit
from web.domain.roles import ScopeKind
from web.services.access import grants, groups, roles
from web.services.entry import login_sessions
from web.store.database import Database

pytestmark = pytest.mark.anyio

FROM_HERE = {"Sec-Fetch-Site": "same-origin"}
LISTENER = RoleDraft(name="Listener", permissions=frozenset({Permission.RECORDING_READ}))


def sent_again(form: Element, **changes: str) -> dict[str, Any]:
    """What a browser would send of a form, with some fields changed."""
    fields: dict[str, Any] = {}
    for one in form.all("input"):
        name, kind = one.attributes.get("name"), one.attributes.get("type")
        if (
            name
            and "disabled" not in one.attributes
            and (kind not in ("checkbox", "radio") or "checked" in one.attributes)
        ):
            fields.setdefault(name, []).append(one.attributes.get("value", "on"))
    return {**fields, **changes}


def form_to(page: Element, action: str) -> Element:
    return page.one("form", action=action)


async def own_id(owner: Any) -> UUID:
    found: UUID = await owner.fetchval("SELECT id FROM user_account WHERE name = 'admin'")
    return found


async def test_a_role_is_given_on_the_page_of_a_person_and_told_in_words(
    db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    ben = await somebody(owner, "ben")
    path = f"/settings/users/{ben}"
    viewer = str(await role_named(db, "viewer"))
    answer = await visitor.post(f"{path}/grants", data={"role_id": viewer, "scope": "folder", "folder": "Court/2026"})
    assert answer.headers["location"] == path
    page = parsed(await visitor.get(path))
    rows = {row.one("th").text: row.all("td") for row in page.all("tr") if len(row.all("td")) == 2}
    assert rows["Hear a recording, also while it grows"][0].text == "in the folder Court/2026"
    assert "Viewer in the folder Court/2026" in rows["Hear a recording, also while it grows"][1].text
    assert rows["Start a recording"][0].text == "no"
    assert "Viewer in the folder Court/2026" in parsed(await visitor.get("/settings/users")).one("tbody").text


async def test_a_refused_grant_keeps_what_was_typed(db: Database, owner: Any, visitor: httpx.AsyncClient) -> None:
    path = f"/settings/users/{await somebody(owner, 'ben')}"
    viewer = str(await role_named(db, "viewer"))
    answer = await visitor.post(f"{path}/grants", data={"role_id": viewer, "scope": "folder", "folder": "/../"})
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one("input", id="folder").attributes["value"] == "/../"
    assert page.has("p", id="folder-says")
    answer = await visitor.post(f"{path}/grants", data={"role_id": viewer, "scope": "folder", "folder": ""})
    assert parsed(answer).one("p", id="folder-says").text == "Say which one."


async def test_taking_a_role_asks_first(db: Database, owner: Any, visitor: httpx.AsyncClient) -> None:
    ben = await somebody(owner, "ben")
    viewer = str(await role_named(db, "viewer"))
    await visitor.post(f"/settings/users/{ben}/grants", data={"role_id": viewer, "scope": "everything"})
    page = parsed(await visitor.get(f"/settings/users/{ben}"))
    link = next(one for one in page.all("a", class_="small") if one.text.startswith("Take"))
    asked = parsed(await visitor.get(link.attributes["href"]))
    assert "from ben?" in asked.one("h1").text
    answer = await visitor.post(link.attributes["href"])
    assert answer.headers["location"] == f"/settings/users/{ben}"
    assert await grants.all_grants(db, by=SOMEBODY) != []
    assert all(one.holder.id != ben for one in await grants.all_grants(db, by=SOMEBODY))


async def test_the_last_administrator_is_told_why_nothing_was_taken(
    db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    admin = await own_id(owner)
    own = next(one for one in await grants.all_grants(db, by=SOMEBODY) if one.holder.id == admin)
    asked = parsed(await visitor.get(f"/settings/grants/{own.id}/take"))
    assert "your own rights" in asked.one("p", role="status").text
    answer = await visitor.post(f"/settings/grants/{own.id}/take")
    assert answer.status_code == 409
    assert "make somebody else an administrator first" in parsed(answer).one("p", role="alert").text
    answer = await visitor.post(f"/settings/users/{admin}/disable")
    assert answer.status_code == 409


async def test_a_denial_for_oneself_wants_a_tick(db: Database, owner: Any, visitor: httpx.AsyncClient) -> None:
    path = f"/settings/users/{await own_id(owner)}/grants"
    auditor = str(await role_named(db, "auditor"))
    data = {"role_id": auditor, "scope": "folder", "folder": "Secret", "effect": "deny"}
    answer = await visitor.post(path, data=data)
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one("input", id="sure").attributes["type"] == "checkbox"
    assert page.one("input", value="deny").attributes.get("checked") == ""


async def test_people_join_and_leave_a_group_on_its_page(db: Database, owner: Any, visitor: httpx.AsyncClient) -> None:
    ben = await somebody(owner, "ben")
    path = (await visitor.post("/settings/groups", data={"name": "Clerks"})).headers["location"]
    await visitor.post(f"{path}/members", data={"user_id": str(ben)})
    page = parsed(await visitor.get(path))
    link = next(one for one in page.all("a") if one.text == "Remove ben")
    assert "ben" in parsed(await visitor.get(link.attributes["href"])).one("h1").text
    await visitor.post(link.attributes["href"])
    assert (await groups.all_groups(db, by=SOMEBODY))[0].members == ()
    answer = await visitor.post("/settings/groups", data={"name": "clerks"})
    assert answer.status_code == 422
    assert (await visitor.post(f"{path}/delete")).headers["location"] == "/settings/groups"


async def test_a_copied_role_is_changed_only_after_the_change_was_shown(
    db: Database, visitor: httpx.AsyncClient
) -> None:
    viewer = await role_named(db, "viewer")
    page = parsed(await visitor.get(f"/settings/roles/new?like={viewer}"))
    answer = await visitor.post("/settings/roles", data=sent_again(form_to(page, "/settings/roles"), name="Clerk"))
    path = answer.headers["location"]
    fields = sent_again(form_to(parsed(await visitor.get(path)), path))
    fields["permissions"] = [*fields["permissions"], "recording:create"]
    fields["permissions"].remove("upload:read")
    shown = parsed(await visitor.post(path, data=fields))
    difference = shown.one("ul", class_="difference")
    assert [one.text for one in difference.all("ins")] == ["Start a recording"]
    assert [one.text for one in difference.all("del")] == ["See where recordings are sent"]
    stored = await roles.role(db, UUID(path.rpartition("/")[2]), by=SOMEBODY)
    assert Permission.RECORDING_CREATE not in stored.role.permissions
    answer = await visitor.post(path, data=sent_again(next(one for one in shown.all("form", action=path))))
    assert answer.status_code == 303
    stored = await roles.role(db, stored.role.id, by=SOMEBODY)
    assert Permission.RECORDING_CREATE in stored.role.permissions


async def test_two_who_change_a_role_see_both_values_side_by_side(db: Database, visitor: httpx.AsyncClient) -> None:
    made = await roles.make(db, LISTENER, by=SOMEBODY)
    path = f"/settings/roles/{made.role.id}"
    fields = sent_again(form_to(parsed(await visitor.get(path)), path), name="Mine", seen="yes")
    theirs = LISTENER.model_copy(update={"name": "Theirs"})
    await roles.change(db, made.role.id, theirs, version=made.version, by=SOMEBODY)
    answer = await visitor.post(path, data=fields)
    assert answer.status_code == 409
    section = parsed(answer).one("section", role="alert")
    assert [one.text for one in section.all("tr")[1].all("td")] == ["Theirs", "Mine"]
    assert (await roles.role(db, made.role.id, by=SOMEBODY)).role.name == "Theirs"
    assert (await visitor.post(path, data=sent_again(section.one("form")))).status_code == 303
    assert (await roles.role(db, made.role.id, by=SOMEBODY)).role.name == "Mine"


async def test_a_role_without_rights_or_name_is_refused_beside_its_fields(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/settings/roles", data={"name": "", "description": "kept"})
    assert answer.status_code == 422
    page = parsed(answer)
    assert page.one("input", id="description").attributes["value"] == "kept"
    assert [line.text for line in page.one(class_="fault-summary").all("li")] == [
        "Give the role a name of up to 100 characters.",
        "Choose at least one thing that the role lets people do.",
    ]


async def test_an_invitation_is_shown_once_as_a_link_to_copy(
    db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    page = parsed(await visitor.post("/settings/users", data={"name": "ben"}))
    link = page.one("code", class_="link").text
    assert page.one("button", data_copy=link).text == "Copy"
    assert "/invitation/" in link
    ben = await owner.fetchval("SELECT id FROM user_account WHERE name = 'ben'")
    assert "Invited" in parsed(await visitor.get(f"/settings/users/{ben}")).text
    assert link not in (await visitor.get(f"/settings/users/{ben}")).text
    answer = await visitor.post("/settings/users", data={"name": "ben"})
    assert answer.status_code == 422
    assert parsed(answer).one("input", id="name").attributes["value"] == "ben"


async def test_an_act_on_an_account_asks_first_and_is_done_then(
    db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    path = f"/settings/users/{await somebody(owner, 'ben')}"
    assert parsed(await visitor.get(f"{path}/disable")).one("h1").text == "Disable ben?"
    assert "Active" in parsed(await visitor.get(path)).text
    assert (await visitor.post(f"{path}/disable")).status_code == 303
    assert "Disabled" in parsed(await visitor.get(path)).text
    assert (await visitor.post(f"{path}/remove")).headers["location"] == "/settings/users"
    assert (await visitor.get(path)).status_code == 404


async def test_a_page_of_a_person_names_the_browsers_in_use_as_the_own_account_does(
    db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    kim = await somebody(owner, "kim")
    firefox = Visit(browser="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
    async with db.transaction() as session:
        await login_sessions.begin(session, User(kim, "kim", True, datetime.now(UTC)), firefox, how="test")
    assert "Firefox on Linux" in [one.text for one in parsed(await visitor.get(f"/settings/users/{kim}")).all("span")]


async def test_who_would_give_more_than_he_holds_gets_the_page_of_a_denial_which_is_noted(
    controller: Running, db: Database, owner: Any, visitor: httpx.AsyncClient
) -> None:
    kim, ben = await somebody(owner, "kim"), await somebody(owner, "ben")
    people = RoleDraft(name="People", permissions=frozenset({Permission.USER_READ, Permission.USER_EDIT}))
    given = GrantDraft(role_id=(await roles.make(db, people, by=SOMEBODY)).role.id, scope=ScopeKind.EVERYTHING)
    await grants.give(db, Holder("user", kim), given, by=SOMEBODY)
    viewer = str(await role_named(db, "viewer"))
    async with db.transaction() as session:
        begun = await login_sessions.begin(session, User(kim, "kim", True, datetime.now(UTC)), FROM_NOWHERE, how="test")
    cookies = {next(iter(visitor.cookies)): begun.token}
    async with httpx.AsyncClient(base_url=controller.url, cookies=cookies, headers=FROM_HERE) as browser:
        answer = await browser.post(f"/settings/users/{ben}/grants", data={"role_id": viewer, "scope": "everything"})
    assert answer.status_code == 403
    assert await grants.grants_of(db, Holder("user", ben), by=SOMEBODY) == []
    noted = await owner.fetchval("SELECT count(*) FROM audit_entry WHERE outcome = 'denied' AND actor_id = $1", kim)
    assert noted == 1
