"""Who may call what: every route, declared once. Tests try each row; `docs/permissions.md` is this table in print.

A route without a row fails the build, and so does a row without a route.
"""

from dataclasses import dataclass
from enum import StrEnum

from web.domain.access import Permission
from web.domain.permissions import SENTENCES
from web.domain.roles import BUILT_IN

P = Permission


class Door(StrEnum):
    """Rules that ask for no permission."""

    OPEN = "anybody"
    SIGNED_IN = "everybody who is known, for themselves"
    """Pages by a session, the API by a token. What is shown is only what the person may read."""
    NODE = "the agent of a node, for its own node"
    """By the token of the node."""


class Of(StrEnum):
    """What a permission has to be held for."""

    RECORDING = "the recording"
    NODE = "the node"
    JOB = "the recording of the job"
    NAMED = "the node and the folder that the request names"
    ANYTHING = "anything at all; only that is shown"
    EVERYTHING = "everything"


@dataclass(frozen=True)
class Needs:
    """A permission held for something; any of `others`, held for the same, does as well.

    Who may not even read the thing is told that there is none, as for a thing that does not exist.
    """

    permission: Permission
    of: Of
    others: tuple[Permission, ...] = ()

    @property
    def any_of(self) -> tuple[Permission, ...]:
        return (self.permission, *self.others)


Who = Door | Needs


