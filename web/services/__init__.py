"""What a person or an agent can do, one async function per act.

Every function takes `db: Database` first (web.store.database; it carries the Timeouts as `db.timeouts`), then what is
asked for, then who asks as a keyword: `by: Actor` for people and programs, `node: NodeActor` for agents. Permission
and scope are checked before any effect. All raise errors of web.domain.errors; DatabaseUnavailableError is one of them.
Reads that need no rule are in web.store, one module a noun, and take `scope=`.

entry      how somebody gets in: accounts, sign-in, second factors, single sign-on, sessions, tokens
access     what they may do: people, groups, roles, grants
auditing   what they did: entries, denials, the sealed chain
recorders  nodes: joining, inventory, groups, draining and removing, what they report
work       recordings and jobs: start, stop, retry, lease, end; profiles
content    audio as the controller holds it: taking in, reading back, following, drawing
setup      the first run
system     what this controller is
"""
