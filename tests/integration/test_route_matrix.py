"""Every route, tried by everybody on everything. What is expected follows from the table of rules alone."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Server
from tests.integration.route_calls import Answer
from tests.integration.route_house import ENDLESS, House, connections, keeping_house
from tests.integration.route_world import PLACES, Principal, World, coordinates
from web.route_rules import RULES, Door, Needs, Of, Rule

pytestmark = pytest.mark.anyio


def door_of(rule: Rule) -> str:
    """What opens it: a session, a token, the token of a node; empty for nothing at all."""
    if rule.who is Door.OPEN:
        return ""
    if rule.who is Door.NODE:
        return "node"
    return "token" if rule.path.startswith("/api/") else "session"


def expected(rule: Rule, by: Principal, place: str) -> set[str]:
    """Kinds of answers that a rule allows."""
    door = door_of(rule)
    if door == "":
        return {"done", "invalid", "not found", "sign in", "wait"} | ({"unauthorised"} if rule.changes else set())
    if by.door != door:
        is_for_programs = rule.path.startswith("/api/") or rule.path in ENDLESS
        return {"unauthorised"} if is_for_programs else {"sign in"}
    if rule.who is Door.SIGNED_IN:
        return {"done", "invalid", "not found"} if "{" in rule.path else {"done", "invalid"}
    if rule.who is Door.NODE:
        is_own = place == ("own" if by.name == "node" else "other")
        if "{" not in rule.path:
            return {"done", "invalid", "not found"} if rule.changes else {"done"}
        return {"done", "invalid"} if is_own else {"invalid", "not found", "forbidden"}
    assert isinstance(rule.who, Needs)
    return _by_permission(rule.who, coordinates(rule, place), by, place, is_thing="_id}" in rule.path)


def _by_permission(
    needs: Needs, thing: tuple[str | None, str | None], by: Principal, place: str, *, is_thing: bool
) -> set[str]:
    if needs.of is Of.ANYTHING:
        return {"done", "invalid"} if any(map(by.holds_anywhere, needs.any_of)) else {"forbidden"}
    if needs.of is Of.EVERYTHING:
        if any(by.holds(one, None, None) for one in needs.any_of):
            return {"done", "invalid", "not found"} if place == "missing" else {"done", "invalid"}
        may_see = by.holds(needs.permission.to_read, None, None)
        may_be_none = is_thing and (place == "missing" or not may_see)
        return {"forbidden", "not found"} if may_be_none else {"forbidden"}
    if place != "missing" and by.holds(needs.permission.to_read, *thing):
        return {"done", "invalid"} if any(by.holds(one, *thing) for one in needs.any_of) else {"forbidden"}
    of_nobody = {"not found"} if any(map(by.holds_anywhere, needs.any_of)) else {"forbidden", "not found"}
    return of_nobody | {"invalid"} if needs.of is Of.NAMED else of_nobody


def kind_of(answer: Answer) -> str:
    """What an answer means for who asked."""
    match answer.status:
        case 401:
            return "unauthorised"
        case 403:
            return "forbidden"
        case 404:
            return "not found"
        case 303 if answer.headers["location"].startswith("/sign-in?"):
            return "sign in"
        case 422:
            return "invalid"
        case 429:
            return "wait"
        case 200 | 201 | 202 | 204 | 206 | 303 | 304 | 409 | 410 | 507:
            return "done"
    return f"status {answer.status}"


@dataclass(frozen=True)
class Case:
    rule: Rule
    by: Principal
    place: str

    def __str__(self) -> str:
        return f"{self.rule.method} {self.rule.path} ({self.place}) by {self.by.name}"


def cases(world: World, *, is_whole: bool) -> Iterator[Case]:
    """Each rule with everybody, or with whom it may tell apart, and some others in turn."""
    for number, rule in enumerate(RULES):
        for by in world.principals if is_whole else telling(rule, number, world.principals):
            yield from (Case(rule, by, place) for place in places_of(rule))


def places_of(rule: Rule) -> tuple[str, ...]:
    """What lies in no node and no folder is not there twice."""
    if isinstance(rule.who, Needs) and rule.who.of in (Of.RECORDING, Of.NODE, Of.JOB, Of.NAMED):
        return PLACES
    is_of_agents = rule.who is Door.NODE and "_id}" in rule.path
    return PLACES if is_of_agents else ("own", "missing") if "_id}" in rule.path else ("own",)


def telling(rule: Rule, number: int, everybody: list[Principal]) -> list[Principal]:
    """Whoever holds exactly what the rule asks for, people of every scope, and two strangers."""
    insiders = [one for one in everybody if one.door == door_of(rule) and not one.name.startswith("only ")]
    strangers = [one for one in everybody if one.door != door_of(rule)]
    in_turn = [strangers[number % len(strangers)], strangers[-1 - number % len(strangers)]]
    if not isinstance(rule.who, Needs):
        return insiders[:2] + in_turn
    if door_of(rule) == "token":
        exact = {f"only {permission}" for permission in rule.who.any_of}
        single = [one for one in everybody if one.name.startswith("only ")]
        in_turn += [one for one in single if one.name in exact] + [single[number % len(single)]]
    if rule.who.of is Of.EVERYTHING:
        insiders = [one for one in insiders if one.name not in ("operator", "second administrator", "nobody yet")]
    return insiders + in_turn


@pytest.fixture
async def house(
    tmp_path: Path, postgres: Server, database_url: str, database_name: str, owner: Any, anyio_backend: str
) -> AsyncIterator[House]:
    superuser_url = postgres.url("postgres", database_name)
    async with keeping_house(tmp_path, database_url, owner, superuser_url) as made:
        yield made


async def refuse(house: House, *, is_whole: bool) -> None:
    """Tries all that must change nothing; an error that names what was answered otherwise."""
    surprises, counted = [], Counter[str]()
    answers: dict[tuple[Rule, str], dict[str, str]] = {}
    before = await house.state.digests()
    with connections() as called:
        for case in cases(house.world, is_whole=is_whole):
            wanted = expected(case.rule, case.by, case.place)
            if case.rule.changes and "done" in wanted:
                continue
            answer = await house.answer(case.rule, case.by, case.place)
            found = kind_of(answer)
            counted[found] += 1
            answers.setdefault((case.rule, case.by.name), {})[case.place] = found
            if found not in wanted:
                surprises.append(f"{case}: {found}, not {' or '.join(sorted(wanted))}")
    after = await house.state.digests()
    print(f"\n{counted.total()} cases of {len(RULES)} routes and {len(house.world.principals)} principals: {counted}")
    assert not surprises, "\n".join([f"{len(surprises)} surprises", *surprises])
    assert {name for name in after if after[name] != before[name]} == set(), "something was changed"
    assert (house.state.told, called) == ([], [])
    told_apart = [
        f"{rule.method} {rule.path} by {name}: {found}"
        for (rule, name), found in answers.items()
        if found.get("other", found.get("own")) == "not found" != found.get("missing", "not found")
    ]
    assert told_apart == [], "what one may not know of is told apart from what is not there"


async def allow(house: House) -> None:
    """Tries each route that may change something once, on the house as it was.

    Whoever holds little is refused more than the table says: nobody gives, takes or looks after what he does not hold.
    """
    surprises, counted, tried = [], Counter[str](), set[Rule]()
    before = await house.state.digests()
    for case in cases(house.world, is_whole=False):
        wanted = expected(case.rule, case.by, case.place)
        if not case.rule.changes or "done" not in wanted or case.rule in tried:
            continue
        tried.add(case.rule)
        answer = await house.answer(case.rule, case.by, case.place)
        found = kind_of(answer)
        counted[found] += 1
        if found not in wanted:
            surprises.append(f"{case}: {found}, not {' or '.join(sorted(wanted))}")
        after = await house.state.digests()
        await house.state.restore({name for name in after if after[name] != before[name]} - {"files"})
    print(f"\n{counted.total()} cases that may change something: {counted}")
    assert not surprises, "\n".join([f"{len(surprises)} surprises", *surprises])


async def test_nobody_gets_further_than_the_table_says_and_what_is_refused_changes_nothing(house: House) -> None:
    await refuse(house, is_whole=False)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_nobody_at_all_gets_further_on_any_route_than_the_table_says(house: House) -> None:
    await refuse(house, is_whole=True)


async def test_who_may_change_something_gets_as_far_as_it(house: House) -> None:
    await allow(house)
