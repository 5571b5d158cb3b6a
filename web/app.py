"""The controller as an ASGI application: routes, what they share, and what runs beside them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache, partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Match, Mount, Route

from web import live
from web.api import agent, v1
from web.api.openapi import openapi_document
from web.assets import Assets
from web.cache.folder import CacheFolder
from web.certificates import CertificateNeeded
from web.domain.audit import LIMITS
from web.domain.errors import ControllerError, UnavailableError
from web.domain.system import Surroundings
from web.errors import problem_response
from web.headers import SafeHeaders
from web.hosts import KnownHosts
from web.origin import SameOrigin
from web.outbound import Outbound
from web.pages import PAGES
from web.pages.page import fault_page, missing_page
from web.refusals import note_forgery
from web.rendering import STATIC_FOLDER, STATIC_PATH, Rendering
from web.runners import abandoned, absence, finalise, leases, own_disk, webhooks
from web.runners.changes import ChangeWatch
from web.runners.loop import keep_running
from web.runners.presence import PresenceWatch
from web.runners.sealing import Sealing
from web.services.auditing.denials import Denials
from web.services.content.cache_content import CacheContent, ContentLimits
from web.services.content.listening import Listening
from web.services.content.stored_content import StoredContent
from web.services.content.waveforms import Waveforms
from web.services.controller import Controller
from web.services.entry.api_rates import ApiLimits, ApiRates
from web.services.entry.openid import OpenId
from web.services.keys import open_keys
from web.services.recorders.meters import Meters
from web.services.webhooks import Sending
from web.services.work import jobs
from web.settings import ControllerSettings
from web.sources import Sources
from web.store.database import Database
from web.store.notifications import Notifications

AGENT_API = "/api/agent/v1"
JSON_API = "/api/v1"
_FINALISE_EVERY = 30.0
_TIDY_EVERY = 300.0
_DISK_EVERY = 15.0


def create_app(settings: ControllerSettings, database_url: str) -> Starlette:
    """Routes of a controller on a database that is migrated. Everything else happens in the lifespan."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _running(settings, database_url) as controller:
            app.state.controller = controller
            yield

    of_nodes = [Middleware(CertificateNeeded)] if settings.tls_client_ca else []
    app = Starlette(
        routes=[
            *(page.route() for page in PAGES),
            Mount(STATIC_PATH, Assets(directory=STATIC_FOLDER), middleware=[Middleware(GZipMiddleware)]),
            live.ROUTE,
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            Route(f"{JSON_API}/openapi.json", _openapi),
            *(endpoint.route(AGENT_API, of_nodes) for endpoint in agent.ENDPOINTS),
            *(endpoint.route(JSON_API) for endpoint in v1.ENDPOINTS),
        ],
        middleware=[
            Middleware(Sources, settings.trusted_proxies),
            Middleware(SafeHeaders),
            Middleware(KnownHosts, settings.known_hosts),
            Middleware(SameOrigin, on_refusal=note_forgery),
        ],
        exception_handlers={
            ControllerError: _faulty,
            HTTPException: _faulty,
            Exception: _faulty,
        },
        lifespan=lifespan,
    )
    app.state.rendering = Rendering(_paths_by_name(app))
    return app


def _paths_by_name(app: Starlette) -> Callable[..., str]:
    """The path of a route, found at once: pages ask for hundreds, and Starlette looks through all routes each time."""
    routes = {route.name: route for route in app.routes if isinstance(route, Route)}
    return lambda name, /, **parameters: str(routes[name].url_path_for(name, **parameters))


