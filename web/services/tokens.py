"""API tokens of people and programs."""

import hmac

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor, Permission
from web.domain.errors import UnauthorisedError
from web.store import secrets
from web.store.database import Database


async def create_token(db: Database, name: str, *, by: Actor) -> str:
    """A new token, shown once; its digest is kept."""
    by.require(Permission.USER_EDIT)
    new = new_id()
    token = new_token("user", new)
    await secrets.add_access_token(db, new, name, digest=token_digest(token), created_by=by.name)
    return token


async def authenticate(db: Database, token: str) -> Actor:
    """Whose token this is. Raises UnauthorisedError."""
    found_id = token_id("user", token)
    found = None if found_id is None else await secrets.access_token(db, found_id)
    if found is None or not hmac.compare_digest(found[1], token_digest(token)):
        raise UnauthorisedError
    return Actor("token", found_id, found[0])
