"""Pages and fragments from templates, in the words, zone and colours of who looks."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import BytecodeCache, Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.bccache import Bucket
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from jinja2_fragments import render_block
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from web.drawings import overview_path, preview_path
from web.htmx import VARY, wants_fragment
from web.texts import FILTERS

TEMPLATES_FOLDER = Path(__file__).parents[1] / "templates"
STATIC_FOLDER = Path(__file__).parents[1] / "static"
STATIC_PATH = "/static"
THEMES = ("system", "light", "dark")
THEME_COOKIE = "reelkeeper_theme"
ZONE_COOKIE = "reelkeeper_zone"
"""The IANA zone of the browser, which its script tells."""
CLOCK_COOKIE = "reelkeeper_clock"
"""`utc` when somebody asked for it; else times are shown in the browser's zone."""
_MACROS = {"ui": "macros/ui.html", "words": "macros/jobs.html"}
"""What pages import at their top, by the names they give it: a block that is rendered alone sees no import."""
_NOT_USED = (
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "publickey-credentials-get",
    "serial",
    "usb",
)
"""Of what browsers let pages do: recording is done by nodes."""
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "media-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": ", ".join(f"{feature}=()" for feature in _NOT_USED),
    "Cache-Control": "no-store",
    "Vary": VARY,
}
_PART_HEADERS = {name: PAGE_HEADERS[name] for name in ("Cache-Control", "Vary")}
"""Of what becomes a part of a page: the page it is put into says what may be done there."""


@dataclass(frozen=True)
class Viewer:
    """How somebody wants to see things."""

    theme: str
    zone: tzinfo
    zone_name: str
    uses_utc: bool
    """By choice, or because the browser has not told its zone."""


class _Compiled(BytecodeCache):
    """What templates were compiled to, once for all applications of a process."""

    def __init__(self) -> None:
        self._codes: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._codes.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key] = bucket.bytecode_to_string()


_compiled = cache(_Compiled)


class Rendering:
    """The templates of one application."""

    def __init__(self, path_of: Callable[..., str]) -> None:
        """`path_of` gives the path of a route by its name and parameters."""
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            bytecode_cache=_compiled(),
        )
        self._environment.filters |= FILTERS
        self._environment.filters |= {"when": _when, "when_exactly": _when_exactly, "clock": _clock}
        self._environment.globals |= {
            "path": path_of,
            "static": static_path,
            "preview_path": preview_path,
            "overview_path": overview_path,
        }

    def text(self, template: str, context: Mapping[str, Any], block: str | None = None) -> str:
        """A whole template, or one block of it."""
        if block is not None:
            macros = {name: self._macros(path, context) for name, path in _MACROS.items()}
            return str(render_block(self._environment, template, block, **macros, **context))
        return self._environment.get_template(template).render(context)

    def _macros(self, template: str, context: Mapping[str, Any]) -> TemplateModule:
        return self._environment.get_template(template).make_module(dict(context))


def render(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    *,
    fragment: str | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The page, or the block `fragment` of it when HTMX asks for a part.

    A template that has no page round it is rendered whole, always.
    """
    rendering: Rendering = request.app.state.rendering
    is_part = wants_fragment(request)
    text = rendering.text(template, {**_of_every_page(request), **context}, fragment if is_part else None)
    return HTMLResponse(text, status, {**(_PART_HEADERS if is_part else PAGE_HEADERS), **(headers or {})})


def _of_every_page(request: Request) -> dict[str, Any]:
    bar = {"bar": request.state.bar} if hasattr(request.state, "bar") else {}
    return {"request": request, "viewer": viewer_of(request), "by": request.scope.get("user"), **bar}


def see_other(request: Request, name: str, **parameters: object) -> Response:
    """What answers a plain form that was done: 303 to the page of this name."""
    return RedirectResponse(str(request.app.url_path_for(name, **parameters)), HTTPStatus.SEE_OTHER)


def viewer_of(request: Request) -> Viewer:
    """From the cookies of the browser; what they say is checked, nonsense is ignored."""
    theme = request.cookies.get(THEME_COOKIE, "system")
    zone = None if request.cookies.get(CLOCK_COOKIE) == "utc" else _zone(request.cookies.get(ZONE_COOKIE, ""))
    return Viewer(
        theme=theme if theme in THEMES else "system",
        zone=zone or UTC,
        zone_name="UTC" if zone is None else datetime.now(zone).strftime("%Z"),
        uses_utc=zone is None,
    )


@cache
def static_path(name: str) -> str:
    """Of a file in `static/`; the path changes with its content, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC_FOLDER / name).read_bytes()).hexdigest()[:10]
    return f"{STATIC_PATH}/{name}?v={digest}"


@cache
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@pass_context
def _when(context: Context, instant: datetime) -> str:
    return f"{instant.astimezone(context['viewer'].zone):%Y-%m-%d %H:%M}"


@pass_context
def _when_exactly(context: Context, instant: datetime) -> str:
    return f"{instant.astimezone(context['viewer'].zone):%Y-%m-%d %H:%M:%S}"


@pass_context
def _clock(context: Context, instant: datetime) -> str:
    return f"{instant.astimezone(context['viewer'].zone):%H:%M:%S}"