@dataclass(frozen=True)
class Rule:
    """One method of one path. `HEAD` comes with `GET`."""

    method: str
    path: str
    """Its parts in braces, without their types."""
    who: Who

    @property
    def changes(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path


def _get(path: str, who: Who) -> Rule:
    return Rule("GET", path, who)


def _post(path: str, who: Who) -> Rule:
    return Rule("POST", path, who)


_OPEN, _SELF, _NODE = Door.OPEN, Door.SIGNED_IN, Door.NODE
_SEE_NODES = Needs(P.NODE_READ, Of.ANYTHING)
_SEE_NODE = Needs(P.NODE_READ, Of.NODE)
_EDIT_NODE = Needs(P.NODE_EDIT, Of.NODE)
_CONTROL_NODE = Needs(P.NODE_CONTROL, Of.NODE)
_ADD_NODES = Needs(P.NODE_CREATE, Of.EVERYTHING)
_GROUP_NODES = Needs(P.NODE_EDIT, Of.EVERYTHING)
_SEE_RECORDINGS = Needs(P.RECORDING_READ, Of.ANYTHING)
_SEE_RECORDING = Needs(P.RECORDING_READ, Of.RECORDING)
_CONTROL_RECORDING = Needs(P.RECORDING_CONTROL, Of.RECORDING)
_HEAR_RECORDING = Needs(P.RECORDING_PLAYBACK, Of.RECORDING)
_DOWNLOAD_RECORDING = Needs(P.RECORDING_DOWNLOAD, Of.RECORDING)
_START = Needs(P.RECORDING_CREATE, Of.NAMED)
_MAY_START = Needs(P.RECORDING_CREATE, Of.ANYTHING)
_SEE_JOB = Needs(P.RECORDING_READ, Of.JOB)
_SEE_PEOPLE = Needs(P.USER_READ, Of.EVERYTHING)
_INVITE = Needs(P.USER_CREATE, Of.EVERYTHING)
_EDIT_PEOPLE = Needs(P.USER_EDIT, Of.EVERYTHING)
_DELETE_PEOPLE = Needs(P.USER_DELETE, Of.EVERYTHING)

_SEE_SETTINGS = Needs(P.SETTINGS_READ, Of.EVERYTHING)
_EDIT_SETTINGS = Needs(P.SETTINGS_EDIT, Of.EVERYTHING)

_RECORDING = "/recordings/{recording_id}"
_NODE_PAGE = "/nodes/{node_id}"
_INTERFACE = f"{_NODE_PAGE}/interfaces/{{interface_id}}"
_API = "/api/v1"
_AGENT = "/api/agent/v1"
_PART = f"{_AGENT}/cache-files/{{cache_file_id}}/{{part}}"

SECTIONS: dict[str, tuple[Rule, ...]] = {
    "The process": (
        _get("/healthz", _OPEN),
        _get("/readyz", _OPEN),
        _get("/static/{path}", _OPEN),
        _get("/events", _SELF),
    ),
    "Signing in": (
        _get("/welcome/{code}", _OPEN),
        _post("/welcome/{code}", _OPEN),
        _get("/sign-in", _OPEN),
        _post("/sign-in", _OPEN),
        _get("/sign-in/single", _OPEN),
        _get("/sign-in/single/back", _OPEN),
        _get("/sign-in/code", _OPEN),
        _post("/sign-in/code", _OPEN),
        _get("/invitation/{code}", _OPEN),
        _post("/invitation/{code}", _OPEN),
        _post("/sign-out", _SELF),
        _get("/account", _SELF),
        _post("/account/password", _SELF),
        _post("/account/sessions/{session_id}/end", _SELF),
        _post("/account/sessions/end-others", _SELF),
        _get("/account/second-factor", _SELF),
        _post("/account/second-factor/begin", _SELF),
        _post("/account/second-factor", _SELF),
        _post("/account/second-factor/codes", _SELF),
        _post("/account/second-factor/remove", _SELF),
        _post("/preferences", _OPEN),
    ),
    "The first run": (
        _get("/setup", _OPEN),
        _get("/setup/begin/{code}", _OPEN),
        _post("/setup/begin/{code}", _OPEN),
        _get("/setup/recorder", _SELF),
        _post("/setup/recorder", _SELF),
        _post("/setup/recorder/code", _SELF),
        _get("/setup/input", _SELF),
        _post("/setup/input", _SELF),
        _get("/setup/try", _SELF),
        _post("/setup/try", _SELF),
        _get("/setup/done", _SELF),
        _post("/setup/done", _SELF),
        _post("/setup/put-away", _SELF),
    ),
    "Dashboard": (
        _get("/", _SELF),
        _get("/dashboard/bar", _SELF),
        _get("/dashboard/verdict", _SELF),
        _get("/dashboard/recording-now", _SELF),
        _get("/dashboard/attention", _SELF),
        _get("/dashboard/nodes", _SELF),
        _get("/dashboard/last-day", _SELF),
    ),
    "Recordings": (
        _get("/record", _MAY_START),
        _get("/record/fit", _MAY_START),
        _post("/record", _START),
        _get("/recordings", _SEE_RECORDINGS),
        _get("/recordings/news", _SEE_RECORDINGS),
        _get(_RECORDING, _SEE_RECORDING),
        _get(f"{_RECORDING}/row", _SEE_RECORDING),
        _get(f"{_RECORDING}/stop", _CONTROL_RECORDING),
        _post(f"{_RECORDING}/stop", _CONTROL_RECORDING),
        _get(f"{_RECORDING}/cancel", _CONTROL_RECORDING),
        _post(f"{_RECORDING}/cancel", _CONTROL_RECORDING),
        _post(f"{_RECORDING}/retry", _CONTROL_RECORDING),
        _get(f"{_RECORDING}/audio", _HEAR_RECORDING),
        _get(f"{_RECORDING}/live", _HEAR_RECORDING),
        _get(f"{_RECORDING}/download", _DOWNLOAD_RECORDING),
        _get(f"{_RECORDING}/waveform.dat", _SEE_RECORDING),
        _get(f"{_RECORDING}/peaks", _SEE_RECORDING),
        _get(f"{_RECORDING}/ledger", _SEE_RECORDING),
        _get("/jobs", _SEE_RECORDINGS),
        _get("/jobs/{job_id}", _SEE_JOB),
        _get("/jobs/{job_id}/row", _SEE_JOB),
    ),
    "Nodes": (
        _get("/nodes", _SEE_NODES),
        _get("/nodes/new", _ADD_NODES),
        _post("/nodes/new", _ADD_NODES),
        _get("/nodes/codes/{code_id}", _ADD_NODES),
        _post("/nodes/codes/{code_id}/revoke", _ADD_NODES),
        _get("/nodes/groups", _SEE_NODES),
        _post("/nodes/groups", _GROUP_NODES),
        _post("/nodes/groups/{group_id}", _GROUP_NODES),
        _post("/nodes/groups/{group_id}/remove", _GROUP_NODES),
        _get(_NODE_PAGE, _SEE_NODE),
        _get(f"{_NODE_PAGE}/card", _SEE_NODE),
        _get(f"{_NODE_PAGE}/head", _SEE_NODE),
        _get(f"{_NODE_PAGE}/work", _SEE_NODE),
        _post(f"{_NODE_PAGE}/capacity", _EDIT_NODE),
        _post(f"{_NODE_PAGE}/minimum", _EDIT_NODE),
        _post(f"{_INTERFACE}/capture-format", _EDIT_NODE),
        _post(f"{_INTERFACE}/prefer", _EDIT_NODE),
        _post(f"{_INTERFACE}/arm", _EDIT_NODE),
        _post(f"{_INTERFACE}/name", _EDIT_NODE),
        _post(f"{_INTERFACE}/enable", _EDIT_NODE),
        _post(f"{_NODE_PAGE}/describe", _EDIT_NODE),
        _post(f"{_NODE_PAGE}/drain", _CONTROL_NODE),
        _post(f"{_NODE_PAGE}/acknowledge", Needs(P.HEALTH_CONTROL, Of.NODE)),
        _get(f"{_NODE_PAGE}/tokens", _SEE_NODE),
        _post(f"{_NODE_PAGE}/rotate-token", _CONTROL_NODE),
        _get(f"{_NODE_PAGE}/revoke", _CONTROL_NODE),
        _post(f"{_NODE_PAGE}/revoke", _CONTROL_NODE),
        _post(f"{_NODE_PAGE}/join-again", Needs(P.NODE_CREATE, Of.NODE)),
        _get(f"{_NODE_PAGE}/remove", Needs(P.NODE_DELETE, Of.NODE)),
        _post(f"{_NODE_PAGE}/remove", Needs(P.NODE_DELETE, Of.NODE)),
    ),
    "Audit": (
        _get("/audit", Needs(P.AUDIT_READ, Of.EVERYTHING)),
        _get("/audit/news", Needs(P.AUDIT_READ, Of.EVERYTHING)),
        _get("/audit/{entry_id}", Needs(P.AUDIT_READ, Of.EVERYTHING)),
        _get("/audit.csv", Needs(P.AUDIT_DOWNLOAD, Of.EVERYTHING)),
    ),
    "Settings": (
        _get("/settings", Needs(P.SETTINGS_READ, Of.EVERYTHING, (P.USER_READ,))),
        _get("/settings/sign-in", _SEE_SETTINGS),
        _post("/settings/sign-in", _EDIT_SETTINGS),
        _get("/settings/system", Needs(P.SETTINGS_READ, Of.EVERYTHING)),
        _get("/settings/profiles", _SEE_SETTINGS),
        _get("/settings/profiles/new", _EDIT_SETTINGS),
        _post("/settings/profiles", _EDIT_SETTINGS),
        _get("/settings/profiles/{profile_id}", _SEE_SETTINGS),
        _post("/settings/profiles/{profile_id}", _EDIT_SETTINGS),
        _post("/settings/profiles/{profile_id}/default", _EDIT_SETTINGS),
        _get("/settings/profiles/{profile_id}/delete", _EDIT_SETTINGS),
        _post("/settings/profiles/{profile_id}/delete", _EDIT_SETTINGS),
    ),
    "People, groups and roles": (
        _get("/settings/users", _SEE_PEOPLE),
        _post("/settings/users", _INVITE),
        _get("/settings/users/{user_id}", _SEE_PEOPLE),
        _post("/settings/users/{user_id}/grants", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/disable", _EDIT_PEOPLE),
        _post("/settings/users/{user_id}/disable", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/enable", _EDIT_PEOPLE),
        _post("/settings/users/{user_id}/enable", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/remove-second-factor", _EDIT_PEOPLE),
        _post("/settings/users/{user_id}/remove-second-factor", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/end-sessions", _EDIT_PEOPLE),
        _post("/settings/users/{user_id}/end-sessions", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/reset-link", _EDIT_PEOPLE),
        _post("/settings/users/{user_id}/reset-link", _EDIT_PEOPLE),
        _get("/settings/users/{user_id}/remove", _DELETE_PEOPLE),
        _post("/settings/users/{user_id}/remove", _DELETE_PEOPLE),
        _get("/settings/grants/{grant_id}/take", _EDIT_PEOPLE),
        _post("/settings/grants/{grant_id}/take", _EDIT_PEOPLE),
        _get("/settings/groups", _SEE_PEOPLE),
        _post("/settings/groups", _EDIT_PEOPLE),
        _get("/settings/groups/{group_id}", _SEE_PEOPLE),
        _post("/settings/groups/{group_id}/name", _EDIT_PEOPLE),
        _post("/settings/groups/{group_id}/members", _EDIT_PEOPLE),
        _get("/settings/groups/{group_id}/members/{user_id}/remove", _EDIT_PEOPLE),
        _post("/settings/groups/{group_id}/members/{user_id}/remove", _EDIT_PEOPLE),
        _post("/settings/groups/{group_id}/grants", _EDIT_PEOPLE),
        _get("/settings/groups/{group_id}/delete", _EDIT_PEOPLE),
        _post("/settings/groups/{group_id}/delete", _EDIT_PEOPLE),
        _get("/settings/roles", _SEE_PEOPLE),
        _get("/settings/roles/new", _EDIT_PEOPLE),
        _post("/settings/roles", _EDIT_PEOPLE),
        _get("/settings/roles/{role_id}", _SEE_PEOPLE),
        _post("/settings/roles/{role_id}", _EDIT_PEOPLE),
        _get("/settings/roles/{role_id}/delete", _EDIT_PEOPLE),
        _post("/settings/roles/{role_id}/delete", _EDIT_PEOPLE),
    ),
    "Tokens and webhooks": (
        _get("/account/tokens", _SELF),
        _post("/account/tokens", _SELF),
        _post("/account/tokens/{token_id}/revoke", _SELF),
        _get("/settings/tokens", _SEE_PEOPLE),
        _post("/settings/tokens/{token_id}/revoke", _EDIT_PEOPLE),
        _get("/settings/webhooks", _SEE_SETTINGS),
        _post("/settings/webhooks", _EDIT_SETTINGS),
        _get("/settings/webhooks/{webhook_id}", _SEE_SETTINGS),
        _post("/settings/webhooks/{webhook_id}", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/secret", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/test", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/enable", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/disable", _EDIT_SETTINGS),
        _get("/settings/webhooks/{webhook_id}/remove", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/remove", _EDIT_SETTINGS),
        _post("/settings/webhooks/{webhook_id}/deliveries/{delivery_id}/again", _EDIT_SETTINGS),
    ),
    "API: recordings and jobs": (
        _get(f"{_API}/openapi.json", _OPEN),
        _get(f"{_API}/recordings", _SEE_RECORDINGS),
        _post(f"{_API}/recordings", _START),
        _get(f"{_API}{_RECORDING}", _SEE_RECORDING),
        _post(f"{_API}{_RECORDING}/stop", _CONTROL_RECORDING),
        _post(f"{_API}{_RECORDING}/cancel", _CONTROL_RECORDING),
        _post(f"{_API}{_RECORDING}/retry", _CONTROL_RECORDING),
        _get(f"{_API}{_RECORDING}/audio", _HEAR_RECORDING),
        _get(f"{_API}{_RECORDING}/live", _HEAR_RECORDING),
        _get(f"{_API}{_RECORDING}/download", _DOWNLOAD_RECORDING),
        _get(f"{_API}{_RECORDING}/waveform.dat", _SEE_RECORDING),
        _get(f"{_API}{_RECORDING}/peaks", _SEE_RECORDING),
        _get(f"{_API}{_RECORDING}/ledger", _SEE_RECORDING),
        _get(f"{_API}/jobs", _SEE_RECORDINGS),
        _get(f"{_API}/jobs/{{job_id}}", _SEE_JOB),
        _get(f"{_API}/profiles", Needs(P.RECORDING_CREATE, Of.ANYTHING, (P.SETTINGS_READ,))),
        _post(f"{_API}/profiles", _EDIT_SETTINGS),
        _get(f"{_API}/profiles/{{profile_id}}", _SEE_SETTINGS),
        Rule("PUT", f"{_API}/profiles/{{profile_id}}", _EDIT_SETTINGS),
        Rule("DELETE", f"{_API}/profiles/{{profile_id}}", _EDIT_SETTINGS),
        _post(f"{_API}/profiles/{{profile_id}}/default", _EDIT_SETTINGS),
        Rule("PUT", f"{_API}/profiles/{{profile_id}}/protection", Needs(P.SETTINGS_EDIT, Of.EVERYTHING)),
    ),
    "API: nodes": (
        _get(f"{_API}/nodes", _SEE_NODES),
        _get(f"{_API}{_NODE_PAGE}", _SEE_NODE),
        Rule("PATCH", f"{_API}{_NODE_PAGE}", _EDIT_NODE),
        Rule("PATCH", f"{_API}{_NODE_PAGE}/interfaces", _EDIT_NODE),
        Rule("DELETE", f"{_API}{_NODE_PAGE}", Needs(P.NODE_DELETE, Of.NODE)),
        _post(f"{_API}{_NODE_PAGE}/drain", _CONTROL_NODE),
        Rule("DELETE", f"{_API}{_NODE_PAGE}/drain", _CONTROL_NODE),
        _post(f"{_API}{_NODE_PAGE}/acknowledge", Needs(P.HEALTH_CONTROL, Of.NODE)),
        _get(f"{_API}{_NODE_PAGE}/tokens", _CONTROL_NODE),
        _post(f"{_API}{_NODE_PAGE}/tokens/rotate", _CONTROL_NODE),
        Rule("DELETE", f"{_API}{_NODE_PAGE}/tokens", _CONTROL_NODE),
        _post(f"{_API}{_NODE_PAGE}/enrolment-codes", Needs(P.NODE_CREATE, Of.NODE)),
        _get(f"{_API}/enrolment-codes", Needs(P.NODE_CREATE, Of.ANYTHING)),
        _post(f"{_API}/enrolment-codes", Needs(P.NODE_CREATE, Of.EVERYTHING)),
        _get(f"{_API}/enrolment-codes/{{code_id}}", _ADD_NODES),
        Rule("DELETE", f"{_API}/enrolment-codes/{{code_id}}", _ADD_NODES),
        _get(f"{_API}/node-groups", _SEE_NODES),
        _post(f"{_API}/node-groups", _GROUP_NODES),
        Rule("PATCH", f"{_API}/node-groups/{{group_id}}", _GROUP_NODES),
        Rule("DELETE", f"{_API}/node-groups/{{group_id}}", _GROUP_NODES),
        _get(f"{_API}/health-events", Needs(P.HEALTH_READ, Of.ANYTHING)),
    ),
    "API: people and rights": (
        _get(f"{_API}/sign-in-rule", _SEE_SETTINGS),
        Rule("PUT", f"{_API}/sign-in-rule", _EDIT_SETTINGS),
        _get(f"{_API}/users", _SEE_PEOPLE),
        _post(f"{_API}/users", _INVITE),
        _get(f"{_API}/users/{{user_id}}", _SEE_PEOPLE),
        Rule("DELETE", f"{_API}/users/{{user_id}}", _DELETE_PEOPLE),
        _post(f"{_API}/users/{{user_id}}/reset-link", _EDIT_PEOPLE),
        _post(f"{_API}/users/{{user_id}}/disable", _EDIT_PEOPLE),
        _post(f"{_API}/users/{{user_id}}/enable", _EDIT_PEOPLE),
        Rule("DELETE", f"{_API}/users/{{user_id}}/second-factor", _EDIT_PEOPLE),
        _get(f"{_API}/users/{{user_id}}/sessions", _SEE_PEOPLE),
        Rule("DELETE", f"{_API}/users/{{user_id}}/sessions", _EDIT_PEOPLE),
        Rule("DELETE", f"{_API}/users/{{user_id}}/sessions/{{session_id}}", _EDIT_PEOPLE),
        _get(f"{_API}/users/{{user_id}}/grants", _SEE_PEOPLE),
        _post(f"{_API}/users/{{user_id}}/grants", _EDIT_PEOPLE),
        _get(f"{_API}/groups", _SEE_PEOPLE),
        _post(f"{_API}/groups", _EDIT_PEOPLE),
        _get(f"{_API}/groups/{{group_id}}", _SEE_PEOPLE),
        Rule("PUT", f"{_API}/groups/{{group_id}}", _EDIT_PEOPLE),
        Rule("DELETE", f"{_API}/groups/{{group_id}}", _EDIT_PEOPLE),
        Rule("PUT", f"{_API}/groups/{{group_id}}/members/{{user_id}}", _EDIT_PEOPLE),
        Rule("DELETE", f"{_API}/groups/{{group_id}}/members/{{user_id}}", _EDIT_PEOPLE),
        _get(f"{_API}/groups/{{group_id}}/grants", _SEE_PEOPLE),
        _post(f"{_API}/groups/{{group_id}}/grants", _EDIT_PEOPLE),
        _get(f"{_API}/roles", _SEE_PEOPLE),
        _post(f"{_API}/roles", _EDIT_PEOPLE),
        _get(f"{_API}/roles/{{role_id}}", _SEE_PEOPLE),
        Rule("PUT", f"{_API}/roles/{{role_id}}", _EDIT_PEOPLE),
        Rule("DELETE", f"{_API}/roles/{{role_id}}", _EDIT_PEOPLE),
        _get(f"{_API}/grants", _SEE_PEOPLE),
        _get(f"{_API}/grants/{{grant_id}}", _SEE_PEOPLE),
        Rule("DELETE", f"{_API}/grants/{{grant_id}}", _EDIT_PEOPLE),
        _get(f"{_API}/tokens", _SEE_PEOPLE),
        _post(f"{_API}/tokens", _EDIT_PEOPLE),
        _get(f"{_API}/tokens/current", _SELF),
        Rule("DELETE", f"{_API}/tokens/{{token_id}}", _EDIT_PEOPLE),
    ),
    "API: webhooks and audit": (
        _get(f"{_API}/webhooks", _SEE_SETTINGS),
        _post(f"{_API}/webhooks", _EDIT_SETTINGS),
        _get(f"{_API}/webhooks/{{webhook_id}}", _SEE_SETTINGS),
        Rule("PUT", f"{_API}/webhooks/{{webhook_id}}", _EDIT_SETTINGS),
        Rule("DELETE", f"{_API}/webhooks/{{webhook_id}}", _EDIT_SETTINGS),
        _post(f"{_API}/webhooks/{{webhook_id}}/secret", _EDIT_SETTINGS),
        _post(f"{_API}/webhooks/{{webhook_id}}/enable", _EDIT_SETTINGS),
        _post(f"{_API}/webhooks/{{webhook_id}}/disable", _EDIT_SETTINGS),
        _post(f"{_API}/webhooks/{{webhook_id}}/test", _EDIT_SETTINGS),
        _get(f"{_API}/webhooks/{{webhook_id}}/deliveries", _SEE_SETTINGS),
        _post(f"{_API}/webhooks/{{webhook_id}}/deliveries/{{delivery_id}}/again", _EDIT_SETTINGS),
        _get(f"{_API}/audit", Needs(P.AUDIT_READ, Of.EVERYTHING)),
        _get(f"{_API}/audit/export", Needs(P.AUDIT_DOWNLOAD, Of.EVERYTHING)),
        _get(f"{_API}/audit/{{entry_id}}", Needs(P.AUDIT_READ, Of.EVERYTHING)),
    ),
    "Agents": (
        _post(f"{_AGENT}/enrol", _OPEN),
        _post(f"{_AGENT}/token", _NODE),
        _post(f"{_AGENT}/certificate", _NODE),
        _post(f"{_AGENT}/run", _NODE),
        Rule("PUT", f"{_AGENT}/inventory", _NODE),
        _get(f"{_AGENT}/wake", _NODE),
        _post(f"{_AGENT}/claim-next", _NODE),
        _post(f"{_AGENT}/heartbeat", _NODE),
        _post(f"{_AGENT}/jobs/{{job_id}}/finish", _NODE),
        _post(f"{_AGENT}/events", _NODE),
        _post(f"{_AGENT}/levels", _NODE),
        _post(f"{_AGENT}/cache-files", _NODE),
        Rule("HEAD", _PART, _NODE),
        Rule("PUT", _PART, _NODE),
        _post(f"{_AGENT}/cache-files/{{cache_file_id}}/seal", _NODE),
    ),
}
"""Pages, then the APIs. Open routes that act ask for a secret instead: a code, a password."""

RULES: tuple[Rule, ...] = tuple(rule for rules in SECTIONS.values() for rule in rules)


def as_markdown() -> str:
    """The table in print."""
    names = list(BUILT_IN)
    held = [f"| {name} | {about} |" for name, (about, _) in BUILT_IN.items()]
    permissions = [
        f"| `{permission}` | {SENTENCES[permission]} | "
        + " | ".join("yes" if permission in BUILT_IN[name][1] else "" for name in names)
        + " |"
        for permission in Permission
    ]
    head = [f"| permission | in words | {' | '.join(names)} |", f"|{'---|' * (len(names) + 2)}"]
    return "\n".join([_ABOUT, _ROLES, *held, _PERMISSIONS, *head, *permissions, _ROUTES, *_sections(), ""])


def _sections() -> list[str]:
    lines: list[str] = []
    for title, rules in SECTIONS.items():
        lines += ["", f"### {title}", "", "| route | who may | permission |", "|---|---|---|"]
        lines += [f"| `{rule.method} {rule.path}` | {_words(rule.who)} | {_names(rule.who)} |" for rule in rules]
    return lines


def _words(who: Who) -> str:
    if isinstance(who, Door):
        return who.value
    return f"{' or '.join(_lower(SENTENCES[one]) for one in who.any_of)}: held for {who.of.value}"


def _names(who: Who) -> str:
    return "" if isinstance(who, Door) else " or ".join(f"`{one}`" for one in who.any_of)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


_ABOUT = """\
# Permissions

Made by `python -m web.route_rules > docs/permissions.md` from the table that the tests try, row by row, for every kind
of person and program (`tests/integration/test_route_matrix.py`).

Nobody may do what was not given. A grant gives a role to a person or a group of people, within everything, a group of
nodes, a node, or a folder and what lies in it; or it denies the role there, and a denial wins over whatever allows. A
token may at most what its owner may. What belongs to no node and no folder (settings, people, the audit) needs the
permission for everything.

Who may read a thing but lacks the permission for an act is told which one (403). Who may not read it gets the answer of
a thing that does not exist (404). A browser without a session is led to the sign-in (303), a program without a good
token gets 401. Whatever is refused changes nothing."""

_ROLES = """
## Roles that come with it

| role | what for |
|---|---|"""

_PERMISSIONS = """
## What the permissions are
"""

_ROUTES = """
## Routes"""

if __name__ == "__main__":
    print(as_markdown(), end="")
