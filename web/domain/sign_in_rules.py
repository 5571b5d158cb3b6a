"""Who has to have a second factor."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from web.domain.access import Access, Permission


class SecondFactorRule(StrEnum):
    """Whose password is not enough."""

    OPTIONAL = "optional"
    ADMINISTRATORS = "administrators"
    """Whoever may change accounts or settings, wherever; the role administrator holds both."""
    EVERYBODY = "everybody"

    def asks(self, access: Access) -> bool:
        """Whether somebody who holds this has to have one."""
        if self is SecondFactorRule.ADMINISTRATORS:
            return any(permission in access for permission in (Permission.USER_EDIT, Permission.SETTINGS_EDIT))
        return self is SecondFactorRule.EVERYBODY


@dataclass(frozen=True)
class SignInRule:
    """The one rule of an installation, and who changed it last."""

    second_factor: SecondFactorRule
    changed_by: str | None
    changed_at: datetime | None
