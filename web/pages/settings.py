"""Settings: a page for each kind of thing that is set, and what the controller itself is."""

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ForbiddenError
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services import system as systems

_FIRST_PAGES = ((Permission.SETTINGS_READ, "profiles.index"), (Permission.USER_READ, "users.index"))


async def index(request: Request) -> Response:
    """The first page that who asks may open."""
    for permission, page in _FIRST_PAGES:
        if request.user.scope(permission).everything:
            return see_other(request, page)
    raise ForbiddenError(Permission.SETTINGS_READ)


async def system(request: Request) -> Response:
    """What the controller is and stands on."""
    facts = await systems.facts(controller_of(request), by=request.user)
    return render(request, "pages/settings/system.html", {"here": "settings.index", "facts": facts})
