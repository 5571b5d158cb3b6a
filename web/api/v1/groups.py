"""Groups of people, who have the same grants."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from web.api.endpoints import Call
from web.api.v1.grants import GrantAnswer, GrantList, SureQuery
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.grants import GrantDraft, Group, Holder, ShortName
from web.services.access import grants, groups


class MemberAnswer(Answer):
    id: UUID
    name: str


class GroupAnswer(Answer):
    id: UUID
    name: str
    members: list[MemberAnswer]


class GroupList(Answer):
    items: list[GroupAnswer]
    """In the order of their names."""


class GroupRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShortName


class GroupChange(GroupRequest):
    was: ShortName
    """What it is called now: another name is a conflict."""


async def index(call: Call, by: Actor) -> GroupList:
    """List the groups of people."""
    return GroupList(items=[_answer(one) for one in await groups.all_groups(call.controller.db, by=by)])


async def create(call: Call, by: Actor, body: GroupRequest) -> GroupAnswer:
    """Make a group without members."""
    return _answer(await groups.make(call.controller.db, body.name, by=by))


async def show(call: Call, by: Actor, group_id: UUID) -> GroupAnswer:
    """Show a group and its members."""
    return _answer(await groups.group(call.controller.db, group_id, by=by))


async def rename(call: Call, by: Actor, group_id: UUID, body: GroupChange) -> GroupAnswer:
    """Rename a group."""
    return _answer(await groups.rename(call.controller.db, group_id, body.name, was=body.was, by=by))


async def remove(call: Call, by: Actor, group_id: UUID, query: SureQuery) -> None:
    """Remove a group; its members lose what came by it."""
    await groups.delete(call.controller.db, group_id, sure=query.sure, by=by)


async def add_member(call: Call, by: Actor, group_id: UUID, user_id: UUID) -> GroupAnswer:
    """Put a person into a group; twice is once."""
    await groups.add_member(call.controller.db, group_id, user_id, by=by)
    return await show(call, by, group_id)


async def remove_member(call: Call, by: Actor, group_id: UUID, user_id: UUID, query: SureQuery) -> GroupAnswer:
    """Take a person out of a group."""
    await groups.remove_member(call.controller.db, group_id, user_id, sure=query.sure, by=by)
    return await show(call, by, group_id)


async def list_grants(call: Call, by: Actor, group_id: UUID) -> GrantList:
    """List what a group was given or denied."""
    await groups.group(call.controller.db, group_id, by=by)
    return GrantList.of(await grants.grants_of(call.controller.db, Holder("group", group_id), by=by))


async def give(call: Call, by: Actor, group_id: UUID, query: SureQuery, body: GrantDraft) -> GrantAnswer:
    """Give a group a role, or deny it."""
    holder = Holder("group", group_id)
    return GrantAnswer.model_validate(await grants.give(call.controller.db, holder, body, sure=query.sure, by=by))


def _answer(group: Group) -> GroupAnswer:
    members = [MemberAnswer(id=user_id, name=name) for user_id, name in group.members]
    return GroupAnswer(id=group.id, name=group.name, members=members)
