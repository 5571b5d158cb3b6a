"""People with an account and just the rights that a test is about: acts on rights look both up again."""

from typing import Any

from protocol.ids import new_id
from web.domain.access import Access, Actor


async def somebody_who_holds(owner: Any, name: str, access: Access) -> Actor:
    """Each permission by a role of its own, within its nodes and folders or everywhere."""
    user_id = new_id()
    await owner.execute("INSERT INTO user_account (id, name, password_hash) VALUES ($1, $2, 'x')", user_id, name)
    for permission, scope in access.items():
        if scope.but_nodes or scope.but_folders:
            raise ValueError("only what is allowed can be held so")
        role_id = new_id()
        await owner.execute(
            "INSERT INTO role (id, name, description, permissions, is_built_in) VALUES ($1, $2, '', $3, false)",
            *(role_id, f"{permission} of {name}", [permission]),
        )
        places = [("everything", None, None)] if scope.everything else []
        places += [("node", node_id, None) for node_id in scope.nodes]
        places += [("folder", None, folder) for folder in scope.folders]
        for kind, node_id, folder in places:
            await owner.execute(
                "INSERT INTO access_grant (id, user_id, role_id, effect, scope_kind, node_id, folder, created_by) "
                "VALUES ($1, $2, $3, 'allow', $4, $5, $6, 'test')",
                *(new_id(), user_id, role_id, kind, node_id, folder),
            )
    return Actor("user", user_id, name, access)
