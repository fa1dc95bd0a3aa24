"""The control plane as an ASGI application."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from roomkeeper import __version__
from roomkeeper.control.assets import Page
from roomkeeper.control.exposition import Exposition, HttpMetrics
from roomkeeper.control.headers import Headers
from roomkeeper.control.issuing import Issuer
from roomkeeper.control.loopback import LOOPBACK_ORIGINS, LoopbackOnly
from roomkeeper.control.openapi import openapi
from roomkeeper.control.opening import Opening
from roomkeeper.control.panel import PanelApi
from roomkeeper.control.problems import EXCEPTION_HANDLERS
from roomkeeper.control.purging import Purge, Purging
from roomkeeper.control.sessions import Sessions
from roomkeeper.control.signing import Signing
from roomkeeper.control.streaming import Streaming
from roomkeeper.control.support import Support
from roomkeeper.control.tokens import Tokens
from roomkeeper.wire import link

if TYPE_CHECKING:
    from starlette.requests import Request

    from roomkeeper.control.config import ControlConfig
    from roomkeeper.control.plane import Plane

READY_WITHIN = 2.0
"""Seconds in which the database must answer."""


def create_app(config: ControlConfig, plane: Plane) -> Starlette:
    """Build the application.

    Args:
        config: How it listens and which LiveKit server it speaks for.
        plane: Keeps the sessions.
    """
    page = Page(config.pages / "interview", config.browser_url, framed=config.dev)
    console = Page(config.pages / "console", config.browser_url, framed=config.dev)

    async def healthz(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "version": __version__})

    async def readyz(request: Request) -> JSONResponse:
        status = await _not_ready(plane)
        return JSONResponse({"status": status or "ok"}, HTTPStatus.SERVICE_UNAVAILABLE if status else HTTPStatus.OK)

    http = HttpMetrics(plane.metrics.registry)
    api, streaming = api_routes(config, plane)
    measured = Exposition(plane.metrics.registry, plane.store, plane.engine, plane.listing, lambda: streaming.readers)
    routes: list[BaseRoute] = [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        *measured.routes(),
        Route("/openapi.json", openapi, methods=["GET"]),
        Route("/webhooks/livekit", plane.hooks.endpoint, methods=["POST"]),
        WebSocketRoute(link.PATH, plane.links.endpoint),
        Mount("/api", routes=api),
        # Only what is the same for everybody: an answer that has a secret in it must not tell by its length.
        Mount("/console", GZipMiddleware(console)),
        Mount("/", GZipMiddleware(page)),
    ]
    http.know(routes)
    middleware = [
        Middleware(Headers, metrics=http),
        # Another page on this machine (a development server of a web page) may call, the web at large not.
        Middleware(
            CORSMiddleware,
            allow_origin_regex=LOOPBACK_ORIGINS,
            allow_origins=config.origins,
            allow_methods=["*"],
            allow_headers=["*"],
        ),
    ]
    if config.dev:
        middleware.insert(1, Middleware(LoopbackOnly, origins=config.origins))
    return Starlette(routes=routes, middleware=middleware, exception_handlers=EXCEPTION_HANDLERS)


def api_routes(config: ControlConfig, plane: Plane) -> tuple[list[BaseRoute], Streaming]:
    """Make everything below `/api`.

    Args:
        config: Who may ask for what.
        plane: Keeps the sessions.
    """
    keys = {config.api_key: config.api_secret}
    adopters = plane.config.adopters
    issuer = Issuer(config, plane.store, adopters)
    sessions = Sessions(plane.store, plane.listing, plane.carrier, plane.deliveries, plane.outbox, keys)
    streaming = Streaming(plane.store, plane.stream, plane.listing, keys)
    purging = Purging(Purge(plane.store, plane.engine, plane.stream), plane.store, keys)
    routes: list[BaseRoute] = [
        *Tokens(config, plane.store, issuer).routes(),
        *Opening(config, plane.store, adopters, issuer, plane.carrier).routes(),
        *Signing(config).routes(),
        *PanelApi(config).routes(),
        *streaming.routes(),
        *plane.journal.routes(),
        *Support(plane, keys).routes(),
        *sessions.routes(),
        *purging.routes(),
    ]
    return routes, streaming


async def _not_ready(plane: Plane) -> str:
    """Say what is missing; empty if nothing is."""
    try:
        async with asyncio.timeout(READY_WITHIN):
            await plane.store.find("")
    except (SQLAlchemyError, OSError, TimeoutError):
        return "the database does not answer"
    return ""
