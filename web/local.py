"""What a person at the controller's own machine may do by command, without a token."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from web.domain.access import system
from web.domain.errors import DatabaseUnavailableError
from web.services import nodes, tokens
from web.settings import ControllerSettings
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres

_BY = system("command line")


async def create_token(settings: ControllerSettings, name: str) -> str:
    """A new token of the administrator. Raises DatabaseUnavailableError when no controller runs here."""
    async with _running_database(settings) as db:
        return await tokens.create_token(db, name, by=_BY)


async def create_enrolment_code(settings: ControllerSettings, name: str) -> str:
    """A one-time code for a new node. Raises ConflictError when the name is taken."""
    async with _running_database(settings) as db:
        return (await nodes.create_enrolment_code(db, name, by=_BY)).code


@asynccontextmanager
async def _running_database(settings: ControllerSettings) -> AsyncIterator[Database]:
    embedded = EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder)
    url = settings.database_url or embedded.running_url()
    async with Database(url, settings.timeouts) as db:
        try:
            yield db
        except DatabaseUnavailableError as cause:
            raise DatabaseUnavailableError(
                f"No controller runs with REELKEEPER_HOME={settings.home}. Start one, then try again."
            ) from cause
