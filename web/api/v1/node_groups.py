"""Groups of nodes."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from protocol.messages import Name
from web.api.endpoints import Call
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.errors import NotFoundError
from web.services.recorders import node_groups


class NodeGroupAnswer(Answer):
    id: UUID
    name: str
    node_ids: list[UUID]
    gives_rights: bool
    """Whether grants hold within it."""


class NodeGroupList(Answer):
    items: list[NodeGroupAnswer]
    """In the order of their names."""


class NodeGroupRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name


class NodeGroupChange(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name | None = None
    node_ids: Annotated[list[UUID], Field(max_length=10_000)] | None = None
    """Its members from now on."""


async def index(call: Call, by: Actor) -> NodeGroupList:
    """List the groups of nodes."""
    found = await node_groups.all_groups(call.controller.db, by=by)
    return NodeGroupList(items=[NodeGroupAnswer.model_validate(one) for one in found])


async def create(call: Call, by: Actor, body: NodeGroupRequest) -> NodeGroupAnswer:
    """Make a group without nodes."""
    return await _shown(call, by, await node_groups.create(call.controller.db, body.name, by=by))


async def change(call: Call, by: Actor, group_id: UUID, body: NodeGroupChange) -> NodeGroupAnswer:
    """Rename a group of nodes, or set its members."""
    await node_groups.change(call.controller.db, group_id, name=body.name, node_ids=body.node_ids, by=by)
    return await _shown(call, by, group_id)


async def remove(call: Call, by: Actor, group_id: UUID) -> None:
    """Remove a group; its nodes stay."""
    await node_groups.remove(call.controller.db, group_id, by=by)


async def _shown(call: Call, by: Actor, group_id: UUID) -> NodeGroupAnswer:
    found = await node_groups.all_groups(call.controller.db, by=by)
    group = next((one for one in found if one.id == group_id), None)
    if group is None:
        raise NotFoundError("node group", group_id)
    return NodeGroupAnswer.model_validate(group)
