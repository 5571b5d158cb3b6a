"""What is refused is on the record, and a flood of refusals is a number."""

import httpx
import pytest

from protocol.ids import new_id, new_token
from tests.integration.room import make_room
from tests.integration.web_room import Running, WebAgent
from web.domain.access import Actor, Permission, Source, system
from web.domain.audit import AuditLimits, Budget, Entry, Filter, Outcome
from web.domain.tokens import TokenRequest
from web.services.auditing.denials import Denials
from web.services.entry import tokens
from web.store import audit as stored
from web.store.database import Database

pytestmark = pytest.mark.anyio


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def somebody(name: str = "MALLORY", address: str = "203.0.113.9") -> Actor:
    return Actor("user", new_id(), name, {}, Source(address))


async def denied(db: Database) -> list[Entry]:
    """Oldest first."""
    return (await stored.matching(db, Filter(outcome=Outcome.DENIED), limit=1_000))[::-1]


async def left_out(db: Database) -> list[tuple[object, object]]:
    entries = (await stored.matching(db, Filter(action="audit.leave_out"), limit=1_000))[::-1]
    return [(entry.after["actor"], entry.after["left_out"]) for entry in entries if entry.after]


async def limited(url: str, db: Database, **wanted: object) -> httpx.AsyncClient:
    """A program that may only so much."""
    request = TokenRequest.model_validate({"name": "limited", "days": 1, **wanted})
    made = await tokens.make(db, request, by=system("test"))
    return httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {made.secret}"}, trust_env=False)


async def test_a_refused_act_is_on_record_with_what_was_missing(
    controller: Running, agent: WebAgent, db: Database
) -> None:
    job = await agent.room.claimed(name="Council")
    async with await limited(controller.url, db, permissions=[Permission.RECORDING_READ]) as client:
        answer = await client.post(f"/api/v1/recordings/{job.recording_id}/stop")
    assert answer.status_code == 403
    (entry,) = await denied(db)
    assert (entry.action, entry.actor_kind, entry.source.address) == ("recording.control", "token", "127.0.0.1")
    assert entry.of is not None
    assert (entry.of.kind, entry.of.id, entry.of.name) == ("recording", job.recording_id, "Council")
    assert entry.after == {"request": "POST /recordings/{recording_id}/stop"}
    assert "recording:control" in str(entry.reason)


async def test_reaching_outside_the_own_scope_is_on_record_and_what_never_was_is_not(
    controller: Running, agent: WebAgent, db: Database
) -> None:
    elsewhere = await make_room(db, "Court")
    job = await agent.room.claimed(name="Council")
    by = {"permissions": [Permission.RECORDING_READ, Permission.NODE_READ], "node_ids": [str(elsewhere.node.node_id)]}
    async with await limited(controller.url, db, **by) as client:
        for recording_id in (new_id(), job.recording_id):
            assert (await client.get(f"/api/v1/recordings/{recording_id}")).status_code == 404
    (entry,) = await denied(db)
    assert (entry.action, entry.of and entry.of.name) == ("recording.read", "Council")


async def test_a_token_that_is_not_good_is_on_record_without_its_secret(controller: Running, db: Database) -> None:
    token_id = new_id()
    secret = new_token("user", token_id)
    async with httpx.AsyncClient(base_url=controller.url, trust_env=False) as client:
        await client.get("/api/v1/recordings", headers={"Authorization": f"Bearer {secret}"})
        await client.post("/api/agent/v1/heartbeat", headers={"Authorization": "Bearer nonsense"})
    api, node = await denied(db)
    assert (api.action, api.actor_name) == ("token.authenticate", f"token {token_id}")
    assert (node.action, node.actor_name, node.after) == (
        "node.authenticate",
        "somebody",
        {"request": "POST /heartbeat"},
    )
    assert secret.rpartition("_")[2] not in repr((api, node))


async def test_beyond_a_rate_refusals_are_counted_for_each_actor_and_address(db: Database) -> None:
    clock = Clock()
    denials = Denials(db, AuditLimits(denials=Budget(3, 60.0)), clock)
    for who in (somebody(), somebody(address="203.0.113.10"), somebody("ANA")):
        for _ in range(5):
            await denials.note(who, "recording.control", reason="no")
    assert len(await denied(db)) == 9
    await denials.tick()
    assert await left_out(db) == []
    clock.seconds += 60
    await denials.tick()
    assert await left_out(db) == [("MALLORY", 2), ("MALLORY", 2), ("ANA", 2)]
    await denials.note(somebody(), "recording.control", reason="no")
    assert len(await denied(db)) == 10


async def test_a_scan_from_everywhere_is_bounded_in_rows_and_memory(db: Database) -> None:
    clock = Clock()
    denials = Denials(db, AuditLimits(denials_together=Budget(10, 60.0)), clock)
    for number in range(200):
        await denials.note(somebody(address=f"2001:db8::{number:x}"), "recording.control", reason="no")
    clock.seconds += 60
    await denials.tick()
    assert len(await denied(db)) == 10
    counted = await left_out(db)
    assert sum(int(str(number)) for _, number in counted) == 190
    assert len(counted) <= 12
    await denials.tick()
    assert await left_out(db) == counted


async def test_a_request_that_another_page_had_sent_is_on_record_without_its_path(
    visitor: httpx.AsyncClient, db: Database
) -> None:
    answer = await visitor.post("/welcome/secret", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    (entry,) = await denied(db)
    assert (entry.action, entry.source.address, entry.after) == (
        "request.forge",
        "127.0.0.1",
        {"request": "POST /welcome/…"},
    )
