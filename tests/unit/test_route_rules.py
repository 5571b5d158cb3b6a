"""Every route stands in the table of who may call it, and the table in print is this one."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from web.app import create_app
from web.domain.access import Permission
from web.domain.permissions import SENTENCES
from web.route_rules import RULES, Needs, as_markdown
from web.settings import ControllerSettings

ROOT = Path(__file__).parents[2]


def served(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Method and path of each route; HEAD comes with GET, and a folder of files is one route."""
    for route in routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/{{path}}"
            continue
        assert isinstance(route, Route)
        methods = route.methods or {"every method"}
        for method in methods - {"HEAD"} if "GET" in methods else methods:
            yield method, re.sub(r":\w+}", "}", route.path)


def differences(routes: Iterable[BaseRoute]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Routes without a row, rows without a route."""
    there, ruled = set(served(routes)), {rule.key for rule in RULES}
    return there - ruled, ruled - there


def routes() -> list[BaseRoute]:
    return list(create_app(ControllerSettings(), "postgresql://nowhere/none").routes)


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    unruled, unserved = differences(routes())
    assert not unruled, f"add a row to web/route_rules.py: {sorted(unruled)}"
    assert not unserved, f"take these out of web/route_rules.py: {sorted(unserved)}"
    assert len({rule.key for rule in RULES}) == len(RULES)


def test_a_route_that_nobody_listed_is_found() -> None:
    async def leak(request: Request) -> Response:
        return Response()

    for unlisted in (Route("/leak", leak), Route("/recordings", leak, methods=["DELETE"])):
        before, _ = differences(routes())
        after, _ = differences([*routes(), unlisted])
        assert [path for _, path in after - before] == [unlisted.path]


def test_what_changes_something_asks_for_more_than_seeing_it() -> None:
    for rule in RULES:
        if isinstance(rule.who, Needs) and rule.changes:
            assert rule.who.permission.partition(":")[2] not in {"read", "playback", "download"}, rule.key


def test_every_permission_is_said_in_a_sentence() -> None:
    assert set(SENTENCES) == set(Permission)


def test_printed_table_is_this_table() -> None:
    printed = (ROOT / "docs" / "permissions.md").read_text()
    assert printed == as_markdown(), "run `python -m web.route_rules > docs/permissions.md`"
