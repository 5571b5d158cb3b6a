"""A node that drains takes on nothing new; groups on which rights hang are filled by who may give rights."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.ids import new_id
from protocol.messages import Phase
from tests.integration.actors import somebody_who_holds
from tests.integration.room import COUNTER, SOMEBODY, make_room
from web.domain.access import ALL_PERMISSIONS, Permission, everywhere
from web.domain.errors import ConflictError, ForbiddenError, NodeDrainingError
from web.services.recorders import node_groups, node_life, nodes
from web.services.work import retry
from web.store import nodes as stored_nodes
from web.store.database import Database

pytestmark = pytest.mark.anyio


async def test_a_node_that_drains_goes_on_with_what_runs_and_takes_on_nothing_new(db: Database) -> None:
    room = await make_room(db)
    await nodes.arm_interface(db, room.node.node_id, COUNTER, 60, by=SOMEBODY)
    running = await room.claimed(name="Runs")
    await room.heartbeat(running, phase=Phase.CAPTURING)
    await room.start(name="Waits")
    await node_life.drain(db, room.node.node_id, by=SOMEBODY)

    assert await room.claim() is None
    with pytest.raises(NodeDrainingError, match="Town hall drains"):
        await room.start(name="Late")
    answer = await room.heartbeat(running)
    assert (answer.armed, answer.jobs[0].standing) == ([], "renewed")
    await room.finish(running)
    with pytest.raises(NodeDrainingError):
        await retry.retry_recording(db, running.recording_id, by=SOMEBODY)

    await node_life.end_drain(db, room.node.node_id, by=SOMEBODY)
    waiting = await room.claim()
    assert waiting is not None
    assert (await room.heartbeat()).armed


async def test_a_node_is_removed_only_when_it_drains_and_owes_nothing(db: Database) -> None:
    room = await make_room(db)
    with pytest.raises(ConflictError, match="set it to drain first"):
        await node_life.remove(db, room.node.node_id, by=SOMEBODY)
    job = await room.claimed()
    await node_life.drain(db, room.node.node_id, by=SOMEBODY)
    with pytest.raises(ConflictError, match="still owes 1 recording"):
        await node_life.remove(db, room.node.node_id, by=SOMEBODY)
    await room.finish(job)
    await node_life.remove(db, room.node.node_id, by=SOMEBODY)
    assert await stored_nodes.by_name(db, scope=SOMEBODY.nodes, seen_within=30) == []


async def test_a_group_on_which_rights_hang_is_filled_only_by_who_may_give_rights(db: Database, owner: Any) -> None:
    room = await make_room(db)
    manager = await somebody_who_holds(owner, "ANA", everywhere(ALL_PERMISSIONS - {Permission.USER_EDIT}))
    group_id = await node_groups.create(db, "Court", by=manager)
    await node_groups.change(db, group_id, node_ids=[room.node.node_id], by=manager)
    user_id = new_id()
    await owner.execute("INSERT INTO user_account (id, name) VALUES ($1, 'BEN')", user_id)
    await owner.execute(
        "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_group_id, created_by) "
        "SELECT gen_random_uuid(), $1, id, 'allow', 'node_group', $2, 'test' FROM role WHERE name = 'viewer'",
        user_id,
        group_id,
    )
    for act in (
        node_groups.change(db, group_id, node_ids=[], by=manager),
        node_groups.remove(db, group_id, by=manager),
    ):
        with pytest.raises(ForbiddenError, match="user:edit"):
            await act
    with pytest.raises(ConflictError, match="Rights hang"):
        await node_groups.remove(db, group_id, by=SOMEBODY)
    await node_groups.change(db, group_id, node_ids=[], by=SOMEBODY)
    (group,) = await node_groups.all_groups(db, by=SOMEBODY)
    assert (group.node_ids, group.gives_rights) == (frozenset(), True)


async def test_each_act_on_a_node_needs_its_permission(db: Database) -> None:
    room = await make_room(db)
    acts = {
        node_life.drain: Permission.NODE_CONTROL,
        node_life.end_drain: Permission.NODE_CONTROL,
        node_life.remove: Permission.NODE_DELETE,
        node_life.acknowledge: Permission.HEALTH_CONTROL,
    }
    for act, permission in acts.items():
        somebody = replace(SOMEBODY, access=everywhere(ALL_PERMISSIONS - {permission}))
        with pytest.raises(ForbiddenError, match=permission):
            await act(db, room.node.node_id, by=somebody)
