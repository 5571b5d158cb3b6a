"""People with an account: what they may do, whence, and the few things that are done to an account."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from web.domain.access import NOTHING, Permission
from web.domain.errors import ConflictError, InvalidError, LocalSignInOffError
from web.domain.grants import HeldGrant, Holder
from web.domain.people import Invitation, Person
from web.domain.permissions import SENTENCES
from web.forms import read_form
from web.pages import grants as grant_pages
from web.pages.page import Handler, controller_of
from web.pages.saved import saved
from web.rendering import render, see_other
from web.services.access import grants, groups, people
from web.store import nodes


async def index(request: Request) -> Response:
    return await _list(request)


async def invite(request: Request) -> Response:
    """Makes the account and shows its link, this once."""
    controller, name = controller_of(request), (await read_form(request)).get("name")
    try:
        controller.require_local_sign_in()
        invitation = await people.invite(controller.db, name, by=request.user)
    except InvalidError as refused:
        return await _list(request, {refused.field or "": str(refused)}, name)
    except LocalSignInOffError as refused:
        return await _list(request, {"": str(refused)}, name)
    return _link_page(request, invitation, is_new=True)


async def show(request: Request) -> Response:
    return await _page(request)


async def give(request: Request) -> Response:
    """A role for this person."""
    refused = await grant_pages.given(request, Holder("user", _id(request)))
    return _done(request) if refused is None else await _page(request, **refused)


def _act(
    act: str, do: Callable[..., Awaitable[Any]], needs: Permission = Permission.USER_EDIT, *, is_local: bool = False
) -> tuple[Handler, Handler]:
    """The page that asks before an act on an account, and the act: handlers are named `act_form` and `act`.

    `is_local` leads to a password.
    """

    async def form(request: Request) -> Response:
        return await _ask(request, act, needs)

    async def handler(request: Request) -> Response:
        try:
            if is_local:
                controller_of(request).require_local_sign_in()
            done = await do(controller_of(request).db, _id(request), by=request.user)
        except ConflictError as refused:
            return await _ask(request, act, needs, str(refused))
        if isinstance(done, Invitation):
            return _link_page(request, done, is_new=False)
        return see_other(request, "users.index") if act == "remove" else _done(request)

    form.__name__, handler.__name__ = f"{act}_form", act
    return form, handler


disable_form, disable = _act("disable", people.disable)
enable_form, enable = _act("enable", people.enable)
remove_second_factor_form, remove_second_factor = _act("remove_second_factor", people.remove_second_factor)
end_sessions_form, end_sessions = _act("end_sessions", people.end_sessions)
reset_link_form, reset_link = _act("reset_link", people.reset_link, is_local=True)
remove_form, remove = _act("remove", people.remove, Permission.USER_DELETE)


async def _list(request: Request, faults: dict[str, str] | None = None, name: str = "") -> Response:
    db, by = controller_of(request).db, request.user
    found, held = await people.all_people(db, by=by), await grants.all_grants(db, by=by)
    members = {group.name: group.id for group in await groups.all_groups(db, by=by)}
    context = {
        "here": "settings.index",
        "people": [(person, _held_by(person, held, members)) for person in found],
        "faults": faults or {},
        "name": name,
        "is_local": controller_of(request).is_local_sign_in,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if faults else HTTPStatus.OK
    return render(request, "pages/users/index.html", context, status=status)


def _held_by(person: Person, held: Sequence[HeldGrant], group_ids: dict[str, UUID]) -> list[HeldGrant]:
    """Own grants, and those of the person's groups."""
    whose = {person.id, *(group_ids[name] for name in person.groups if name in group_ids)}
    return [one for one in held if one.holder.id in whose]


async def _page(request: Request, **more: Any) -> Response:
    told = await saved(request, "users.show", _id(request), user_id=_id(request))
    db, by, person = controller_of(request).db, request.user, await _person(request)
    held = await grants.grants_of(db, Holder("user", person.id), by=by)
    context = {
        "here": "settings.index",
        "person": person,
        "saved": told,
        "groups": [one for one in await groups.all_groups(db, by=by) if one.name in person.groups],
        "held": held,
        "resolved": grants.resolved(held),
        "nothing": NOTHING,
        "sentences": SENTENCES,
        "node_names": {node.id: node.name for node in await nodes.by_name(db, scope=by.nodes, seen_within=0.0)},
        "sessions": await people.sessions_of(db, person.id, by=by),
        **await grant_pages.choices(request),
        **more,
    }
    status = HTTPStatus.UNPROCESSABLE_ENTITY if more.get("faults") else HTTPStatus.OK
    return render(request, "pages/users/show.html", context, fragment="saved", status=status)


async def _ask(request: Request, act: str, needs: Permission, fault: str | None = None) -> Response:
    """Asks before an act on an account, or says why it was not done."""
    request.user.require_everywhere(needs)
    context = {"here": "settings.index", "person": await _person(request), "act": act, "fault": fault}
    status = HTTPStatus.CONFLICT if fault else HTTPStatus.OK
    return render(request, "pages/users/confirm.html", context, status=status)


def _link_page(request: Request, invitation: Invitation, *, is_new: bool) -> Response:
    path = request.app.url_path_for("invitations.show", code=invitation.code)
    link = f"{str(request.base_url).rstrip('/')}{path}"
    context = {"here": "settings.index", "invitation": invitation, "link": link, "is_new": is_new}
    return render(request, "pages/users/link.html", context)


def _done(request: Request) -> Response:
    return see_other(request, "users.show", user_id=_id(request))


async def _person(request: Request) -> Person:
    return await people.person(controller_of(request).db, _id(request), by=request.user)


def _id(request: Request) -> UUID:
    user_id: UUID = request.path_params["user_id"]
    return user_id
