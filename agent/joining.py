"""A machine becomes a node of a controller, by a one-time code."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from agent.controller_client import ControllerClient
from agent.devices import agent_version
from agent.errors import NotEnrolledError, RetryLaterError, UnreachableError
from agent.files import BrokenFileError, read_model, remove, write_model
from agent.identity import replace_identity
from agent.patience import Patience
from agent.settings import AgentSettings
from agent.states import Enrolment, NodeIdentity
from protocol.messages import EnrolRequest
from protocol.timeouts import Timeouts

Answer = TypeVar("Answer")

_ENROLMENT = "enrolment.json"
_TRIES = 4


async def enrol(settings: AgentSettings, code: str) -> NodeIdentity:
    """Makes this node one of a controller's, or lets it join again. Its token is kept readable for this user only.

    A lost answer does not use the code up: what was not heard is asked for again, here and by the next call. An agent
    that runs here as this node goes on under the new token by itself.
    """
    if settings.controller_url is None:
        raise NotEnrolledError("No controller is named. Set REELKEEPER_CONTROLLER_URL to its address.")
    settings.node_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    enrolment = await asyncio.to_thread(_kept_enrolment, settings.node_folder)
    request = EnrolRequest(code=code, version=agent_version(), secret=enrolment.secret)
    async with ControllerClient.of(settings, settings.controller_url) as client:
        answer = await _insist(lambda: client.enrol(request), settings.timeouts)
    identity = NodeIdentity(
        node_id=answer.node_id,
        name=answer.name,
        token=answer.token,
        controller_url=settings.controller_url,
        node_run=answer.node_run,
    )
    await asyncio.to_thread(replace_identity, settings.node_folder, identity)
    await asyncio.to_thread(remove, settings.node_folder / _ENROLMENT)
    return identity


def _kept_enrolment(node_folder: Path) -> Enrolment:
    """On disk before it is sent; the one of an earlier try, when that did not hear how it ended."""
    path = node_folder / _ENROLMENT
    try:
        return read_model(path, Enrolment)
    except (FileNotFoundError, BrokenFileError):
        enrolment = Enrolment(secret=secrets.token_hex(32))
        write_model(path, enrolment)
        return enrolment


async def _insist(ask: Callable[[], Awaitable[Answer]], timeouts: Timeouts) -> Answer:
    """Asks a few times while no answer comes. Raises UnreachableError or RetryLaterError after the last."""
    patience = Patience(timeouts)
    while True:
        try:
            return await ask()
        except (UnreachableError, RetryLaterError) as absent:
            if patience.faults >= _TRIES - 1:
                raise
            await asyncio.sleep(patience.after(absent))
