"""Everything on one machine: PostgreSQL, a controller and an agent, stopped in order."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path

import httpx

from agent.daemon import EXIT_SUPERSEDED, stop_owners
from agent.joining import enrol
from agent.settings import AgentSettings
from protocol.messages import EndReason, InterfaceRef
from reelkeeper.errors import CommandError
from reelkeeper.processes import Part
from web import local
from web.settings import ControllerSettings

NODE_NAME = "This machine"
FIRST_INPUT = InterfaceRef(backend="synthetic", name="speech")
"""Preferred until somebody prefers another: it can be heard on every machine."""
READY_SECONDS = 60.0
RESTART_PAUSE_SECONDS = 1.0


async def run_demo(controller: ControllerSettings, agent: AgentSettings) -> None:
    """Runs until SIGINT or SIGTERM. Prints where the console is once an agent has reported."""
    home = controller.home
    with _own_home(home):
        _require_free_port(controller.port)
        logs = home / "log"
        logs.mkdir(exist_ok=True)
        stop = _stop_requested()
        parts = Demo(controller, agent, logs)
        try:
            await _first(stop, parts.start())
            if not stop.is_set():
                print(f"Console  {await local.first_page(controller)}", flush=True)
                await _first(stop, parts.keep_running())
        finally:
            await parts.stop()


class Demo:
    """The two processes of a demo."""

    def __init__(self, controller: ControllerSettings, agent: AgentSettings, logs: Path) -> None:
        self.url = f"http://127.0.0.1:{controller.port}"
        self._controller_settings = controller
        self._agent_settings = agent.model_copy(update={"controller_url": self.url})
        self._controller = Part("controller", ["controller"], logs / "controller.log")
        self._agent = Part(
            "agent", ["agent", "--controller", self.url], logs / "agent.log", frozenset({EXIT_SUPERSEDED})
        )

    async def start(self) -> None:
        """Returns once the controller answers and the agent has told it what it has."""
        await self._controller.start()
        await _ready(self._controller, self._answers())
        is_new = not self._agent_settings.enrolled
        if is_new:
            code = await local.create_enrolment_code(self._controller_settings, NODE_NAME)
            await enrol(self._agent_settings, code)
        known = await local.last_seen(self._controller_settings, NODE_NAME)
        await self._agent.start()
        await _ready(self._agent, local.wait_for_report(self._controller_settings, NODE_NAME, known))
        if is_new:
            await local.prefer_interface(self._controller_settings, NODE_NAME, FIRST_INPUT)

    async def keep_running(self) -> None:
        async with asyncio.TaskGroup() as group:
            for part in (self._controller, self._agent):
                group.create_task(part.keep_running(RESTART_PAUSE_SECONDS))

    async def stop(self) -> None:
        """Agent, then its owners; the controller beside them."""
        timeouts = self._controller_settings.timeouts
        async with asyncio.TaskGroup() as group:
            group.create_task(self._controller.stop(timeouts.demo_stop - 1))
            group.create_task(self._stop_node())

    async def _stop_node(self) -> None:
        await self._agent.stop(self._agent_settings.timeouts.agent_stop)
        await stop_owners(self._agent_settings, EndReason.NODE_STOPPED)

    async def _answers(self) -> None:
        async with httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return
                await asyncio.sleep(0.1)


async def _ready(part: Part, sign: Coroutine[None, None, None]) -> None:
    """Waits for the sign that a part works. Raises CommandError with its last words when it ends before that."""
    working, exited = asyncio.create_task(sign), asyncio.create_task(part.exited())
    try:
        await asyncio.wait({working, exited}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        elif exited.done():
            raise CommandError(part.last_words())
        else:
            raise CommandError(f"The {part.name} did not report within {READY_SECONDS:.0f} s. See its log.")
    finally:
        working.cancel()
        exited.cancel()
        await asyncio.gather(working, exited, return_exceptions=True)


@contextlib.contextmanager
def _own_home(home: Path) -> Iterator[None]:
    """One demo a home, held by a lock that the kernel releases."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(home / "demo.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        raise CommandError(
            f"Cannot write in {home} ({cause.strerror}). Set REELKEEPER_HOME to a folder that you may write in."
        ) from cause
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        raise CommandError(f"Reelkeeper already runs in {home}. Stop it, or set REELKEEPER_HOME.") from cause
    else:
        yield
    finally:
        os.close(descriptor)


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as cause:
            raise CommandError(
                f"Port {port} is in use. Stop what uses it, or set REELKEEPER_PORT to a free one."
            ) from cause


def _stop_requested() -> asyncio.Event:
    event = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _first(event: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Waits for the work or the event; what is unfinished is cancelled, a fault of the work is raised."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for one in (task, waiting):
            one.cancel()
        await asyncio.gather(task, waiting, return_exceptions=True)
