"""Grants: who has which role where, or is denied it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from web.api.endpoints import Call
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.grants import HeldGrant, HolderKind
from web.domain.roles import Effect, ScopeKind
from web.services.access import grants


class HolderAnswer(Answer):
    kind: HolderKind
    id: UUID


class PlaceAnswer(Answer):
    kind: ScopeKind
    id: UUID | None
    """Of the node, or of the group of nodes."""
    name: str
    folder: str | None


class GrantAnswer(Answer):
    id: UUID
    holder: HolderAnswer
    holder_name: str
    role_id: UUID
    role_name: str
    effect: Effect
    place: PlaceAnswer
    created_by: str
    created_at: datetime


class GrantList(Answer):
    items: list[GrantAnswer]

    @classmethod
    def of(cls, held: Iterable[HeldGrant]) -> Self:
        return cls(items=[GrantAnswer.model_validate(one) for one in held])


class SureQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sure: bool = False
    """Also when it takes rights from the one who asks."""


async def index(call: Call, by: Actor) -> GrantList:
    """List all grants."""
    return GrantList.of(await grants.all_grants(call.controller.db, by=by))


async def show(call: Call, by: Actor, grant_id: UUID) -> GrantAnswer:
    """Show a grant."""
    return GrantAnswer.model_validate(await grants.grant(call.controller.db, grant_id, by=by))


async def take(call: Call, by: Actor, grant_id: UUID, query: SureQuery) -> None:
    """Take a grant back, a denial too."""
    await grants.take(call.controller.db, grant_id, sure=query.sure, by=by)
