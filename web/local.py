"""What a person at the controller's own machine may do by command, without a token."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from protocol.messages import InterfaceRef
from web.domain.access import system
from web.domain.audit import Filter, Object
from web.domain.errors import ControllerError, DatabaseUnavailableError, NotFoundError, SetupClosedError
from web.domain.nodes import Node
from web.domain.seals import Head, Seal
from web.exports import audit_csv
from web.services import keys, setup
from web.services.auditing import audit, audit_reading, audit_seals
from web.services.auditing.audit_seals import Proof
from web.services.entry import accounts, tokens
from web.services.recorders import joining, nodes
from web.settings import ControllerSettings
from web.store import nodes as stored_nodes
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres

_BY = system("command line")
_LOOK_SECONDS = 0.1


class NoControllerError(ControllerError):
    """No controller runs here."""


async def create_token(settings: ControllerSettings, name: str) -> str:
    """A new token of nobody that may do everything. Raises NoControllerError."""
    async with _running_database(settings) as db:
        return await tokens.create_token(db, name, by=_BY)


async def sign_in_link(settings: ControllerSettings) -> str:
    """Where a person at this machine signs in, once, within 15 minutes. Raises NoControllerError."""
    async with _running_database(settings) as db:
        return f"{settings.local_url}/welcome/{await accounts.sign_in_link_code(db)}"


async def rotate_keys(settings: ControllerSettings) -> UUID:
    """Seals every secret anew with a new key, and drops the older ones; its id. Raises NoControllerError, KeysError."""
    async with _running_database(settings) as db:
        newest = await keys.rotate(db, settings.keys_file)
        await audit.note(db, _BY, "keys.rotate", Object("keys", newest))
        return newest


async def setup_link(settings: ControllerSettings) -> str:
    """Where the first run begins, once, within an hour. Raises NoControllerError, SetupClosedError."""
    async with _running_database(settings) as db:
        code = await setup.link_code(db)
    if code is None:
        raise SetupClosedError("Somebody has an account already. `reelkeeper sign-in` prints a link that signs in.")
    return setup_address(settings, code)


def setup_address(settings: ControllerSettings, code: str) -> str:
    """Of the page where this code begins the first run."""
    return f"{settings.local_url}/setup/begin/{code}"


async def first_page(settings: ControllerSettings) -> str:
    """What to open in a browser: the first run while nobody has an account, a link that signs in while nobody has a
    password, else the console."""
    async with _running_database(settings) as db:
        code = await setup.link_code(db)
        has_password = await accounts.has_anybody_a_password(db)
    if code is not None:
        return setup_address(settings, code)
    return f"{settings.local_url}/" if has_password else await sign_in_link(settings)


async def create_enrolment_code(settings: ControllerSettings, name: str) -> str:
    """A one-time code for a new node. Raises ConflictError when the name is taken."""
    async with _running_database(settings) as db:
        return (await joining.create_enrolment_code(db, name, by=_BY)).code


async def prove_audit(settings: ControllerSettings, kept: Head | None) -> Proof:
    """Whether the chain over the audit holds, and goes through a seal that somebody has kept."""
    async with _running_database(settings) as db:
        return await audit_seals.prove(db, kept)


async def export_audit(settings: ControllerSettings, write: Callable[[str], object]) -> Seal | None:
    """Writes the whole audit as CSV, newest first, piece by piece; answers the head of the chain. It is on record."""
    async with _running_database(settings) as db:
        blocks = await audit_reading.export(db, Filter(), by=_BY)
        head = await audit_reading.head(db, by=_BY)
        async for lines in audit_csv(blocks, head, UTC):
            write(lines)
    return head


async def wait_for_report(settings: ControllerSettings, name: str, known: datetime | None) -> None:
    """Returns once the node of this name has told what it has, and was seen after `known`."""
    async with _running_database(settings) as db:
        while not await _has_reported(db, settings, name, known):  # noqa: ASYNC110  (another process tells it)
            await asyncio.sleep(_LOOK_SECONDS)


async def last_seen(settings: ControllerSettings, name: str) -> datetime | None:
    """When the node of this name was seen last; None for never, or no such node."""
    async with _running_database(settings) as db:
        node = await _node(db, settings, name)
        return node.last_seen_at if node else None


async def prefer_interface(settings: ControllerSettings, name: str, interface: InterfaceRef) -> None:
    """What is taken on the node of this name when a start names no input. Raises NotFoundError."""
    async with _running_database(settings) as db:
        node = await _node(db, settings, name)
        if node is None:
            raise NotFoundError("node", name)
        await nodes.prefer_interface(db, node.id, interface, by=_BY)


async def _has_reported(db: Database, settings: ControllerSettings, name: str, known: datetime | None) -> bool:
    node = await _node(db, settings, name)
    if node is None or node.last_seen_at is None or (known is not None and node.last_seen_at <= known):
        return False
    return bool(await stored_nodes.interfaces_of(db, node.id, scope=_BY.nodes))


async def _node(db: Database, settings: ControllerSettings, name: str) -> Node | None:
    found = await stored_nodes.by_name(db, scope=_BY.nodes, seen_within=settings.timeouts.node_not_seen)
    return next((node for node in found if node.name == name), None)


@asynccontextmanager
async def _running_database(settings: ControllerSettings) -> AsyncIterator[Database]:
    embedded = EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder)
    url = settings.database_url or embedded.running_url()
    async with Database(url, settings.timeouts) as db:
        try:
            yield db
        except DatabaseUnavailableError as cause:
            raise NoControllerError(
                f"No controller runs with REELKEEPER_HOME={settings.home}. Start one, then try again."
            ) from cause
