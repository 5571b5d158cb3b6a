"""One controller process: its folders, its database, its socket, its signals."""

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TypeVar

import structlog
import uvicorn

from protocol.home import make_private
from protocol.stopping import stop_by_signal
from protocol.timeouts import Timeouts
from web.app import create_app
from web.connections import Connection
from web.domain.errors import ControllerError, UnavailableError
from web.local import setup_address
from web.services import setup
from web.services.controller import Controller
from web.settings import ControllerSettings
from web.store.database import Database
from web.store.embedded import EmbeddedPostgres
from web.store.migrate import migrate

_log = structlog.get_logger()
_RETRY_SECONDS = 1.0
_KEEP_ALIVE_SECONDS = 75
_GRACEFUL_SHARE = 0.3
"""Of the time to stop; the rest is for runners and database."""
_LAST_RESORT = 0.95
"""Of the time to stop."""
_T = TypeVar("_T")


class StartError(ControllerError):
    """The controller cannot start; the text is one line and says what to do."""


async def serve(
    settings: ControllerSettings,
    on_ready: Callable[[str], None] | None = None,
    *,
    on_first_run: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT, which end the process within `Timeouts.controller_stop`.

    `on_ready` gets the address once it answers; `on_first_run` before that the link of the first run, while nobody has
    an account.

    Raises ControllerError, in one line, when it cannot start.
    """
    async with AsyncExitStack() as resources:
        stop = resources.enter_context(stop_by_signal(settings.timeouts.controller_stop * _LAST_RESORT))
        listener = resources.enter_context(listening(settings))
        if settings.tls_certificate is not None:
            tls_context(settings)
        _allow_many_connections()
        _require_writable(settings)
        url = await _unless(stop, resources.enter_async_context(running_database(settings)))
        if url is not None:
            if on_first_run is not None:
                await _tell_first_run(settings, url, on_first_run)
            await run_server(settings, url, listener, stop, on_ready)


@asynccontextmanager
async def running_database(settings: ControllerSettings) -> AsyncIterator[str]:
    """The address of a migrated database until the end of the block: yours once it answers, or the embedded one."""
    if settings.database_url is not None:
        await _migrate_once_there(settings.database_url)
        yield settings.database_url
        return
    await asyncio.to_thread(make_private, settings.sockets_folder)
    async with EmbeddedPostgres(settings.database_folder, settings.database_sockets_folder) as server:
        await migrate(server.url("owner"))
        yield server.url("app")


async def run_server(
    settings: ControllerSettings,
    url: str,
    listener: socket.socket,
    stop: asyncio.Event,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Answers on the listening socket until the event is set, and stops in order."""
    app = create_app(settings, url)

    def started() -> None:
        if on_ready is not None:
            on_ready(_address(listener, settings.scheme))

    def stopping() -> None:
        controller: Controller = app.state.controller
        controller.stop()

    server = _Server(server_config(app, settings, settings.timeouts), started, stopping)
    exiting = asyncio.create_task(_exit_on(stop, server))
    try:
        await server.serve(sockets=[listener])
    finally:
        exiting.cancel()


def server_config(app: object, settings: ControllerSettings, timeouts: Timeouts) -> uvicorn.Config:
    """How HTTP is spoken: whoever serves the application, serves it so."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=partial(Connection, timeouts=timeouts),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ssl_context_factory=(lambda *_: tls_context(settings)) if settings.tls_certificate else None,
    )
    config.timeout_graceful_shutdown = timeouts.controller_stop * _GRACEFUL_SHARE  # type: ignore[assignment]
    return config


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers, which would end the process before its database has stopped."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as failed:  # by uvicorn, which has logged what the lifespan raised
            raise StartError("The controller could not start; its log says why.") from failed
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _tell_first_run(settings: ControllerSettings, url: str, tell: Callable[[str], None]) -> None:
    async with Database(url, settings.timeouts) as db:
        code = await setup.link_code(db)
    if code is not None:
        tell(setup_address(settings, code))


async def _exit_on(stop: asyncio.Event, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


async def _unless(stop: asyncio.Event, work: Awaitable[_T]) -> _T | None:
    """What the work gives, or None when it was given up because of the event."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.wait({task})
        return None
    finally:
        stopped.cancel()


async def _migrate_once_there(url: str) -> None:
    while True:
        try:
            await migrate(url)
            return
        except UnavailableError as fault:
            _log.warning("waiting for the database", reason=str(fault))
            await asyncio.sleep(_RETRY_SECONDS)


@contextlib.contextmanager
def listening(settings: ControllerSettings) -> Iterator[socket.socket]:
    """The socket of the settings. Raises StartError when somebody else has it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(2048)
        except OSError as fault:
            raise StartError(
                f"Cannot listen on {settings.host} port {settings.port} ({fault.strerror}). "
                "Stop what uses it, or set REELKEEPER_PORT to a free one."
            ) from fault
        listener.setblocking(False)
        yield listener


def tls_context(settings: ControllerSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer with the certificate of the settings.

    A client may show a certificate of its own when the settings name who signs those; what it is worth is decided by
    who asks for it. Raises StartError when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate or "", settings.tls_key)
        if settings.tls_client_ca is not None:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as fault:
        raise StartError(
            f"The files for TLS cannot be used ({fault}). REELKEEPER_TLS_CERTIFICATE and REELKEEPER_TLS_KEY belong "
            "together, in PEM; REELKEEPER_TLS_CLIENT_CA is who signs the certificates of clients."
        ) from fault
    return context


def _allow_many_connections() -> None:
    """Every node holds a connection; the usual soft limit of 1024 files is for other programs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _require_writable(settings: ControllerSettings) -> None:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.cache_folder.mkdir(mode=0o700, exist_ok=True)
        (settings.cache_folder / ".writable").touch()
        (settings.cache_folder / ".writable").unlink()
    except OSError as fault:
        raise StartError(
            f"Cannot write in {settings.home} ({fault.strerror}). "
            "Set REELKEEPER_HOME to a folder that you may write in."
        ) from fault


def _address(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
