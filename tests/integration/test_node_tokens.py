"""The tokens of a node follow one another; who has an older one is refused, and told of."""

from datetime import timedelta
from typing import Any

import pytest

from protocol.ids import new_token, token_digest
from protocol.messages import CertificateRequest, EnrolRequest, Origin, Phase, RunRequest, TokenRequest
from tests.integration.room import SOMEBODY, Room, make_room
from web.domain.access import EVERYTHING, Actor, Permission, Source, everywhere
from web.domain.errors import (
    ForbiddenError,
    InvalidError,
    NodeRunSupersededError,
    TokenExpiredError,
    UnauthorisedError,
)
from web.services.recorders import joining, node_life, nodes
from web.store import health_events
from web.store.database import Database

pytestmark = pytest.mark.anyio

AT_ONCE = "UPDATE node_token SET ended_at = ended_at - interval '1 hour' WHERE ended_at IS NOT NULL"


async def exchanged(db: Database, room: Room) -> str:
    """The node's next token, told but not used yet."""
    made = new_token("node", room.node.node_id)
    held = await joining.hold_token(db, room.token)
    await joining.rotate_token(db, held, TokenRequest(digest=token_digest(made)))
    return made


async def aged(owner: Any, by: timedelta) -> None:
    await owner.execute("UPDATE node_token SET renew_at = renew_at - $1::interval, expires_at = expires_at - $1", by)


async def kinds_told(db: Database) -> list[str]:
    return [event.kind for event in await health_events.latest(db, scope=EVERYTHING)]


async def test_a_token_is_good_until_the_next_one_is_used_first(db: Database) -> None:
    room = await make_room(db)
    made = await exchanged(db, room)
    assert (await joining.authenticate_node(db, room.token)).node_id == room.node.node_id
    assert (await joining.authenticate_node(db, made)).name == "Town hall"
    assert (await joining.authenticate_node(db, made)).name == "Town hall"
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, room.token)


