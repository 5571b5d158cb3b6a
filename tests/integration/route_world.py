"""A small house for trying every route: two nodes, things of each, and people and programs of every kind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from protocol.ids import new_id, new_token, token_digest
from tests.integration.room import Room, make_room
from web.domain.access import Permission
from web.domain.roles import BUILT_IN
from web.route_rules import Needs, Of, Rule
from web.store.database import Database

P = Permission
PLACES = ("own", "other", "missing")


# ---- who asks ----


@dataclass(frozen=True)
class Grant:
    """A set of permissions, given or kept from somebody: everywhere, at one node, or in one folder."""

    permissions: frozenset[Permission]
    node: str | None = None
    folder: str | None = None
    is_denied: bool = False

    def reaches(self, node: str | None, folder: str | None) -> bool:
        if self.node is not None:
            return self.node == node
        return self.folder is None or (folder is not None and f"{folder}/".startswith(f"{self.folder}/"))


@dataclass(frozen=True)
class Principal:
    """Somebody who calls routes."""

    name: str
    door: str = ""
    """What his secret opens: `session`, `token`, `node`; empty: nothing, or nothing any more."""
    headers: Mapping[str, str] = field(default_factory=dict)
    grants: tuple[Grant, ...] = ()

    def holds(self, permission: Permission, node: str | None, folder: str | None) -> bool:
        met = [one for one in self.grants if permission in one.permissions and one.reaches(node, folder)]
        return bool(met) and not any(one.is_denied for one in met)

    def holds_anywhere(self, permission: Permission) -> bool:
        given = [one for one in self.grants if permission in one.permissions and not one.is_denied]
        kept = [one for one in self.grants if permission in one.permissions and one.is_denied]
        return bool(given) and not any(one.node is None and one.folder is None for one in kept)

    @property
    def slug(self) -> str:
        return self.name.replace(" ", "-")


def of_role(name: str, **where: Any) -> Grant:
    return Grant(BUILT_IN[name][1], **where)


# ---- what there is ----


@dataclass
class World:
    """Ids of things by what paths call them: of the own place, of the other place, of nowhere."""

    things: dict[str, dict[str, str]]
    principals: list[Principal]

    def path(self, rule: Rule, place: str) -> str:
        """The path of a rule with the things of this place. Raises KeyError for a part that nobody explained."""
        known = {name: of_place[place] for name, of_place in self.things.items()}
        return rule.path.format_map(known)


NODE_OF = {"own": "hall", "other": "cellar"}
FOLDER_OF = {"own": "Court", "other": "Church"}


def coordinates(rule: Rule, place: str) -> tuple[str | None, str | None]:
    """The node and the folder of what a rule is about. What is missing has none."""
    assert isinstance(rule.who, Needs)
    if place == "missing" or rule.who.of in (Of.ANYTHING, Of.EVERYTHING):
        return None, None
    return NODE_OF[place], None if rule.who.of is Of.NODE else FOLDER_OF[place]


async def furnish(db: Database, owner: asyncpg.Connection) -> World:
    """All of it. What the console cannot make yet, or only slowly, is written into the tables."""
    rooms = {"own": await make_room(db, "Hall"), "other": await make_room(db, "Cellar")}
    revoked = await make_room(db, "Attic")
    await owner.execute(
        "UPDATE node_token SET ended_at = clock_timestamp(), ended_by = 'revocation' WHERE node_id = $1",
        revoked.node.node_id,
    )
    things: dict[str, dict[str, str]] = {}
    for place, room in rooms.items():
        for name, value in (await _things_of(room, FOLDER_OF[place], owner)).items():
            things.setdefault(name, {})[place] = value
    principals = await _people(owner, rooms["own"].node.node_id) + await _programs(owner, rooms["own"].node.node_id)
    principals += [
        Principal("anonymous"),
        Principal("node", "node", _bearer(rooms["own"].token)),
        Principal("other node", "node", _bearer(rooms["other"].token)),
        Principal("revoked node", "", _bearer(revoked.token)),
    ]
    for name, query in _ROWS.items():
        value = str(await owner.fetchval(query))
        things[name] = {"own": value, "other": value}
    for of_place in things.values():
        of_place["missing"] = str(UUID(int=new_id().int ^ 1))
    for name, value in _WORDS.items():
        things[name] = dict.fromkeys(PLACES, value)
    things["entry_id"] = {"own": "1", "other": "1", "missing": "999999999"}
    return World(things, principals)


_WORDS = {"code": new_token("link", new_id()), "part": "audio", "path": "css/reelkeeper.css"}
_ROWS = {
    "profile_id": "SELECT id FROM profile WHERE is_default",
    "role_id": "INSERT INTO role (id, name, permissions)"
    " VALUES (gen_random_uuid(), 'own role', '{recording:read}') RETURNING id",
    "group_id": "WITH people AS (INSERT INTO user_group (id, name) VALUES (gen_random_uuid(), 'readers') RETURNING id)"
    " INSERT INTO node_group (id, name) SELECT id, 'cellars' FROM people RETURNING id",
    "user_id": "SELECT id FROM user_account WHERE name = 'disabled administrator'",
    "grant_id": "SELECT g.id FROM access_grant g JOIN user_account u ON u.id = g.user_id"
    " WHERE u.name = 'disabled administrator'",
    "session_id": "SELECT s.id FROM login_session s JOIN user_account u ON u.id = s.user_id"
    " WHERE u.name = 'disabled administrator'",
    "token_id": "SELECT id FROM access_token WHERE name = 'expired token'",
    "code_id": "INSERT INTO enrolment_code (id, node_name, digest, created_by, expires_at)"
    " VALUES (gen_random_uuid(), 'Loft', '', 'test', now() + interval '1 hour') RETURNING id",
}
"""Things that lie in no node and no folder."""


_HOOKS = {
    "webhook_id": "INSERT INTO webhook (id, name, url, kinds, secret, created_by)"
    " SELECT gen_random_uuid(), 'hook', 'https://example.org/', '{health.*}',"
    " decode('01' || replace(id::text, '-', ''), 'hex'), 'test' FROM sealing_key LIMIT 1 RETURNING id",
    "delivery_id": "INSERT INTO webhook_delivery (webhook_id, message_id, kind, object_id, data, state)"
    " SELECT id, id, 'health.opened', id, '{}', 'delivered' FROM webhook RETURNING id",
}


async def hang_hooks(world: World, owner: asyncpg.Connection) -> None:
    """Webhooks, for which the controller must have begun: their secrets are sealed with its key."""
    for name, query in _HOOKS.items():
        value = str(await owner.fetchval(query))
        nowhere = str(UUID(int=new_id().int ^ 1)) if name == "webhook_id" else "999999999"
        world.things[name] = {"own": value, "other": value, "missing": nowhere}


async def _things_of(room: Room, folder: str, owner: asyncpg.Connection) -> dict[str, str]:
    recording = await room.start(folder=folder, name=f"In {folder}")
    job = await room.claim()
    assert job is not None
    cache_file = await room.open_file(job)
    await room.heartbeat(job)
    interface_id = await owner.fetchval("SELECT min(id::text) FROM interface WHERE node_id = $1", room.node.node_id)
    return {
        "node_id": str(room.node.node_id),
        "interface_id": interface_id,
        "recording_id": str(recording.id),
        "job_id": str(job.job_id),
        "cache_file_id": str(cache_file.id),
    }


async def _people(owner: asyncpg.Connection, node_id: UUID) -> list[Principal]:
    grants = {
        "viewer": (of_role("viewer"),),
        "operator": (of_role("operator"),),
        "manager": (of_role("manager"),),
        "auditor": (of_role("auditor"),),
        "administrator": (of_role("administrator"),),
        "second administrator": (of_role("administrator"),),
        "viewer of a folder": (of_role("viewer", folder="Court"),),
        "operator of a node": (of_role("operator", node="hall"),),
        "manager who is denied a folder": (of_role("manager"), of_role("viewer", folder="Church", is_denied=True)),
        "nobody yet": (),
        "disabled administrator": (of_role("administrator"),),
        "administrator of yesterday": (of_role("administrator"),),
    }
    role_ids = {row["name"]: row["id"] for row in await owner.fetch("SELECT id, name FROM role WHERE is_built_in")}
    people = []
    for name, given in grants.items():
        user_id, session_id = new_id(), new_id()
        secret = new_token("session", session_id)
        is_out = name == "disabled administrator"
        await owner.execute(
            "INSERT INTO user_account (id, name, password_hash, disabled_at)"
            " VALUES ($1, $2, 'x', CASE WHEN $3 THEN now() END)",
            *(user_id, name, is_out),
        )
        ends = "-1 hour" if name == "administrator of yesterday" else "8 hours"
        await owner.execute(
            "INSERT INTO login_session (id, user_id, digest, is_by_link, expires_at)"
            " VALUES ($1, $2, $3, false, now() + $4::text::interval)",
            *(session_id, user_id, token_digest(secret), ends),
        )
        for grant in given:
            role = next(one for one, (_, permissions) in BUILT_IN.items() if permissions == grant.permissions)
            kind = "node" if grant.node else "folder" if grant.folder else "everything"
            await owner.execute(
                "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_id, folder, created_by)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, 'test')",
                *(new_id(), user_id, role_ids[role], "deny" if grant.is_denied else "allow", kind),
                *(node_id if grant.node else None, grant.folder),
            )
        is_in = name not in ("disabled administrator", "administrator of yesterday")
        headers = {"Cookie": f"reelkeeper-80={secret}"}
        people.append(Principal(name, "session" if is_in else "", headers, given))
    return people


async def _programs(owner: asyncpg.Connection, node_id: UUID) -> list[Principal]:
    """Tokens of nobody, each with one permission, and some that are narrower or no good."""

    async def made(name: str, grant: Grant, *, is_expired: bool = False, is_kept: bool = True) -> Principal:
        token_id = new_id()
        secret = new_token("user", token_id)
        if is_kept:
            await owner.execute(
                "INSERT INTO access_token (id, name, digest, created_by, permissions, node_ids, folders, expires_at)"
                " VALUES ($1, $2, $3, 'test', $4, $5, $6, CASE WHEN $7 THEN now() - interval '1 day' END)",
                *(token_id, name, token_digest(secret), sorted(grant.permissions)),
                *([node_id] if grant.node else [], [grant.folder] if grant.folder else [], is_expired),
            )
        return Principal(name, "token" if is_kept and not is_expired else "", _bearer(secret), (grant,))

    everything = frozenset(P)
    return [
        *[await made(f"only {one}", Grant(frozenset({one}))) for one in P],
        await made("token of everything", Grant(everything)),
        await made("token of a node", Grant(everything, node="hall")),
        await made("token of a folder", Grant(everything, folder="Court")),
        await made("expired token", Grant(everything), is_expired=True),
        await made("revoked token", Grant(everything), is_kept=False),
    ]


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
