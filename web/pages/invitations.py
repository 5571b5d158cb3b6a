"""What the link leads to that somebody was handed: a password is set, and that person is in."""

from starlette.requests import Request
from starlette.responses import Response

from web.domain.errors import ControllerError, InvalidError, LinkSpentError, LocalSignInOffError
from web.errors import status_and_code
from web.forms import read_form
from web.pages.accounts import faults_and_status, signed_in_here
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.access import people
from web.services.entry import accounts, tokens
from web.sessions import visit_of


async def show(request: Request) -> Response:
    """Looking at it does not use it."""
    return await _page(request)


async def accept(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    revokes = form.has("revoke_tokens", "yes")
    try:
        controller.require_local_sign_in()
        begun = await accounts.accept_invitation(
            controller.db,
            controller.passwords,
            request.path_params["code"],
            form.raw("password"),
            visit_of(request),
            revoke_tokens=revokes,
        )
    except (InvalidError, LinkSpentError, LocalSignInOffError) as refused:
        return await _page(request, refused, revokes=revokes)
    if begun is None:
        return see_other(request, "accounts.sign_in_form")
    return await signed_in_here(request, see_other(request, "dashboard.show"), begun)


async def _page(request: Request, refused: ControllerError | None = None, *, revokes: bool = True) -> Response:
    controller, code = controller_of(request), request.path_params["code"]
    try:
        controller.require_local_sign_in()
        user_id, name = await people.invited(controller.db, code)
    except (LinkSpentError, LocalSignInOffError) as useless:
        context = {"code": code, "name": "", "faults": {}, "useless": str(useless)}
        return render(request, "pages/accounts/invitation.html", context, status=status_and_code(type(useless))[0])
    faults, status = faults_and_status(refused)
    context = {
        "code": code,
        "name": name,
        "faults": faults,
        "useless": "",
        "tokens": await tokens.good_ones_of(controller.db, user_id),
        "revokes": revokes,
    }
    return render(request, "pages/accounts/invitation.html", context, status=status)
