"""The rule of who has to have a second factor."""

from web.domain.sign_in_rules import SecondFactorRule, SignInRule
from web.store.access import access_in
from web.store.database import Session


async def get(session: Session) -> SignInRule:
    row = await session.row("sign_in_rule")
    assert row is not None
    return SignInRule(SecondFactorRule(row["second_factor"]), row["changed_by"], row["changed_at"])


async def change(session: Session, rule: SecondFactorRule, *, was: SecondFactorRule, changed_by: str) -> bool:
    """Whether it was still as it was seen."""
    row = await session.row("change_sign_in_rule", rule=rule, was=was, changed_by=changed_by)
    return row is not None


async def lacking(session: Session, rule: SecondFactorRule) -> int:
    """How many people with a password, who are not disabled, would have to set one up."""
    rows = await session.rows("people_without_second_factor")
    return sum(rule.asks(access_in(row["grants"])) for row in rows)
