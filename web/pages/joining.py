"""A machine joins as a node: one command with a code that is shown once, and a page that waits for it."""

from http import HTTPStatus
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import Permission
from web.domain.errors import ConflictError, InvalidError
from web.domain.nodes import CodeState, EnrolmentCode
from web.forms import Form, read_form
from web.hosts import is_this_machine
from web.pages.page import controller_of
from web.rendering import render, see_other
from web.services.recorders import joining, standing

TROUBLE_AFTER_SECONDS = 30.0
"""Then the page says what may stand in the way."""


async def form(request: Request) -> Response:
    return await _form(request, Form())


async def create(request: Request) -> Response:
    """The answer shows the code, which stands in no address and is not kept."""
    sent = await read_form(request)
    try:
        code = await joining.create_enrolment_code(
            controller_of(request).db, sent.get("name"), address_range=sent.get("address_range"), by=request.user
        )
    except InvalidError as refused:
        return await _form(request, sent, {refused.field or "name": str(refused)})
    except ConflictError as refused:
        return await _form(request, sent, {"name": str(refused)})
    return await _show(request, code.id, code)


async def join_again(request: Request) -> Response:
    """A code for a node that is there: its machine, or another in its place."""
    sent = await read_form(request)
    node_id: UUID = request.path_params["node_id"]
    code = await joining.create_rejoin_code(
        controller_of(request).db, node_id, address_range=sent.get("address_range"), by=request.user
    )
    return await _show(request, code.id, code)


async def show(request: Request) -> Response:
    """How far a code is; it is not shown again."""
    return await _show(request, _id(request), None)


async def revoke(request: Request) -> Response:
    await joining.revoke_code(controller_of(request).db, _id(request), by=request.user)
    if request.user.scope(Permission.NODE_CREATE).everything:
        return see_other(request, "joining.form")
    return see_other(request, "joining.show", code_id=_id(request))


async def _form(request: Request, sent: Form, faults: dict[str, str] | None = None) -> Response:
    request.user.require_everywhere(Permission.NODE_CREATE)
    context = {
        "here": "nodes.index",
        "sent": sent,
        "faults": faults or {},
        "codes": await joining.open_codes(controller_of(request).db, by=request.user),
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/joining/form.html", context, status=status)


async def _show(request: Request, code_id: UUID, code: EnrolmentCode | None) -> Response:
    db = controller_of(request).db
    found = await joining.code_standing(db, code_id, by=request.user)
    is_known = found.state in (CodeState.JOINED, CodeState.REPORTED) and request.user.nodes.covers(found.node_id)
    context = {
        "here": "nodes.index",
        "code": found,
        "command": None if code is None else command_to_join(request, code.code),
        "is_plain": _is_plain(request),
        "is_only_here": _is_only_here(request),
        "controller": own_address(request),
        "card": await standing.node_card(db, found.node_id, by=request.user) if is_known else None,
        "is_slow": found.state is CodeState.OPEN and found.age_seconds >= TROUBLE_AFTER_SECONDS,
        "trouble_after": TROUBLE_AFTER_SECONDS,
    }
    return render(request, "pages/joining/show.html", context, fragment="standing")


def own_address(request: Request) -> str:
    """Where this console was reached: what a node is to be told."""
    return str(request.base_url).rstrip("/")


def command_to_join(request: Request, code: str) -> str:
    """What is run on the machine that is to become the node."""
    command = f"reelkeeper agent --controller {own_address(request)} --code {code}"
    return f"{command} --allow-plain-http" if _is_plain(request) else command


def _is_plain(request: Request) -> bool:
    """Whether others could read on the way what an agent says to this address."""
    return request.base_url.scheme == "http" and not _is_only_here(request)


def _is_only_here(request: Request) -> bool:
    return is_this_machine(request.base_url.hostname or "")


def _id(request: Request) -> UUID:
    code_id: UUID = request.path_params["code_id"]
    return code_id
