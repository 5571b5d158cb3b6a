"""The first run: who has the one-time link of an empty installation becomes its administrator, and hears a recording.

Its pages are closed to everybody else, and to everybody once there is another way in.
"""

from uuid import UUID

from protocol.ids import new_id, new_token, token_digest, token_id
from web.domain.access import Actor, system
from web.domain.audit import Object
from web.domain.errors import InvalidError, LinkSpentError, SetupClosedError
from web.domain.nodes import Interface, Node
from web.domain.people import FROM_NOWHERE, SignedIn, Visit, tidy_name
from web.domain.recordings import Recording, StartRecording
from web.domain.setup import CODE_SECONDS, TRY_MS, Leftover, Setup
from web.services.access import rights
from web.services.auditing import audit
from web.services.entry import login_sessions
from web.services.entry.passwords import Passwords
from web.services.recorders.nodes import prefer_interface
from web.services.work import recordings
from web.store import accounts, nodes, people, setup
from web.store.database import Database


async def link_code(db: Database) -> str | None:
    """A code that begins the first run, good for an hour; None once anybody has an account.

    Only for people at the controller's own machine: whoever has the code needs nothing else.
    """
    if await setup.has_account(db):
        return None
    code_id = new_id()
    code = new_token("setup", code_id)
    await setup.add_code(db, code_id, digest=token_digest(code), valid_seconds=CODE_SECONDS)
    return code


async def require_good_code(db: Database, code: str) -> None:
    """Raises LinkSpentError. Looking at a link does not use it."""
    code_id = token_id("setup", code)
    if code_id is None or not await setup.is_code_good(db, code_id, digest=token_digest(code)):
        raise _spent()


async def begin(
    db: Database, passwords: Passwords, code: str, name: str, password: str, visit: Visit = FROM_NOWHERE
) -> SignedIn:
    """Make the first account, which may do everything, and sign it in. The code is spent then.

    Of two at once one becomes the administrator. Raises LinkSpentError for the other and for a code that is not good,
    InvalidError with its field for a name or password that is not, UnavailableError.
    """
    await require_good_code(db, code)
    tidy = tidy_name(name)
    await passwords.require_good(password, about=[tidy])
    new_hash = await passwords.hash(password)
    code_id = token_id("setup", code)
    user_id = new_id()
    async with rights.changing(db, system("first run")) as (session, _):
        if code_id is None or not await setup.spend_codes(session, code_id, digest=token_digest(code)):
            raise _spent()
        await accounts.add_first(session, user_id, tidy)
        account = await accounts.hold(session, user_id)
        if account is None:
            raise _spent()
        await accounts.set_password(session, user_id, new_hash)
        await setup.begin(session, user_id)
        by = Actor("user", user_id, tidy, {}, visit.source)
        await audit.note(session, by, "setup.begin", Object("user", user_id, tidy))
        return await login_sessions.begin(session, account.user, visit, how="link of the first run")


async def progress(db: Database, *, by: Actor) -> Setup:
    """How far the first run is. Raises SetupClosedError for everybody but the one whose it is."""
    found = await setup.get(db)
    if found is None or by.kind != "user" or found.user_id != by.id:
        raise SetupClosedError
    return found


async def choose_recorder(db: Database, node_id: UUID, *, by: Actor) -> Node:
    """The node to try. Raises InvalidError when there is none of this id."""
    await progress(db, by=by)
    found = next((node for node in await _nodes(db, by) if node.id == node_id), None)
    if found is None:
        raise InvalidError("Choose one of the recorders.", field="node_id")
    await setup.choose_node(db, node_id)
    return found


async def choose_input(db: Database, interface_id: UUID, *, by: Actor) -> Interface:
    """The input to try, which is from now on taken when a start names none. Raises InvalidError."""
    current = await progress(db, by=by)
    found = None
    if current.node_id is not None:
        all_of_node = await nodes.interfaces_of(db, current.node_id, scope=by.nodes)
        found = next((one for one in all_of_node if one.id == interface_id and one.is_present), None)
    if found is None:
        raise InvalidError("Choose one of the inputs.", field="interface_id")
    await prefer_interface(db, found.node_id, found.ref, by=by)
    await setup.choose_interface(db, interface_id)
    return found


async def start_try(db: Database, recording_id: UUID, *, by: Actor) -> Recording:
    """Record ten seconds of the chosen input, once an id. Raises as `start_recording` does."""
    current = await progress(db, by=by)
    chosen = None
    if current.node_id is not None:
        all_of_node = await nodes.interfaces_of(db, current.node_id, scope=by.nodes)
        chosen = next((one for one in all_of_node if one.id == current.interface_id), None)
    if chosen is None:
        raise InvalidError("Choose an input first.", field="interface_id")
    request = StartRecording(
        id=recording_id,
        node_id=chosen.node_id,
        name="First recording",
        interface=chosen.ref,
        channels=[0, 1] if chosen.capture.channels > 2 else None,  # what every profile takes
        duration_ms=TRY_MS,
    )
    started = await recordings.start_recording(db, request, by=by)
    await setup.keep_try(db, started.id)
    return started


async def finish(db: Database, *, by: Actor) -> None:
    """The first run is over, whatever was left out of it."""
    await progress(db, by=by)
    await setup.end(db, put_away=False)


async def put_away(db: Database, *, by: Actor) -> None:
    """The list of what is left is not shown any more."""
    await progress(db, by=by)
    await setup.end(db, put_away=True)


async def leftovers(db: Database, *, by: Actor) -> list[Leftover]:
    """What is worth doing after the first run, for the one whose it was; nothing once it is all done or put away."""
    found = await setup.get(db)
    if found is None or found.user_id != by.id or found.put_away_at is not None:
        return []
    person = await people.person(db, found.user_id)
    several = len(await _nodes(db, by)) > 1
    items = [
        Leftover(
            "Hear a first recording",
            "Ten seconds, checked from microphone to file.",
            "setup.show",
            found.recording_id is not None,
        ),
        Leftover(
            "Invite a person",
            "By a link; with a role, so that everybody may do just what is needed.",
            "users.index",
            await setup.accounts(db) > 1,
        ),
        Leftover(
            "Set a second factor",
            "A telephone besides the password keeps others out of this account.",
            "accounts.show",
            person.has_second_factor,
        ),
        Leftover("Add another recorder", "Every machine with a microphone can be one.", "nodes.index", several),
    ]
    return [] if all(item.is_done for item in items) else items


async def _nodes(db: Database, by: Actor) -> list[Node]:
    return await nodes.by_name(db, scope=by.nodes, seen_within=db.timeouts.node_not_seen)


def _spent() -> LinkSpentError:
    return LinkSpentError(
        "This link was used, is too old, or somebody has an account already; without one, type “reelkeeper setup” on "
        "the controller's machine for a new link."
    )
