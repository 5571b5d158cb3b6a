"""Settings: a page for each kind of thing that is set, and what the controller itself is."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ConflictError, ControllerError, ForbiddenError, InvalidError
from web.domain.sign_in_rules import SecondFactorRule
from web.errors import status_and_code
from web.forms import read_form
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services import system as systems
from web.services.entry import sign_in_rules

_FIRST_PAGES = ((Permission.SETTINGS_READ, "profiles.index"), (Permission.USER_READ, "users.index"))


async def index(request: Request) -> Response:
    """The first page that who asks may open."""
    for permission, page in _FIRST_PAGES:
        if request.user.scope(permission).everything:
            return see_other(request, page)
    raise ForbiddenError(Permission.SETTINGS_READ)


async def sign_in(request: Request) -> Response:
    """Who has to have a second factor."""
    return await _sign_in(request)


async def change_sign_in(request: Request) -> Response:
    form = await read_form(request)
    try:
        wanted, was = _rule(form.get("second_factor")), _rule(form.get("was"))
        await sign_in_rules.change(controller_of(request).db, wanted, was=was, by=request.user)
    except (InvalidError, ConflictError) as refused:
        return await _sign_in(request, form.get("second_factor"), refused)
    return see_other(request, "settings.sign_in")


async def system(request: Request) -> Response:
    """What the controller is and stands on."""
    facts = await systems.facts(controller_of(request), by=request.user)
    return render(request, "pages/settings/system.html", {"here": "settings.index", "facts": facts})


async def _sign_in(request: Request, chosen: str = "", refused: ControllerError | None = None) -> Response:
    db, by = controller_of(request).db, request.user
    rule = await sign_in_rules.rule(db, by=by)
    context = {
        "here": "settings.index",
        "rule": rule,
        "chosen": chosen or rule.second_factor,
        "lacking": await sign_in_rules.lacking(db, by=by),
        "faults": {} if refused is None else {"second_factor": str(refused)},
        "is_local": controller_of(request).is_local_sign_in,
    }
    status = HTTPStatus.OK if refused is None else status_and_code(type(refused))[0]
    return render(request, "pages/settings/sign_in.html", context, status=status)


def _rule(word: str) -> SecondFactorRule:
    """Raises InvalidError."""
    if word not in set(SecondFactorRule):
        raise InvalidError("Choose one of the rules.", field="second_factor")
    return SecondFactorRule(word)
