"""Webhooks: owed with the change itself, signed, in order, tried for a day, and no more than their maker may read."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.integration.other_side import OtherSide, answer, other_side, silent
from tests.integration.room import SOMEBODY, Room, make_room
from tests.integration.test_tokens import person
from web.domain.access import Actor, Permission, everywhere
from web.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from web.domain.webhooks import DeliveryLimits, DeliveryState, WebhookRequest, seconds_in
from web.outbound import Outbound
from web.runners.webhooks import Deliveries
from web.services import webhooks
from web.services.keys import Keys, open_keys
from web.services.webhooks import NewWebhook, Sending
from web.services.work import recordings
from web.store.database import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
async def side(tmp_path: Path, anyio_backend: str) -> AsyncIterator[OtherSide]:
    async with other_side(tmp_path) as side:
        yield side


@pytest.fixture
async def keys(db: Database, tmp_path: Path) -> Keys:
    return await open_keys(db, tmp_path / "keys")


@pytest.fixture
def sending(db: Database, keys: Keys, side: OtherSide) -> Sending:
    outbound = Outbound([ip_network("127.0.0.0/8")], resolve=side.loopback, ca_file=side.ca_file)
    return Sending(db, keys, outbound, DeliveryLimits(first_pause=3600, jitter=0))


@pytest.fixture
async def room(db: Database) -> Room:
    return await make_room(db)


async def hook(
    sending: Sending, side: OtherSide, *kinds: str, by: Actor = SOMEBODY, name: str = "ticker"
) -> NewWebhook:
    wanted = WebhookRequest(name=name, url=side.url, kinds=list(kinds or ["recording.*"]))
    return await webhooks.make(sending.db, sending.keys, wanted, by=by)


async def sent(sending: Sending, times: int = 1) -> None:
    """What is due is tried, so often."""
    deliveries = Deliveries(sending)
    for _ in range(times):
        await deliveries.tick()
        await asyncio.gather(*deliveries.under_way)


async def states(sending: Sending, made: NewWebhook) -> list[tuple[str, str]]:
    """Oldest first: what was owed, and what became of it."""
    found = await webhooks.deliveries(sending.db, made.webhook.id, by=SOMEBODY, limit=100)
    return [(one.kind, one.state.value) for one in reversed(found)]


async def make_due(owner: Any) -> None:
    await owner.execute("UPDATE webhook_delivery SET due_at = now() - interval '1 s'")


def told(side: OtherSide) -> list[str]:
    return [json.loads(one.body)["type"] for one in side.received]


async def test_life_of_a_recording_is_told_in_its_order(sending: Sending, side: OtherSide, room: Room) -> None:
    made = await hook(sending, side)
    job = await room.claimed()
    await room.heartbeat(job)
    await recordings.stop_recording(room.db, job.recording_id, by=SOMEBODY)
    cache_file = await room.open_file(job)
    await room.seal(job, cache_file)

    await sent(sending, times=4)

    assert told(side) == ["recording.queued", "recording.started", "recording.completed"]
    assert {state for _, state in await states(sending, made)} == {"delivered"}
    last = json.loads(side.received[-1].body)
    assert (last["data"]["id"], last["data"]["state"]) == (str(job.recording_id), "completed")
    assert datetime.fromisoformat(last["timestamp"]).tzinfo is not None


async def test_every_delivery_is_signed_with_the_secret_that_was_shown(
    sending: Sending, side: OtherSide, room: Room, owner: Any
) -> None:
    made = await hook(sending, side)
    await room.start()
    await sent(sending)

    [received] = side.received
    name, timestamp = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    secret = base64.b64decode(made.secret.removeprefix("whsec_"))
    signed = hmac.new(secret, f"{name}.{timestamp}.".encode() + received.body, hashlib.sha256).digest()
    assert received.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert abs(int(timestamp) - datetime.now(UTC).timestamp()) < 3600
    assert len(secret) == 32
    assert secret not in (await owner.fetchval("SELECT secret FROM webhook"))


async def test_what_is_not_asked_for_is_not_owed(sending: Sending, side: OtherSide, room: Room) -> None:
    made = await hook(sending, side, "recording.failed", "health.*")
    job = await room.claimed()
    await room.finish(job)
    await sent(sending, times=3)
    assert {kind for kind, _ in await states(sending, made)} <= {"recording.failed", "health.opened"}
    assert "recording.failed" in told(side)


async def test_change_that_is_undone_owes_nothing(sending: Sending, side: OtherSide, room: Room) -> None:
    made = await hook(sending, side)

    async def undone() -> None:
        async with room.db.as_one() as db:
            await replace(room, db=db).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await undone()
    assert await states(sending, made) == []


async def test_failed_delivery_keeps_the_later_ones_of_its_object_waiting_and_no_others(
    sending: Sending, side: OtherSide, room: Room, owner: Any
) -> None:
    side.answers = [answer(500), answer(200)]
    made = await hook(sending, side)
    first = await room.start(name="First")
    await sent(sending)
    await recordings.cancel_recording(room.db, first.id, by=SOMEBODY)
    await room.start(name="Second")

    await sent(sending, times=2)
    assert await states(sending, made) == [
        ("recording.queued", "waiting"),
        ("recording.cancelled", "waiting"),
        ("recording.queued", "delivered"),
    ]

    await make_due(owner)
    await sent(sending, times=2)
    assert told(side)[-2:] == ["recording.queued", "recording.cancelled"]
    assert side.received[0].headers["webhook-id"] == side.received[2].headers["webhook-id"]
    assert side.received[0].body == side.received[2].body


async def test_what_a_controller_claimed_that_died_is_sent_by_another(
    sending: Sending, side: OtherSide, room: Room, owner: Any
) -> None:
    side.answers = [silent, answer(200)]
    made = await hook(sending, side)
    await room.start()
    dying = Deliveries(sending)
    await dying.tick()
    await side.has_received(1)
    await dying.stop()

    await sent(sending)
    assert len(side.received) == 1
    await owner.execute("UPDATE webhook_delivery SET claimed_until = now()")
    await sent(sending)

    assert len(side.received) == 2
    assert await states(sending, made) == [("recording.queued", "delivered")]


async def test_two_controllers_send_each_delivery_once(sending: Sending, side: OtherSide, room: Room) -> None:
    await hook(sending, side)
    for number in range(3):
        await room.start(name=f"Number {number}")
    await asyncio.gather(*(sent(sending, times=3) for _ in range(3)))
    assert len(side.received) == len({one.headers["webhook-id"] for one in side.received}) == 3


async def test_longest_of_pause_and_retry_after_is_waited(
    sending: Sending, side: OtherSide, room: Room, owner: Any
) -> None:
    side.answers = [answer(429, Retry_After="7200"), answer(503, Retry_After="5")]
    await hook(sending, side)
    await room.start()

    waits = []
    for _ in range(2):
        await sent(sending)
        waits.append(await owner.fetchval("SELECT extract(epoch FROM due_at - now()) FROM webhook_delivery"))
        await make_due(owner)

    assert [round(float(wait) / 3600) for wait in waits] == [2, 1]


async def test_delivery_is_given_up_after_a_day(sending: Sending, side: OtherSide, room: Room, owner: Any) -> None:
    side.answers = [answer(500)]
    made = await hook(sending, side)
    await room.start()
    await sent(sending)
    await owner.execute("UPDATE webhook_delivery SET due_at = now(), first_due_at = now() - interval '24 h'")
    await sent(sending)
    [delivery] = await webhooks.deliveries(sending.db, made.webhook.id, by=SOMEBODY, limit=9)
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DeliveryState.FAILED, 2, 500)
    assert delivery.last_error == "It answered 500."

    side.answers = [answer(200)]
    await webhooks.deliver_again(sending.db, made.webhook.id, delivery.id, by=SOMEBODY)
    await sent(sending)

    assert await states(sending, made) == [("recording.queued", "delivered")]
    assert len({one.headers["webhook-id"] for one in side.received}) == 1


async def test_webhook_that_takes_nothing_for_days_is_disabled_with_an_event(
    sending: Sending, side: OtherSide, room: Room, owner: Any
) -> None:
    side.answers = [answer(302, Location="https://127.0.0.1/")]
    made = await hook(sending, side)
    await room.start()
    await sent(sending)
    await owner.execute("UPDATE webhook SET failing_since = now() - interval '73 h'")
    await make_due(owner)
    await sent(sending)

    found = await webhooks.get(sending.db, made.webhook.id, by=SOMEBODY)
    assert (found.is_enabled, found.trouble) == (False, "it has taken nothing for 72 hours.")
    assert await owner.fetchval("SELECT message FROM health_event WHERE kind = 'webhook_disabled'")
    await room.start(name="Not told")
    assert len(await states(sending, made)) == 1
    with pytest.raises(ConflictError):
        await webhooks.try_out(sending.db, made.webhook.id, by=SOMEBODY)

    side.answers = [answer(200)]
    assert (await webhooks.enable(sending.db, made.webhook.id, by=SOMEBODY)).failing_since is None
    await sent(sending)
    assert await states(sending, made) == [("recording.queued", "delivered")]


async def test_answer_of_410_disables_at_once(sending: Sending, side: OtherSide, room: Room) -> None:
    side.answers = [answer(410)]
    made = await hook(sending, side)
    await room.start()
    await sent(sending)
    assert not (await webhooks.get(sending.db, made.webhook.id, by=SOMEBODY)).is_enabled
    assert await states(sending, made) == [("recording.queued", "failed")]


async def test_nobody_hears_of_what_he_may_not_read(sending: Sending, side: OtherSide, room: Room, owner: Any) -> None:
    elsewhere = await make_room(room.db, "Elsewhere")
    ana = await person(owner, "ANA", "viewer", everywhere(), node_id=room.node.node_id)
    made = await hook(sending, side, by=ana)
    await room.start(name="Hers")
    await elsewhere.start(name="Not hers")
    await sent(sending)
    assert [json.loads(one.body)["data"]["name"] for one in side.received] == ["Hers"]

    await owner.execute("UPDATE user_account SET disabled_at = now() WHERE id = $1", ana.id)
    await room.start(name="Too late")
    await sent(sending)

    assert len(side.received) == 1
    assert [state for _, state in await states(sending, made)] == ["delivered", "dropped", "dropped"]


async def test_only_who_sets_things_and_reads_the_events_makes_one(sending: Sending, side: OtherSide) -> None:
    for lacking in (Permission.SETTINGS_EDIT, Permission.RECORDING_READ):
        ana = Actor("user", None, "ANA", everywhere(set(Permission) - {lacking}))
        with pytest.raises(ForbiddenError) as refused:
            await hook(sending, side, by=ana)
        assert refused.value.permission == lacking
    with pytest.raises(InvalidError):
        await webhooks.make(
            sending.db,
            sending.keys,
            WebhookRequest(name="x", url="http://example.org/", kinds=["health.*"]),
            by=SOMEBODY,
        )
    await hook(sending, side)
    with pytest.raises(ConflictError):
        await hook(sending, side)


async def test_audit_holds_no_path_of_an_address_but_that_it_changed(
    sending: Sending, side: OtherSide, owner: Any
) -> None:
    made = await hook(sending, side)
    changed = WebhookRequest(name=made.webhook.name, url=f"{side.url}/pass-word?key=pass-word", kinds=["recording.*"])
    await webhooks.change(sending.db, made.webhook.id, changed, by=SOMEBODY)
    await webhooks.remove(sending.db, made.webhook.id, by=SOMEBODY)
    rows = await owner.fetch("SELECT before, after FROM audit_entry WHERE action LIKE 'webhook.%' ORDER BY id")
    assert "pass-word" not in repr(rows)
    before, after = (json.loads(rows[1][column])["url"] for column in ("before", "after"))
    assert before != after
    assert before.split("/")[:3] == after.split("/")[:3] == side.url.split("/")[:3]


async def test_test_is_delivered_like_everything_else(sending: Sending, side: OtherSide) -> None:
    made = await hook(sending, side)
    await webhooks.try_out(sending.db, made.webhook.id, by=SOMEBODY)
    await sent(sending)
    assert told(side) == ["webhook.test"]
    assert json.loads(side.received[0].body)["data"] == {"asked_by": "test"}


async def test_new_secret_signs_what_comes(sending: Sending, side: OtherSide, room: Room) -> None:
    made = await hook(sending, side)
    renewed = await webhooks.renew_secret(sending.db, sending.keys, made.webhook.id, by=SOMEBODY)
    await room.start()
    await sent(sending)
    [received] = side.received
    name, timestamp = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    signed = hmac.new(
        base64.b64decode(renewed.secret.removeprefix("whsec_")),
        f"{name}.{timestamp}.".encode() + received.body,
        hashlib.sha256,
    )
    assert received.headers["webhook-signature"] == f"v1,{base64.b64encode(signed.digest()).decode()}"
    assert renewed.secret != made.secret


async def test_removed_webhook_is_owed_nothing(sending: Sending, side: OtherSide, room: Room) -> None:
    made = await hook(sending, side)
    await room.start()
    await webhooks.remove(sending.db, made.webhook.id, by=SOMEBODY)
    await sent(sending)
    assert side.received == []
    with pytest.raises(NotFoundError):
        await webhooks.get(sending.db, made.webhook.id, by=SOMEBODY)


async def test_one_that_hangs_keeps_no_other_waiting(sending: Sending, side: OtherSide, room: Room) -> None:
    side.answers = [silent]
    await hook(sending, side, name="hangs")
    for number in range(3):
        await room.start(name=f"Number {number}")
    deliveries = Deliveries(sending)
    await deliveries.tick()
    await side.has_received(2)
    side.answers = [answer(200)]
    well = await hook(sending, side, "health.*", name="well")
    await webhooks.try_out(sending.db, well.webhook.id, by=SOMEBODY)

    await deliveries.tick()

    await side.has_received(3)
    assert told(side) == ["recording.queued", "recording.queued", "webhook.test"]
    await deliveries.stop()


def test_pauses_grow_to_an_hour_with_jitter() -> None:
    limits = DeliveryLimits()
    assert [limits.pause(attempts, 0) for attempts in (1, 2, 3, 20, 10_000)] == [5, 10, 20, 3600, 3600]
    assert (limits.pause(1, -1), limits.pause(1, 1)) == (4, 6)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert seconds_in(text, datetime(2026, 11, 20, 12, tzinfo=UTC)) == seconds
