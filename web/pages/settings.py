"""Settings: a page for each kind of thing that is set, and what the controller itself is."""

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ForbiddenError
from web.rendering import render, see_other

_FIRST_PAGES = ((Permission.USER_READ, "users.index"), (Permission.SETTINGS_READ, "settings.system"))


async def index(request: Request) -> Response:
    """The first page that who asks may open."""
    for permission, page in _FIRST_PAGES:
        if request.user.scope(permission).everything:
            return see_other(request, page)
    raise ForbiddenError(Permission.SETTINGS_READ)


async def system(request: Request) -> Response:
    request.user.require_everywhere(Permission.SETTINGS_READ)
    return render(request, "pages/settings/system.html", {"here": "settings.index"})
