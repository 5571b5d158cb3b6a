"""What people may do follows from what was given and denied to them, and from nothing else."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.domain.access import (
    ALL_PERMISSIONS,
    EVERYTHING,
    NOTHING,
    Actor,
    Permission,
    Scope,
    everywhere,
    within,
)
from web.domain.errors import ForbiddenError, NotFoundError
from web.domain.live import SAVED, SETTINGS, TO_HEAR, TOPICS, LiveEvent
from web.domain.recordings import Place
from web.domain.roles import Effect, Grant, ScopeKind, access_of

NODES = [UUID(int=number) for number in range(1, 4)]
FOLDERS = ["A", "A/B", "A/B/C", "AB", "B", ""]

permissions = st.frozensets(st.sampled_from(list(Permission)), min_size=1, max_size=4)
places = st.builds(Place, st.sampled_from(NODES), st.sampled_from(FOLDERS))


@st.composite
def grants(draw: st.DrawFn, effect: Effect | None = None) -> Grant:
    kind = draw(st.sampled_from(ScopeKind))
    nodes = frozenset[UUID]()
    if kind is ScopeKind.NODE:
        nodes = frozenset({draw(st.sampled_from(NODES))})
    elif kind is ScopeKind.NODE_GROUP:
        nodes = draw(st.frozensets(st.sampled_from(NODES)))
    folder = draw(st.sampled_from(FOLDERS)) if kind is ScopeKind.FOLDER else None
    return Grant(draw(permissions), effect or draw(st.sampled_from(Effect)), kind, nodes, folder)


def _somebody(*held: Grant) -> Actor:
    return Actor("user", None, "ANA", access_of(held))


def _says(grant: Grant, permission: Permission, place: Place) -> bool:
    """Whether one grant speaks of this, by the plain meaning of its words."""
    if permission not in grant.permissions:
        return False
    match grant.kind:
        case ScopeKind.EVERYTHING:
            return True
        case ScopeKind.FOLDER:
            names, wanted = place.folder.split("/"), (grant.folder or "").split("/")
            return names[: len(wanted)] == wanted
        case _:
            return place.node_id in grant.nodes


@given(st.lists(grants(), max_size=6), st.sampled_from(list(Permission)), places)
def test_something_is_held_that_was_allowed_and_not_denied(
    held: list[Grant], permission: Permission, place: Place
) -> None:
    saying = [grant.effect for grant in held if _says(grant, permission, place)]
    assert _somebody(*held).may(permission, place) == (Effect.ALLOW in saying and Effect.DENY not in saying)


@given(st.lists(grants(Effect.DENY), max_size=4), st.sampled_from(list(Permission)), places)
def test_nothing_is_held_that_nobody_gave(denied: list[Grant], permission: Permission, place: Place) -> None:
    nobody = _somebody(*denied)
    assert not nobody.may(permission)
    assert not nobody.may(permission, place)
    assert nobody.scope(permission) == NOTHING


@given(st.lists(grants(), max_size=6), st.sampled_from(list(Permission)))
def test_what_may_be_done_at_all_may_be_done_somewhere(held: list[Grant], permission: Permission) -> None:
    somebody = _somebody(*held)
    if not somebody.may(permission):
        assert not any(somebody.may(permission, Place(node, folder)) for node in NODES for folder in FOLDERS)


def test_a_new_actor_holds_nothing() -> None:
    assert not any(Actor("user", None, "ANA").may(permission) for permission in ALL_PERMISSIONS)


def test_who_may_not_know_of_a_thing_is_told_that_there_is_none_and_who_may_what_is_missing() -> None:
    place = Place(NODES[0], "A")
    with pytest.raises(NotFoundError):
        Actor("user", None, "ANA", {}).require(Permission.RECORDING_DELETE, place)
    reader = Actor("user", None, "ANA", everywhere({Permission.RECORDING_READ}))
    with pytest.raises(ForbiddenError) as refused:
        reader.require(Permission.RECORDING_DELETE, place)
    assert refused.value.permission == Permission.RECORDING_DELETE
    assert Permission.RECORDING_DELETE in str(refused.value)


def test_what_belongs_to_nothing_is_held_everywhere_only() -> None:
    somebody = Actor("user", None, "ANA", within(Scope(nodes=frozenset(NODES), folders=frozenset(FOLDERS))))
    with pytest.raises(ForbiddenError):
        somebody.require_everywhere(Permission.SETTINGS_EDIT)
    Actor("user", None, "ANA", everywhere()).require_everywhere(Permission.SETTINGS_EDIT)
    assert EVERYTHING.covers(None)
    assert not somebody.recordings.covers(None)


def test_a_node_is_reached_when_anything_of_it_may_lie_within() -> None:
    here, there = NODES[:2]
    assert Scope(nodes=frozenset({here})).reaches(here)
    assert not Scope(nodes=frozenset({here})).reaches(there)
    assert Scope(folders=frozenset({"A"})).reaches(here)
    assert not Scope(folders=frozenset({"A"}), but_nodes=frozenset({here})).reaches(here)
    assert not NOTHING.reaches(here)


def test_each_topic_of_a_page_says_what_it_needs_to_be_heard() -> None:
    assert TO_HEAR.keys() >= TOPICS


def test_what_was_saved_is_heard_by_whoever_may_read_things_of_its_kind() -> None:
    def saved(kind: str, node_id: UUID | None = None) -> LiveEvent:
        return LiveEvent("settings", None, node_id, "", kind=kind)

    assert saved("role").to_hear == Permission.USER_READ
    assert saved("profile").to_hear == Permission.SETTINGS_READ
    assert saved("node", NODES[0]).to_hear == Permission.NODE_READ
    assert {action.partition(".")[0] for action in SAVED} <= {*SETTINGS, "grant"}
