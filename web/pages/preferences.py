"""How the console looks to one browser: kept in its cookies, also before anybody signs in."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.forms import read_form
from web.pages.page import own_path
from web.rendering import CLOCK_COOKIE, THEME_COOKIE, THEMES

_YEAR_SECONDS = 365 * 24 * 3600
_CHOICES = {"theme": (THEME_COOKIE, THEMES), "clock": (CLOCK_COOKIE, ("browser", "utc"))}


async def change(request: Request) -> Response:
    """Keeps what was chosen and goes back to where it was chosen."""
    form = await read_form(request)
    response = RedirectResponse(own_path(form.get("next")), 303)
    for name, (cookie, allowed) in _CHOICES.items():
        if (chosen := form.get(name)) in allowed:
            response.set_cookie(cookie, chosen, max_age=_YEAR_SECONDS, samesite="lax", httponly=True)
    return response
