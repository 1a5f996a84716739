"""Probes and metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from arriero.server.errors import OK, UNAVAILABLE
from arriero.server.routes.context import Context


class HealthRoutes:
    """Handlers over one context."""

    def __init__(self, context: Context) -> None:
        self._service = context.service

    async def live(self, request: Request) -> Response:
        """GET /live: the process answers."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """GET /ready and /health: requests are taken."""
        ready = self._service.ready()
        return JSONResponse({"status": "ok" if ready else "unavailable"}, OK if ready else UNAVAILABLE)

    async def metrics(self, request: Request) -> Response:
        """GET /metrics: Prometheus' text."""
        return Response(self._service.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")
