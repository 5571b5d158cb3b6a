"""What the link leads to that somebody was handed: a password is set, and that person is in."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from web.domain.errors import ControllerError, InvalidError, LinkSpentError
from web.forms import read_form
from web.pages.accounts import faults_and_status, signed_in_here
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.access import people
from web.services.entry import accounts
from web.sessions import visit_of


async def show(request: Request) -> Response:
    """Looking at it does not use it."""
    return await _page(request)


async def accept(request: Request) -> Response:
    controller, form = controller_of(request), await read_form(request)
    try:
        begun = await accounts.accept_invitation(
            controller.db,
            controller.passwords,
            request.path_params["code"],
            form.raw("password"),
            visit_of(request),
        )
    except (InvalidError, LinkSpentError) as refused:
        return await _page(request, refused)
    if begun is None:
        return see_other(request, "accounts.sign_in_form")
    return await signed_in_here(request, see_other(request, "dashboard.show"), begun)


async def _page(request: Request, refused: ControllerError | None = None) -> Response:
    code = request.path_params["code"]
    try:
        name = await people.invited(controller_of(request).db, code)
    except LinkSpentError as spent:
        context = {"code": code, "name": "", "faults": {}, "spent": str(spent)}
        return render(request, "pages/accounts/invitation.html", context, status=HTTPStatus.GONE)
    faults, status = faults_and_status(refused)
    context = {"code": code, "name": name, "faults": faults, "spent": ""}
    return render(request, "pages/accounts/invitation.html", context, status=status)
