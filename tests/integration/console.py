"""A person before the console: a browser without script, as far as forms, links and cookies go."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import SimpleNamespace

import httpx
from starlette.requests import Request
from starlette.responses import Response

from web.app import create_app
from web.domain.access import ALL_PERMISSIONS, Actor, Permission, everywhere
from web.services.entry import accounts
from web.settings import ControllerSettings
from web.store.database import Database

_VOID = {"br", "hr", "img", "input", "link", "meta", "use", "source", "path", "rect", "line", "circle"}
FRAGMENT = {"HX-Request": "true"}
"""Headers of a request by HTMX."""


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within, with single spaces."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str = "", **attributes: str) -> "list[Element]":
        """Elements within of this tag with these attributes; `class_` asks for one class, `_` stands for `-`."""
        return [one for one in self._within() if one._is(tag, attributes)]

    def one(self, tag: str = "", **attributes: str) -> "Element":
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of <{tag}> {attributes}"
        return found[0]

    def has(self, tag: str = "", **attributes: str) -> bool:
        return bool(self.all(tag, **attributes))

    def _within(self) -> "Iterator[Element]":
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._within()

    def _is(self, tag: str, attributes: dict[str, str]) -> bool:
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        css_class = wanted.pop("class", None)
        return (
            tag in ("", self.tag)
            and all(self.attributes.get(name) == value for name, value in wanted.items())
            and (css_class is None or css_class in self.attributes.get("class", "").split())
        )


def parsed(answer: httpx.Response) -> Element:
    """The page or fragment that was answered; it must be well nested."""
    assert answer.headers["content-type"].startswith("text/html"), answer.text
    parser = _Parser()
    parser.feed(answer.text)
    parser.close()
    assert len(parser.open) == 1, f"not closed: {[element.tag for element in parser.open[1:]]}"
    return parser.open[0]


async def shown_without(
    handler: Callable[[Request], Awaitable[Response]], db: Database, *lacking: Permission, **path_params: object
) -> Element:
    """What somebody is shown who lacks these permissions."""
    app = create_app(ControllerSettings(), db.url)
    app.state.controller = SimpleNamespace(db=db)
    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "query_string": b"",
        "headers": [],
        "server": ("127.0.0.1", 80),
        "app": app,
        "path_params": path_params,
        "user": Actor("user", None, "ANA", everywhere(ALL_PERMISSIONS - set(lacking))),
    }
    answer = await handler(Request(scope))
    return parsed(httpx.Response(answer.status_code, headers=dict(answer.headers), content=bytes(answer.body)))


@asynccontextmanager
async def person(url: str, db: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator in a browser without script, signed in by a one-time link."""
    async with httpx.AsyncClient(
        base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60, trust_env=False, verify=False
    ) as client:
        answer = await client.post(f"/welcome/{await accounts.sign_in_link_code(db)}")
        assert answer.status_code == 303, answer.text
        yield client


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in _VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)
