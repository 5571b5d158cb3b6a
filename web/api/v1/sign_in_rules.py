"""Who has to have a second factor."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from web.api.endpoints import Call
from web.api.v1.models import Answer
from web.domain.access import Actor
from web.domain.sign_in_rules import SecondFactorRule
from web.services.entry import sign_in_rules


class SignInRuleAnswer(Answer):
    second_factor: SecondFactorRule
    """Administrators are those who may change accounts or settings, anywhere."""
    changed_by: str | None
    changed_at: datetime | None


class SignInRuleChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    second_factor: SecondFactorRule
    was: SecondFactorRule
    """As you have seen it: when somebody else has changed it meanwhile, nothing is changed."""


async def show(call: Call, by: Actor) -> SignInRuleAnswer:
    """Show who has to have a second factor."""
    return SignInRuleAnswer.model_validate(await sign_in_rules.rule(call.controller.db, by=by))


async def change(call: Call, by: Actor, body: SignInRuleChange) -> SignInRuleAnswer:
    """Say who has to have a second factor; tokens go on whoever has none."""
    changed = await sign_in_rules.change(call.controller.db, body.second_factor, was=body.was, by=by)
    return SignInRuleAnswer.model_validate(changed)
