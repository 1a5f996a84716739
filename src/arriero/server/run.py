"""How uvicorn is set up for the application; the one place with its settings."""

from __future__ import annotations

import uvicorn
from starlette.types import ASGIApp

from arriero.core.version import __version__
from arriero.server.http_head import BoundedHttp
from arriero.server.options import ServerOptions

KEEP_ALIVE = 75  # seconds an idle connection stays open; proxies commonly keep theirs for 60
GRACE = 5  # seconds that running answers get at shutdown


def uvicorn_config(app: ASGIApp, options: ServerOptions) -> uvicorn.Config:
    """Return the settings: our own Server header and access log, no websockets, no trust in forwarded addresses.

    The header is uvicorn's to add, not the application's: so its own answers to malformed requests carry it too.
    """
    return uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        server_header=False,
        headers=[("Server", f"arriero/{__version__}")],
        access_log=False,
        log_config=None,
        proxy_headers=False,
        http=BoundedHttp,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
