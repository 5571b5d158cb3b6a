"""API tokens of people and programs."""

from web.domain.access import Actor
from web.store.database import Database


async def create_token(db: Database, name: str, *, by: Actor) -> str:
    """A new token, shown once; its digest is kept."""
    raise NotImplementedError


async def authenticate(db: Database, token: str) -> Actor:
    """Whose token this is. Raises UnauthorisedError."""
    raise NotImplementedError
