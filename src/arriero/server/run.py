"""How uvicorn is set up and ended; the one place with its settings."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Generator

import uvicorn
from starlette.types import ASGIApp

from arriero.core.version import __version__
from arriero.server.http_head import BoundedHttp
from arriero.server.options import ServerOptions

KEEP_ALIVE = 75  # seconds an idle connection stays open; proxies commonly keep theirs for 60
GRACE = 5  # seconds that running answers get at shutdown
LAST_WORDS = 4  # seconds after that, for the errors that cut answers end with


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
        timeout_graceful_shutdown=GRACE + LAST_WORDS,
    )


class _Server(uvicorn.Server):
    """Leaves signals to run_server: uvicorn raises them again when it is done, before our workers are ended.

    `end_work` is called when the grace is over: an answer that still runs then ends with an error in its API's form.
    """

    def __init__(self, config: uvicorn.Config, end_work: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._end_work = end_work

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(self._end_after_grace())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()
        if self.force_exit:  # uvicorn then leaves the application waiting, which logs how it was torn down
            await self.lifespan.shutdown()

    async def _end_after_grace(self) -> None:
        await asyncio.sleep(GRACE)
        await self._end_work()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def run_server(
    app: ASGIApp, options: ServerOptions, listener: socket.socket, end_work: Callable[[], Awaitable[None]]
) -> None:
    """Serve on `listener` until SIGINT or SIGTERM; a second signal cuts running answers off. Returns, never raises.

    `end_work` ends what generates; it must bear being called again afterwards.
    """
    server = _Server(uvicorn_config(app, options), end_work)
    loop = asyncio.get_running_loop()

    def ask() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        await server.serve(sockets=[listener])
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
