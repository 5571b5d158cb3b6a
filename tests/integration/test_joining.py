"""Nodes join by a code that works once; people and programs by tokens of which only a digest is kept."""

from typing import Any

import pytest

from protocol.messages import CaptureFormat, EnrolRequest
from tests.integration.room import COUNTER, SOMEBODY, WIDE, inventory, make_room
from web.domain.access import EVERYTHING, Actor, Permission, Scope, everywhere, within
from web.domain.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, UnauthorisedError
from web.services.entry import tokens
from web.services.recorders import joining, nodes
from web.store import nodes as node_store
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_a_code_makes_one_node(db: Database) -> None:
    code = await joining.create_enrolment_code(db, "Court", by=SOMEBODY)
    request = EnrolRequest(code=code.code, version="1.0")
    answer = await joining.enrol(db, request)
    assert answer.name == "Court"
    assert (await joining.authenticate_node(db, answer.token)).node_id == answer.node_id
    with pytest.raises(UnauthorisedError):
        await joining.enrol(db, request)


async def test_a_lost_answer_is_given_again_to_who_keeps_the_secret_and_to_nobody_else(db: Database) -> None:
    code = (await joining.create_enrolment_code(db, "Court", by=SOMEBODY)).code
    request = EnrolRequest(code=code, version="1.0", secret="ab" * 32)
    answer = await joining.enrol(db, request)
    assert await joining.enrol(db, request) == answer
    assert (await joining.authenticate_node(db, answer.token)).node_id == answer.node_id
    for secret in (None, "cd" * 32):
        with pytest.raises(UnauthorisedError):
            await joining.enrol(db, EnrolRequest(code=code, version="1.0", secret=secret))
    with pytest.raises(UnauthorisedError):
        await joining.enrol(db, EnrolRequest(code=code + "x", version="1.0", secret="ab" * 32))


async def test_a_code_that_is_too_old_makes_none(db: Database, owner: Any) -> None:
    code = await joining.create_enrolment_code(db, "Court", by=SOMEBODY)
    await owner.execute("UPDATE enrolment_code SET expires_at = clock_timestamp()")
    with pytest.raises(UnauthorisedError):
        await joining.enrol(db, EnrolRequest(code=code.code, version="1.0"))


async def test_a_name_is_given_once(db: Database) -> None:
    first, second = [await joining.create_enrolment_code(db, "Court", by=SOMEBODY) for _ in range(2)]
    await joining.enrol(db, EnrolRequest(code=first.code, version="1.0"))
    with pytest.raises(ConflictError):
        await joining.enrol(db, EnrolRequest(code=second.code, version="1.0"))
    with pytest.raises(ConflictError):
        await joining.create_enrolment_code(db, "Court", by=SOMEBODY)


@pytest.mark.parametrize("token", ["", "rkn_", "rkn_00_x", "rkn_00000000000070008000000000000000_guess", "rku_1_x"])
async def test_a_token_that_was_never_given_is_refused(db: Database, token: str) -> None:
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, token)
    with pytest.raises(UnauthorisedError):
        await tokens.authenticate(db, token)


async def test_a_changed_secret_is_refused(db: Database) -> None:
    room = await make_room(db)
    token = await tokens.create_token(db, "script", by=SOMEBODY)
    with pytest.raises(UnauthorisedError):
        await joining.authenticate_node(db, room.token + "x")
    with pytest.raises(UnauthorisedError):
        await tokens.authenticate(db, token[:-1])


async def test_a_token_is_an_actor_and_only_its_digest_is_kept(db: Database, owner: Any) -> None:
    token = await tokens.create_token(db, "script", by=SOMEBODY)
    actor = await tokens.authenticate(db, token)
    assert (actor.kind, actor.name, actor.recordings) == ("token", "script", EVERYTHING)
    assert token not in repr(await owner.fetch("SELECT * FROM access_token"))


async def test_inventory_keeps_what_people_set_and_marks_what_is_gone(db: Database) -> None:
    room = await make_room(db)
    wide = CaptureFormat(channels=32, sample_rate_hz=48_000, sample_type="s32")
    await nodes.set_capture_format(db, room.node.node_id, WIDE, wide, by=SOMEBODY)
    await nodes.prefer_interface(db, room.node.node_id, WIDE, by=SOMEBODY)

    await nodes.update_inventory(db, inventory(room.node_run, ("counter",)), node=room.node)

    found = {one.ref: one for one in await node_store.interfaces_of(db, room.node.node_id, scope=EVERYTHING)}
    assert (found[COUNTER].is_present, found[WIDE].is_present) == (True, False)
    assert (found[WIDE].capture, found[WIDE].is_preferred) == (wide, True)
    await nodes.update_inventory(db, inventory(room.node_run), node=room.node)
    await nodes.set_capture_format(db, room.node.node_id, WIDE, None, by=SOMEBODY)
    found = {one.ref: one for one in await node_store.interfaces_of(db, room.node.node_id, scope=EVERYTHING)}
    assert (found[WIDE].is_present, found[WIDE].capture.channels) == (True, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channels": 33}, "channels"),
        ({"sample_rate_hz": 44_100}, "sample_rate_hz"),
        ({"sample_type": "f32"}, "sample_type"),
    ],
)
async def test_a_format_that_the_input_cannot_do_is_refused(db: Database, changes: dict[str, Any], field: str) -> None:
    room = await make_room(db)
    wanted = CaptureFormat(**{"channels": 2, "sample_rate_hz": 48_000, "sample_type": "s16", **changes})
    with pytest.raises(InvalidError) as refused:
        await nodes.set_capture_format(db, room.node.node_id, WIDE, wanted, by=SOMEBODY)
    assert refused.value.field == field


async def test_settings_of_nodes_need_the_permission_and_the_scope(db: Database) -> None:
    here, there = await make_room(db, "Here"), await make_room(db, "There")
    viewer = Actor("user", None, "viewer", everywhere(frozenset({Permission.NODE_READ})))
    with pytest.raises(ForbiddenError):
        await nodes.set_capacity(db, here.node.node_id, 9, by=viewer)
    clerk = Actor("user", None, "clerk", within(Scope(nodes=frozenset({there.node.node_id}))))
    with pytest.raises(NotFoundError):
        await nodes.set_capacity(db, here.node.node_id, 9, by=clerk)
    with pytest.raises(ForbiddenError):
        await joining.create_enrolment_code(db, "More", by=viewer)
    with pytest.raises(ForbiddenError):
        await tokens.create_token(db, "more", by=viewer)
    found = await node_store.by_name(db, scope=clerk.nodes, seen_within=30)
    assert [(node.name, node.capacity) for node in found] == [("There", 3)]
