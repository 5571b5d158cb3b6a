"""People: invited, kept out, let in again; their sessions and what they were given."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from web.api.endpoints import Call
from web.api.v1.grants import GrantAnswer, GrantList, SureQuery
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.grants import GrantDraft, Holder, ShortName
from web.domain.people import Invitation
from web.services.access import grants, people


class UserAnswer(Answer):
    id: UUID
    name: str
    created_at: datetime
    disabled_at: datetime | None
    has_password: bool
    has_second_factor: bool
    is_by_single_sign_on: bool
    invited_until: datetime | None
    """Until when a link for this person works that nobody has used yet."""
    last_seen_at: datetime | None
    groups: list[str]


class UserList(Answer):
    items: list[UserAnswer]
    """In the order of their names."""


class InvitationRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShortName
    """By which this person signs in."""


class InvitationAnswer(Answer):
    user_id: UUID
    name: str
    path: str
    """Of the page at which this person sets a password; shown only this once."""
    expires_at: datetime


class SessionAnswer(Answer):
    id: UUID
    address: str | None
    browser: str
    created_at: datetime
    last_seen_at: datetime
    is_by_link: bool


class SessionList(Answer):
    items: list[SessionAnswer]
    """The one that was used last first."""


class EndedAnswer(Answer):
    ended: int
    """Sessions that were going on."""


async def index(call: Call, by: Actor) -> UserList:
    """List the people."""
    found = await people.all_people(call.controller.db, by=by)
    return UserList(items=[UserAnswer.model_validate(one) for one in found])


async def invite(call: Call, by: Actor, body: InvitationRequest) -> InvitationAnswer:
    """Make an account that may do nothing yet, and the link to it."""
    call.controller.require_local_sign_in()
    return _link(call, await people.invite(call.controller.db, body.name, by=by))


async def show(call: Call, by: Actor, user_id: UUID) -> UserAnswer:
    """Show a person."""
    return UserAnswer.model_validate(await people.person(call.controller.db, user_id, by=by))


async def remove(call: Call, by: Actor, user_id: UUID) -> None:
    """Remove an account; what the person did stays on the record."""
    await people.remove(call.controller.db, user_id, by=by)


async def reset_link(call: Call, by: Actor, user_id: UUID) -> InvitationAnswer:
    """Make a link by which a person sets a new password."""
    call.controller.require_local_sign_in()
    return _link(call, await people.reset_link(call.controller.db, user_id, by=by))


async def disable(call: Call, by: Actor, user_id: UUID) -> UserAnswer:
    """Keep a person out, and the tokens of that person."""
    await people.disable(call.controller.db, user_id, by=by)
    return await show(call, by, user_id)


async def enable(call: Call, by: Actor, user_id: UUID) -> UserAnswer:
    """Let a person in again."""
    await people.enable(call.controller.db, user_id, by=by)
    return await show(call, by, user_id)


async def remove_second_factor(call: Call, by: Actor, user_id: UUID) -> None:
    """Ask a person for no second factor any more."""
    await people.remove_second_factor(call.controller.db, user_id, by=by)


async def sessions(call: Call, by: Actor, user_id: UUID) -> SessionList:
    """List the sessions of a person."""
    found = await people.sessions_of(call.controller.db, user_id, by=by)
    return SessionList(items=[SessionAnswer.model_validate(one) for one in found])


async def end_sessions(call: Call, by: Actor, user_id: UUID) -> EndedAnswer:
    """End all sessions of a person."""
    return EndedAnswer(ended=await people.end_sessions(call.controller.db, user_id, by=by))


async def end_session(call: Call, by: Actor, user_id: UUID, session_id: UUID) -> EndedAnswer:
    """End one session of a person."""
    return EndedAnswer(ended=await people.end_sessions(call.controller.db, user_id, by=by, only=session_id))


async def list_grants(call: Call, by: Actor, user_id: UUID) -> GrantList:
    """List what a person was given or denied, by groups too."""
    return GrantList.of(await grants.grants_of(call.controller.db, Holder("user", user_id), by=by))


async def give(call: Call, by: Actor, user_id: UUID, query: SureQuery, body: GrantDraft) -> GrantAnswer:
    """Give a person a role, or deny it."""
    holder = Holder("user", user_id)
    return GrantAnswer.model_validate(await grants.give(call.controller.db, holder, body, sure=query.sure, by=by))


def _link(call: Call, made: Invitation) -> InvitationAnswer:
    path = call.request.app.url_path_for("invitations.show", code=made.code)
    return InvitationAnswer(user_id=made.user_id, name=made.name, path=str(path), expires_at=made.expires_at)
