"""The way to whoever vouches for people, and back."""

import base64
import binascii
import json
from dataclasses import asdict
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.domain.errors import InvalidError, NotFoundError, SlowDownError, UnavailableError
from web.domain.single_sign_on import STEP_SECONDS, Step
from web.pages.accounts import sign_in_page, signed_in_here
from web.pages.page import controller_of, own_path
from web.services.entry import single_sign_on
from web.services.entry.openid import OpenId
from web.services.keys import Keys, KeysError
from web.sessions import brief, drop_brief, is_secure, keep_briefly, visit_of
from web.sources import source_of

_COOKIE = "issuer"
_PLACE = ("cookie", _COOKIE, "step")


async def begin(request: Request) -> Response:
    """Sends the browser there. A link, so that no form leads to another site."""
    controller, wanted = controller_of(request), own_path(request.query_params.get("next", "/"))
    open_id = _open_id(request)
    try:
        controller.sign_on_rates.admit(source_of(request).address)
        address, step = await open_id.begin(_way_back(request), wanted)
    except (SlowDownError, UnavailableError) as fault:
        return sign_in_page(request, "", wanted, fault)
    response = RedirectResponse(address, HTTPStatus.SEE_OTHER)
    keep_briefly(request, response, _COOKIE, _sealed(controller.keys, step), STEP_SECONDS)
    return response


async def finish(request: Request) -> Response:
    """What the browser brings back signs it in."""
    controller, open_id = controller_of(request), _open_id(request)
    step = _opened(controller.keys, brief(request, _COOKIE))
    wanted = own_path("/" if step is None else step.wanted)
    try:
        controller.sign_on_rates.admit(source_of(request).address)
    except SlowDownError as refused:
        return sign_in_page(request, "", wanted, refused)
    try:
        if step is None:
            raise InvalidError("This took too long, or began in another browser; begin again.")
        identity = await open_id.finish(step, request.query_params, _way_back(request))
        begun = await single_sign_on.sign_in(controller.db, open_id.issuer, identity, visit_of(request))
    except (InvalidError, UnavailableError) as refused:
        response = sign_in_page(request, "", wanted, refused)
    else:
        response = await signed_in_here(request, RedirectResponse(wanted, HTTPStatus.SEE_OTHER), begun)
    drop_brief(request, response, _COOKIE)
    return response


def _open_id(request: Request) -> OpenId:
    """Raises NotFoundError when nobody vouches for people here."""
    found = controller_of(request).open_id
    if found is None:
        raise NotFoundError("single sign-on", "here")
    return found


def _way_back(request: Request) -> str:
    """As the browser reaches us, also through a proxy with TLS."""
    address = request.url_for("single_sign_on.finish")
    return str(address.replace(scheme="https" if is_secure(request) else "http"))


def _sealed(keys: Keys, step: Step) -> str:
    return base64.urlsafe_b64encode(keys.seal(json.dumps(asdict(step)).encode(), _PLACE)).decode()


def _opened(keys: Keys, value: str) -> Step | None:
    try:
        return Step(**json.loads(keys.open(base64.urlsafe_b64decode(value), _PLACE)))
    except (KeysError, binascii.Error, ValueError):
        return None