@asynccontextmanager
async def _running(settings: ControllerSettings, database_url: str) -> AsyncIterator[Controller]:
    timeouts = settings.timeouts
    folder = CacheFolder(settings.cache_folder)
    await asyncio.to_thread(folder.prepare)
    limits = ContentLimits(
        request_bytes=settings.upload_request_limit_bytes,
        cache_file_bytes=settings.cache_file_limit_bytes,
        disk_reserve_bytes=settings.disk_reserve_bytes,
        workers=settings.store_workers,
        stall_seconds=timeouts.upload_stall,
    )
    async with Database(database_url, timeouts) as db:
        notifications = Notifications(database_url)
        controller = Controller(
            db=db,
            notifications=notifications,
            meters=Meters(db, notifications),
            content=CacheContent(folder, limits),
            stored=StoredContent(folder, settings.store_workers),
            waveforms=Waveforms(folder, settings.store_workers),
            listening=Listening(folder, settings.store_workers, settings.listeners_limit),
            keys=await open_keys(db, settings.keys_file),
            surroundings=Surroundings(
                version=version("reelkeeper"),
                address=f"{settings.scheme}://{settings.host}:{settings.port}",
                cache_folder=settings.cache_folder,
                is_database_embedded=settings.database_url is None,
                told=settings.told,
            ),
            open_id=None if (issuer := settings.issuer) is None else OpenId(issuer),
            is_local_sign_in=settings.local_sign_in,
            outbound=Outbound(settings.webhook_networks, ca_file=settings.webhook_ca_file),
            api_rates=ApiRates(_api_limits(settings)),
            timeouts=timeouts,
            denials=Denials(db),
        )
        async with _beside(controller):
            yield controller
        controller.stop()


@asynccontextmanager
async def _beside(controller: Controller) -> AsyncIterator[None]:
    """Listens and runs the runners until the end of the block."""
    db, notifications, timeouts = controller.db, controller.notifications, controller.timeouts
    deliveries = webhooks.Deliveries(Sending(db, controller.keys, controller.outbound))
    tasks = [
        notifications.run(),
        keep_running("webhooks", deliveries.tick, every_seconds=webhooks.EVERY_SECONDS),
        keep_running("old deliveries", deliveries.tidy, every_seconds=webhooks.TIDY_EVERY_SECONDS),
        keep_running(
            "finalise",
            partial(finalise.tick, db, controller.stored, controller.waveforms),
            every_seconds=_FINALISE_EVERY,
            at_once_on=controller.sealed,
        ),
        keep_running("abandoned", partial(abandoned.tick, db, controller.content), every_seconds=_TIDY_EVERY),
        keep_running("leases", partial(leases.tick, db, leases.OutageWatch()), every_seconds=timeouts.rescue_period),
        keep_running("absence", partial(absence.tick, db, leases.OutageWatch()), every_seconds=timeouts.presence),
        keep_running("own disk", partial(own_disk.tick, db, controller.content), every_seconds=_DISK_EVERY),
        keep_running("changes", partial(ChangeWatch().tick, db, notifications), every_seconds=timeouts.change_poll),
        keep_running("sealing", partial(Sealing().tick, db), every_seconds=LIMITS.seal_every),
        keep_running("denials", controller.denials.tick, every_seconds=LIMITS.denials.seconds / 4),
        keep_running("presence", partial(PresenceWatch().tick, db, notifications), every_seconds=timeouts.presence),
    ]
    running = [asyncio.create_task(task) for task in tasks]
    try:
        yield
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await deliveries.stop()


def _api_limits(settings: ControllerSettings) -> ApiLimits:
    calls = settings.api_calls_per_minute
    return ApiLimits(per_token=calls, per_address=5 * calls, failures=settings.api_failures_per_minute)


async def _faulty(request: Request, fault: Exception) -> Response:
    """Programs get a problem, people a page."""
    if isinstance(fault, HTTPException) and fault.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        fault.headers = {"Allow": ", ".join(sorted(_methods(request)))}
    if request.scope["path"].startswith((AGENT_API, JSON_API)):
        return await problem_response(request, fault)
    return await missing_page(request, fault) if isinstance(fault, HTTPException) else fault_page(request, fault)


async def _openapi(request: Request) -> Response:
    return JSONResponse(_document())


@cache
def _document() -> dict[str, Any]:
    """Hangs on the code alone, and takes a while to make."""
    return openapi_document("Reelkeeper", version("reelkeeper"), JSON_API, v1.ENDPOINTS)


def _methods(request: Request) -> set[str]:
    """All that the path may be called with: each method is a route of its own."""
    found = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return set().union(*(route.methods or () for route in found if isinstance(route, Route)))


async def _healthz(request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def _readyz(request: Request) -> Response:
    """The controller can work: it is not stopping, and its database answers."""
    controller: Controller = request.app.state.controller
    if controller.stopping.is_set():
        raise UnavailableError("The controller is stopping.")
    await jobs.change_nos_of(controller.db, [])
    return PlainTextResponse("ready\n")