async def test_the_same_next_token_told_twice_is_one_and_nothing_but_its_digest_is_kept(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    made = new_token("node", room.node.node_id)
    for _ in range(2):
        held = await joining.hold_token(db, room.token)
        await joining.rotate_token(db, held, TokenRequest(digest=token_digest(made)))
    assert len(await joining.tokens_of(db, room.node.node_id, by=SOMEBODY)) == 2
    kept = repr(await owner.fetch("SELECT * FROM node_token")) + repr(await owner.fetch("SELECT * FROM audit_entry"))
    assert token_digest(made) in kept
    assert made not in kept
    assert room.token not in kept


async def test_an_agent_is_asked_for_another_token_at_half_of_its_life_and_when_somebody_wants_it(
    db: Database, owner: Any
) -> None:
    room = await make_room(db)
    assert not (await room.heartbeat()).rotate_token
    await aged(owner, timedelta(hours=12, minutes=1))
    assert (await room.heartbeat()).rotate_token
    await exchanged(db, room)
    assert not (await room.heartbeat()).rotate_token
    await joining.ask_for_rotation(db, room.node.node_id, by=SOMEBODY)
    assert (await room.heartbeat()).rotate_token


async def test_a_token_that_ran_out_is_good_for_another_one_for_thirty_days_only(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await aged(owner, timedelta(days=1))
    with pytest.raises(TokenExpiredError):
        await joining.authenticate_node(db, room.token)
    assert (await joining.authenticate_node(db, await exchanged(db, room))).node_id == room.node.node_id
    late = await make_room(db, "Late")
    await aged(owner, timedelta(days=31))
    for ask in (joining.hold_token, joining.authenticate_node):
        with pytest.raises(UnauthorisedError, match="Join again"):
            await ask(db, late.token)


async def test_a_revoked_token_is_good_for_nothing_at_once(db: Database) -> None:
    room = await make_room(db)
    made = await exchanged(db, room)
    held = await joining.hold_token(db, room.token)
    await joining.revoke_tokens(db, room.node.node_id, by=SOMEBODY)
    for token in (room.token, made):
        with pytest.raises(UnauthorisedError):
            await joining.authenticate_node(db, token)
    with pytest.raises(UnauthorisedError):
        await joining.rotate_token(db, held, TokenRequest(digest=token_digest(made)))
    assert await joining.tokens_of(db, room.node.node_id, by=SOMEBODY) == []


async def test_a_node_that_joins_again_keeps_what_it_is_and_fences_whoever_ran_as_it(db: Database, owner: Any) -> None:
    room = await make_room(db)
    job = await room.claimed()
    await room.heartbeat(job, phase=Phase.CAPTURING)
    code = await joining.create_rejoin_code(db, room.node.node_id, by=SOMEBODY)
    await room.heartbeat(job)
    request = EnrolRequest(code=code.code, version="2", secret="ab" * 32)
    answer = await joining.enrol(db, request)
    assert await joining.enrol(db, request) == answer
    assert (answer.node_id, answer.name, answer.node_run) == (room.node.node_id, "Town hall", room.node_run + 1)

    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, room.token)
    with pytest.raises(NodeRunSupersededError):
        await room.heartbeat(job)
    again = await joining.authenticate_node(db, answer.token)
    run = await nodes.begin_run(db, RunRequest(previous_run=answer.node_run, version="2"), node=again)
    assert [one.job_id for one in run.jobs] == [job.job_id]
    new = Room(db, again, answer.token, run.node_run)
    cache_file = await new.open_file(job)
    await new.seal(job, cache_file, new.sealing(job, origin=Origin.NORMAL))
    assert await kinds_told(db) == ["node_run_superseded"]


async def test_a_copy_of_the_folder_of_a_node_is_refused_and_raises_one_alarm(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await joining.authenticate_node(db, await exchanged(db, room))
    for is_late in (False, True, True):
        if is_late:
            await owner.execute(AT_ONCE)
        with pytest.raises(UnauthorisedError):
            await joining.hold_token(db, room.token)
        assert await kinds_told(db) == (["old_token_used"] if is_late else [])


async def test_a_code_works_from_its_addresses_only_and_is_not_used_up_from_elsewhere(db: Database) -> None:
    code = (await joining.create_enrolment_code(db, "Hall", address_range="192.0.2.0/24", by=SOMEBODY)).code
    request = EnrolRequest(code=code, version="1")
    for address in ("198.51.100.7", "nonsense", None):
        with pytest.raises(UnauthorisedError, match=r"from 192\.0\.2\.0/24 only"):
            await joining.enrol(db, request, source=Source(address))
    assert (await joining.enrol(db, request, source=Source("192.0.2.7"))).name == "Hall"


@pytest.mark.parametrize("act", [joining.tokens_of, joining.ask_for_rotation, joining.revoke_tokens])
async def test_tokens_need_the_permission_to_control_the_node(db: Database, act: Any) -> None:
    room = await make_room(db)
    reader = Actor("user", None, "ANA", everywhere({Permission.NODE_READ, Permission.NODE_EDIT}))
    with pytest.raises(ForbiddenError):
        await act(db, room.node.node_id, by=reader)
    with pytest.raises(ForbiddenError):
        await joining.create_rejoin_code(db, room.node.node_id, by=reader)
    assert (await joining.authenticate_node(db, room.token)).node_id == room.node.node_id


async def test_a_removed_node_is_refused_and_its_name_is_free(db: Database, owner: Any) -> None:
    room = await make_room(db)
    await owner.execute("UPDATE node SET is_draining = true")
    code = await joining.create_rejoin_code(db, room.node.node_id, by=SOMEBODY)
    await node_life.remove(db, room.node.node_id, by=SOMEBODY)
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, room.token)
    with pytest.raises(UnauthorisedError):
        await joining.enrol(db, EnrolRequest(code=code.code, version="1"))
    assert (await make_room(db)).node.node_id != room.node.node_id


# ---- certificates ----


async def joined_with(db: Database, certificate: str | None) -> str:
    """The token of a node that showed this certificate when it joined."""
    code = await joining.create_enrolment_code(db, "Hall", by=SOMEBODY)
    request = EnrolRequest(code=code.code, version="1.0")
    return (await joining.enrol(db, request, source=Source(certificate=certificate))).token


async def test_a_token_is_refused_on_the_certificate_of_another_node(db: Database) -> None:
    own, other = Source(certificate="aa" * 32), Source(certificate="bb" * 32)
    token = await joined_with(db, own.certificate)
    node = await joining.authenticate_node(db, token, source=own)
    for look_up in (joining.authenticate_node, joining.hold_token):
        with pytest.raises(UnauthorisedError, match="not its certificate"):
            await look_up(db, token, source=other)
    assert (await joining.authenticate_node(db, token, source=Source())).node_id == node.node_id  # nobody asks for any
    again = await joining.create_rejoin_code(db, node.node_id, by=SOMEBODY)
    answer = await joining.enrol(db, EnrolRequest(code=again.code, version="1.0"), source=other)
    assert (await joining.authenticate_node(db, answer.token, source=other)).node_id == node.node_id
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, answer.token, source=own)


async def test_a_node_announces_its_next_certificate_and_the_first_use_ends_the_one_before(
    db: Database, owner: Any
) -> None:
    first, second = Source(certificate="aa" * 32), Source(certificate="bb" * 32)
    token = await joined_with(db, None)  # bound by its first announcement
    wanted = CertificateRequest(sha256="bb" * 32)
    with pytest.raises(InvalidError):
        await joining.announce_certificate(db, wanted, node=await joining.authenticate_node(db, token))
    for _ in range(2):
        node = await joining.authenticate_node(db, token, source=first)
        await joining.announce_certificate(db, wanted, node=node)
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, token, source=Source(certificate="cc" * 32))
    for _ in range(2):
        await joining.authenticate_node(db, token, source=second)
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, token, source=first)
    found = await joining.certificates_of(db, node.node_id, by=SOMEBODY)
    assert (found.certificate, found.next_certificate) == ("bb" * 32, None)
    noted = await owner.fetch("SELECT action FROM audit_entry WHERE action LIKE '%certificate' ORDER BY id")
    assert [row["action"] for row in noted] == ["node.announce_certificate", "node.take_up_certificate"]
