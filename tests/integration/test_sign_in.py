"""Wrong tries get slow and lock nobody out; a second factor counts once; what changes meanwhile is not missed."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pyotp
import pytest

from web.domain.access import Source
from web.domain.errors import ConflictError, InvalidError, SignInRequiredError, SlowDownError
from web.domain.people import HalfSignedIn, SignedIn, Visit
from web.domain.tries import PACES, Counter, Pace, of_code, of_password
from web.services.entry import accounts, second_factor, sign_in
from web.services.entry.passwords import Passwords
from web.services.keys import Keys, open_keys
from web.store import tries
from web.store.database import Database

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery"
OTHER = "another good one, really"
HOME = Visit(Source("192.0.2.1"))
ELSEWHERE = Visit(Source("198.51.100.7"))


@pytest.fixture
def passwords(anyio_backend: str) -> Passwords:
    return Passwords()


@pytest.fixture
async def keys(db: Database, tmp_path: Path) -> Keys:
    return await open_keys(db, tmp_path / "keys")


@pytest.fixture
async def begun(db: Database, passwords: Passwords) -> SignedIn:
    """The administrator, at home, with a password."""
    by_link = await accounts.spend_code(db, await accounts.sign_in_link_code(db), HOME)
    return await accounts.set_password(db, passwords, by_link.token, PASSWORD, visit=HOME)


async def _wrong(db: Database, passwords: Passwords, visit: Visit, name: str = "admin") -> Exception:
    with pytest.raises((InvalidError, SlowDownError)) as refused:
        await sign_in.sign_in(db, passwords, name, "not the password", visit)
    return refused.value


async def _is_signed_in(db: Database, token: str) -> bool:
    try:
        await accounts.authenticate_session(db, token)
    except SignInRequiredError:
        return False
    return True


async def _stretch(owner: Any) -> None:
    """Makes pauses a minute longer, for a machine that takes longer than a pause."""
    await owner.execute(
        "UPDATE sign_in_try SET free_at = free_at + interval '1 minute' WHERE free_at > last_at + interval '0.5 s'"
    )


async def _count(db: Database, counters: list[Any], times: int) -> float:
    """So many tries at once; how long the last one has to wait."""
    waits = [0.0]
    for _ in range(times):
        async with db.transaction() as session:
            waits += [await tries.take(session, counter) for counter in counters]
    return max(waits)


# ---- tries ----


async def test_wrong_tries_wait_longer_and_longer_and_a_right_one_after_the_pause_comes_in(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    for _ in range(PACES.account_at_address.free):
        assert isinstance(await _wrong(db, passwords, HOME), InvalidError)
    await _stretch(owner)
    refused = await _wrong(db, passwords, HOME)
    assert isinstance(refused, SlowDownError)
    with pytest.raises(SlowDownError):
        await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME)
    await owner.execute("UPDATE sign_in_try SET free_at = now()")
    assert isinstance(await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME), SignedIn)


async def test_somebody_elses_guesses_do_not_keep_the_owner_out(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    assert await _count(db, of_password("admin", "203.0.113.9", is_known=True), 4) == 0
    everywhere = [one for one in of_password("admin", None, is_known=False) if one.pace == PACES.account]
    assert await _count(db, everywhere, PACES.account.free) == 0
    await _stretch(owner)
    assert await _count(db, everywhere, 1) > 0
    with pytest.raises(SlowDownError):
        await sign_in.sign_in(db, passwords, "admin", PASSWORD, ELSEWHERE)
    assert await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME)


async def test_names_of_nobody_are_answered_and_slowed_alike(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    said = []
    for name in ("admin", "nobody"):
        said.append([str(await _wrong(db, passwords, ELSEWHERE, name)) for _ in range(5)])
        await _stretch(owner)
        assert isinstance(await _wrong(db, passwords, ELSEWHERE, name), SlowDownError)
    assert said[0] == said[1]


async def test_many_tries_at_once_are_no_way_around(db: Database, begun: SignedIn) -> None:
    counters = [Counter("a key", Pace(free=5, first_seconds=60.0, longest_seconds=300.0))]

    async def taken() -> bool:
        async with db.transaction() as session:
            return all([await tries.take(session, counter) == 0 for counter in counters])

    answers = await asyncio.gather(*(taken() for _ in range(20)))
    assert answers.count(True) == 5


async def test_an_hour_without_a_try_forgets_and_old_tries_go(db: Database, owner: Any) -> None:
    counters = of_password("admin", "203.0.113.9", is_known=False)
    await _count(db, counters, 10)
    await owner.execute("UPDATE sign_in_try SET last_at = now() - interval '61 minutes', free_at = now()")
    assert await _count(db, counters, 2) == 0
    await owner.execute("UPDATE sign_in_try SET last_at = now() - interval '3 hours'")
    await _count(db, of_password("ana", "203.0.113.8", is_known=False), 1)
    assert await owner.fetchval("SELECT count(*) FROM sign_in_try WHERE last_at < now() - interval '1 hour'") == 0


async def test_every_sign_in_stands_in_the_audit_and_names_of_nobody_do_not(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    await owner.execute("DELETE FROM sign_in_try")
    await _wrong(db, passwords, ELSEWHERE)
    await _wrong(db, passwords, ELSEWHERE, "my secret password")
    rows = await owner.fetch(
        "SELECT actor_name, outcome, address FROM audit_entry WHERE action = 'session.begin' ORDER BY id DESC LIMIT 3"
    )
    assert [tuple(row) for row in rows] == [
        ("somebody", "denied", "198.51.100.7"),
        ("admin", "denied", "198.51.100.7"),
        ("admin", "done", "192.0.2.1"),
    ]


# ---- what changes meanwhile ----


class _ChangeMeanwhile(Passwords):
    """Between the comparison and the session, the password is changed elsewhere."""

    def __init__(self, db: Database, token: str) -> None:
        super().__init__()
        self._db = db
        self._token = token

    def is_outdated(self, known: str) -> bool:
        return True

    async def hash(self, password: str) -> str:
        hashed = await super().hash(password)
        if self._token:
            token, self._token = self._token, ""
            await accounts.set_password(self._db, Passwords(), token, OTHER, old_password=PASSWORD, visit=HOME)
        return hashed


async def test_a_sign_in_that_races_with_a_change_of_the_password_does_not_survive_it(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    with pytest.raises(InvalidError):
        await sign_in.sign_in(db, _ChangeMeanwhile(db, begun.token), "admin", PASSWORD, ELSEWHERE)
    assert await owner.fetchval("SELECT count(*) FROM login_session") == 1
    assert await sign_in.sign_in(db, passwords, "admin", OTHER, HOME)


async def test_somebody_disabled_gets_neither_in_nor_on(
    db: Database, owner: Any, passwords: Passwords, begun: SignedIn
) -> None:
    await owner.execute("UPDATE user_account SET disabled_at = now()")
    assert not await _is_signed_in(db, begun.token)
    with pytest.raises(InvalidError) as refused:
        await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME)
    assert str(refused.value) == "Name or password is not right."


# ---- the second factor ----


async def _app(db: Database, keys: Keys, begun: SignedIn) -> tuple[pyotp.TOTP, SignedIn, list[str]]:
    """What an app was told, the session that followed, and the recovery codes."""
    told = await second_factor.begin(db, keys, await accounts.session_of(db, begun.token))
    app = pyotp.TOTP(told.secret)
    renewed, codes = await accounts.add_second_factor(db, keys, begun.token, app.now(), HOME)
    return app, renewed, codes


async def _half(db: Database, passwords: Passwords, visit: Visit = HOME) -> HalfSignedIn:
    half = await sign_in.sign_in(db, passwords, "admin", PASSWORD, visit)
    assert isinstance(half, HalfSignedIn)
    return half


async def _next_step(owner: Any) -> None:
    """As if the codes of now had not been taken yet."""
    await owner.execute("UPDATE second_factor SET last_step = 0")


async def test_a_code_is_asked_for_after_the_password_and_works_once(
    db: Database, owner: Any, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    app, renewed, _ = await _app(db, keys, begun)
    assert [await _is_signed_in(db, one.token) for one in (begun, renewed)] == [False, True]
    half = await _half(db, passwords)
    assert not await _is_signed_in(db, half.token)
    await _next_step(owner)
    code = app.now()
    assert await _is_signed_in(db, (await sign_in.finish(db, keys, half.token, code, HOME)).token)
    half = await _half(db, passwords)
    with pytest.raises(InvalidError):
        await sign_in.finish(db, keys, half.token, code, HOME)


async def test_a_first_code_that_breaks_off_leaves_everything_as_it_was(
    db: Database, owner: Any, keys: Keys, begun: SignedIn
) -> None:
    current = await accounts.session_of(db, begun.token)
    app = pyotp.TOTP((await second_factor.begin(db, keys, current)).secret)
    code = app.now()
    await owner.execute("ALTER TABLE recovery_code ADD CONSTRAINT broken CHECK (false)")
    with pytest.raises(asyncpg.CheckViolationError):
        await accounts.add_second_factor(db, keys, begun.token, code, HOME)
    assert await second_factor.recovery_codes_left(db, begun.user) is None
    assert await _is_signed_in(db, begun.token)

    await owner.execute("ALTER TABLE recovery_code DROP CONSTRAINT broken")
    renewed, codes = await accounts.add_second_factor(db, keys, begun.token, code, HOME)
    assert [await _is_signed_in(db, one.token) for one in (begun, renewed)] == [False, True]
    assert await second_factor.recovery_codes_left(db, begun.user) == len(codes)


async def test_of_twins_with_one_code_one_comes_in(
    db: Database, owner: Any, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    app, _, codes = await _app(db, keys, begun)
    for code in (app.now(), codes[0]):
        await _next_step(owner)
        halves = [await _half(db, passwords) for _ in range(3)]
        answers = await asyncio.gather(
            *(sign_in.finish(db, keys, half.token, code, HOME) for half in halves), return_exceptions=True
        )
        assert sorted(isinstance(answer, SignedIn) for answer in answers) == [False, False, True]


async def test_a_half_sign_in_is_finished_once_and_not_after_a_change_of_the_password(
    db: Database, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    _, renewed, codes = await _app(db, keys, begun)
    half = await _half(db, passwords)
    await sign_in.finish(db, keys, half.token, codes[0], HOME)
    with pytest.raises(SignInRequiredError):
        await sign_in.finish(db, keys, half.token, codes[1], HOME)
    half = await _half(db, passwords)
    await accounts.set_password(db, passwords, renewed.token, OTHER, old_password=PASSWORD, visit=HOME)
    with pytest.raises(SignInRequiredError):
        await sign_in.finish(db, keys, half.token, codes[1], HOME)


async def test_codes_of_the_wrong_time_and_wrong_codes_are_refused_and_slowed(
    db: Database, owner: Any, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    app, _, _ = await _app(db, keys, begun)
    await _next_step(owner)
    half = await _half(db, passwords)
    now = int(datetime.now(UTC).timestamp())
    for code in (app.at(now - 120), app.at(now + 120), "", "nonsense", "١٢٣٤٥٦"):
        with pytest.raises(InvalidError):
            await sign_in.finish(db, keys, half.token, code, HOME)
    await _stretch(owner)
    with pytest.raises(SlowDownError):
        await sign_in.finish(db, keys, half.token, app.now(), HOME)


async def test_recovery_codes_work_once_in_any_spelling_and_new_ones_replace_them(
    db: Database, owner: Any, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    app, _, codes = await _app(db, keys, begun)
    assert len(set(codes)) == 10
    half = await _half(db, passwords)
    signed_in = await sign_in.finish(db, keys, half.token, f" {codes[0].lower().replace('-', '')} ", HOME)
    assert await second_factor.recovery_codes_left(db, begun.user) == 9
    await _next_step(owner)
    newer = await accounts.renew_recovery_codes(db, keys, signed_in.token, app.now(), HOME)
    half = await _half(db, passwords)
    with pytest.raises(InvalidError):
        await sign_in.finish(db, keys, half.token, codes[1], HOME)
    assert await sign_in.finish(db, keys, half.token, newer[0], HOME)


async def test_secrets_of_the_second_factor_are_sealed_and_codes_are_digests(
    db: Database, owner: Any, keys: Keys, begun: SignedIn
) -> None:
    app, _, codes = await _app(db, keys, begun)
    rows = await owner.fetch("SELECT * FROM second_factor"), await owner.fetch("SELECT * FROM recovery_code")
    told = repr(rows) + repr(await owner.fetch("SELECT * FROM audit_entry"))
    assert app.byte_secret() not in rows[0][0]["secret"]
    assert not [secret for secret in (app.secret, *codes) if secret in told]


async def test_a_secret_that_awaits_its_first_code_is_told_to_no_other_session(
    db: Database, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    mine = await accounts.session_of(db, begun.token)
    other = await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME)
    assert isinstance(other, SignedIn)
    told = await second_factor.begin(db, keys, mine)
    assert await second_factor.begun(db, keys, mine) == told
    assert await second_factor.begun(db, keys, await accounts.session_of(db, other.token)) is None


async def test_a_second_factor_is_removed_by_a_code_and_not_replaced_without_one(
    db: Database, owner: Any, passwords: Passwords, keys: Keys, begun: SignedIn
) -> None:
    _, renewed, codes = await _app(db, keys, begun)
    with pytest.raises(ConflictError):
        await second_factor.begin(db, keys, await accounts.session_of(db, renewed.token))
    with pytest.raises(InvalidError):
        await accounts.remove_second_factor(db, keys, renewed.token, "000000", HOME)
    await accounts.remove_second_factor(db, keys, renewed.token, codes[0], HOME)
    assert isinstance(await sign_in.sign_in(db, passwords, "admin", PASSWORD, HOME), SignedIn)
    assert await owner.fetchval("SELECT count(*) FROM recovery_code") == 0


async def test_codes_from_many_addresses_are_slowed_too(db: Database, owner: Any, begun: SignedIn) -> None:
    user_id = begun.user.id
    for at in range(PACES.code.free):
        assert await _count(db, of_code(user_id, f"203.0.113.{at}", is_known=False), 1) == 0
    await _stretch(owner)
    assert await _count(db, of_code(user_id, "203.0.113.99", is_known=False), 1) > 0
    assert await _count(db, of_code(user_id, "192.0.2.1", is_known=True), 1) == 0


# ---- passwords ----


@pytest.mark.parametrize(
    "password",
    [
        "password1234",
        "P@$$w0rd2024",
        "qwertyuiop12",
        "123456789012",
        "aaaaaaaaaaaaaaaa",
        "iloveyouforever",
        "adminadmin12",
    ],
)
async def test_passwords_that_are_tried_first_are_refused(passwords: Passwords, password: str) -> None:
    with pytest.raises(InvalidError, match="tried first"):
        await passwords.require_good(password, about=["admin"])


@pytest.mark.parametrize(
    "password",
    [PASSWORD, OTHER, "kd93 jd02 lwm1 xx", "x7" + "q" * 3 + "äöü ß 漢字かな交じり文", "4@8({[<369!1|0$5+7%2" * 4],
)
async def test_no_composition_is_asked_for(passwords: Passwords, password: str) -> None:
    await passwords.require_good(password)
