"""Codes of six digits from an authenticator app, each good once, and codes on paper for whoever lost it."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID

import pyotp

from protocol.ids import new_id
from web.domain.access import Actor
from web.domain.audit import Object
from web.domain.errors import ConflictError, InvalidError
from web.domain.people import LoginSession, User
from web.services.auditing import audit
from web.services.keys import Keys
from web.store import accounts, second_factors
from web.store.database import Database, Session

ISSUER = "Reelkeeper"
_STEP_SECONDS = 30
_DRIFT_STEPS = (0, -1, 1)
"""Clocks of telephones go wrong by a few seconds, and people type slowly."""
_CODE_DIGITS = 6
_RECOVERY_CODES = 10
_RECOVERY_BYTES = 15
_RECOVERY_GROUP = 6


@dataclass(frozen=True)
class Enrolment:
    """What an authenticator app is told, once."""

    secret: str = field(repr=False)
    """As people type it."""
    address: str = field(repr=False)
    """As a QR code carries it."""


async def begin(db: Database, keys: Keys, current: LoginSession) -> Enrolment:
    """A new secret, which counts once a first code of it was given. Raises ConflictError when one counts already."""
    secret, factor_id = secrets.token_bytes(20), new_id()
    sealed = keys.seal(secret, _place(factor_id))
    if not await second_factors.keep(db, factor_id, current.user.id, sealed, begun_by=current.id):
        raise ConflictError("There is a second factor already; remove it first.")
    return _enrolment(secret, current.user)


async def begun(db: Database, keys: Keys, current: LoginSession) -> Enrolment | None:
    """What was begun in this session and awaits its first code; another one of the account is not told."""
    found = await second_factors.of_user(db, current.user.id)
    if found is None or found.is_confirmed or found.begun_by != current.id:
        return None
    return _enrolment(keys.open(found.sealed, _place(found.id)), current.user)


async def recovery_codes_left(db: Database, user: User) -> int | None:
    """How many can still be used; None for somebody without a second factor."""
    found = await second_factors.of_user(db, user.id)
    return await second_factors.recovery_codes_left(db, user.id) if found and found.is_confirmed else None


async def confirm(session: Session, user: User, *, by: Actor) -> list[str]:
    """In the transaction that takes a first code: it is asked for now. Answers the recovery codes, shown once."""
    await audit.note(session, by, "second_factor.add", Object("user", user.id, user.name))
    return await _keep_recovery_codes(session, user)


async def new_recovery_codes(db: Database, user: User, *, by: Actor) -> list[str]:
    """Ten others, shown once; what there was is worth nothing any more."""
    async with db.transaction() as session:
        await audit.note(session, by, "second_factor.renew_codes", Object("user", user.id, user.name))
        return await _keep_recovery_codes(session, user)


async def remove(db: Database, user: User, *, by: Actor) -> None:
    """It is asked for no more, and its recovery codes are worth nothing."""
    async with db.transaction() as session:
        if await second_factors.remove(session, user.id):
            await audit.note(session, by, "second_factor.remove", Object("user", user.id, user.name))


async def take(session: Session, keys: Keys, user_id: UUID, code: str) -> None:
    """Uses this code up; a first one confirms the secret. Of twins at once, one is right.

    Raises InvalidError for one that is wrong or was taken before.
    """
    if not await _took(session, keys, user_id, "".join(code.split())):
        raise InvalidError("This code is not right, or was used already; wait for the next one.", field="code")


def require_app_code(code: str) -> None:
    """Raises InvalidError for what is no code of an app: a first code proves that the app works."""
    plain = "".join(code.split())
    if len(plain) != _CODE_DIGITS or not plain.isdecimal():
        raise InvalidError(f"The app shows {_CODE_DIGITS} digits.", field="code")


async def _took(session: Session, keys: Keys, user_id: UUID, plain: str) -> bool:
    found = await second_factors.of_user(session, user_id)
    if found is None:
        return False
    if len(plain) == _CODE_DIGITS and plain.isdecimal():
        step = _step_of(keys.open(found.sealed, _place(found.id)), plain, datetime.now(UTC))
        return step is not None and await second_factors.take_step(session, found.id, step)
    return found.is_confirmed and await second_factors.spend_recovery_code(session, user_id, _digest(plain))


async def _keep_recovery_codes(session: Session, user: User) -> list[str]:
    held = await accounts.hold(session, user.id)
    if held is None or not held.has_second_factor:
        raise ConflictError("There is no second factor any more; set it up again.")
    codes = [_new_recovery_code() for _ in range(_RECOVERY_CODES)]
    await second_factors.keep_recovery_codes(session, user.id, [_digest(code) for code in codes])
    return codes


def _step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """The 30 seconds that this code is of; None for any that is not of now."""
    app = pyotp.TOTP(base64.b32encode(secret).decode(), digits=_CODE_DIGITS, interval=_STEP_SECONDS)
    present = app.timecode(now)
    right = [step for step in (present + drift for drift in _DRIFT_STEPS) if _is_same(app.generate_otp(step), code)]
    return right[0] if right else None


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _enrolment(secret: bytes, user: User) -> Enrolment:
    text = base64.b32encode(secret).decode()
    return Enrolment(text, pyotp.TOTP(text).provisioning_uri(name=user.name, issuer_name=ISSUER))


def _new_recovery_code() -> str:
    """120 random bits: enough for a plain digest."""
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode()
    return "-".join(text[at : at + _RECOVERY_GROUP] for at in range(0, len(text), _RECOVERY_GROUP))


def _digest(code: str) -> str:
    return sha256(code.replace("-", "").upper().encode()).hexdigest()


def _place(factor_id: UUID) -> tuple[str, str, UUID]:
    return "second_factor", "secret", factor_id
