"""Wires every room into a server. The only file that knows them all."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvloop
from starlette.types import ASGIApp

from arriero.backends.orphans import reap_orphans
from arriero.config import Config
from arriero.core.allowance import cpus
from arriero.core.errors import ArrieroError
from arriero.observe.logs import set_up_logging
from arriero.observe.metrics import Metrics
from arriero.server.asgi import create_app, inner_app
from arriero.server.in_process import caller
from arriero.server.open_files import allow_many
from arriero.server.run import run_server
from arriero.service.memory import allowed_memory
from arriero.service.service import Service
from arriero.service.templates import choose_template
from arriero.store.catalog import Catalog
from arriero.store.in_place import HuggingFaceCache, InPlace, LmStudioFolder
from arriero.store.places import Stores

log = logging.getLogger("arriero")


def make_home(home: Path) -> None:
    """Create arriero's folder, readable by its user alone. Where it cannot be, nothing is kept, and the log says so."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        if home.stat().st_uid == os.getuid():
            home.chmod(0o700)
    except OSError as error:
        log.warning("nothing is kept: ARRIERO_HOME %s cannot be made: %s", home, error.strerror)


def build(config: Config) -> tuple[ASGIApp, Service]:
    """The application and its service, ready to be served."""
    metrics = Metrics()
    stores = Stores(config.ollama_models, config.home / "models")
    refine = partial(choose_template, forced=config.service.go_template)
    others: list[InPlace] = [*map(HuggingFaceCache, config.huggingface), *map(LmStudioFolder, config.lmstudio)]
    catalog = Catalog(config.models, config.folders, stores.folders, refine, others)
    service = Service(catalog, config.service, metrics, stores)
    service.batches.connect(caller(inner_app(service, config.server, metrics)))
    return create_app(service, config.server, metrics), service


def bind(config: Config) -> socket.socket:
    """Take the configured address; OSError (EADDRINUSE and its like) when it cannot be had. Port 0: any free one."""
    family, kind, _, _, address = socket.getaddrinfo(config.server.host, config.server.port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def bound(config: Config, listener: socket.socket) -> Config:
    """Return the configuration with the address that was bound in place of its name: the Host check goes by it."""
    return replace(config, server=replace(config.server, host=listener.getsockname()[0]))


def run(config: Config, listener: socket.socket) -> None:
    """Serve on `listener` until the process is asked to end; blocks."""
    uvloop.run(serve(config, listener))


def tell_bounds(config: Config) -> None:
    """Log what there is less of than the machine has."""
    memory = allowed_memory()
    if memory.reason:
        log.info("%s of memory; CPUs: %g", memory.reason, cpus())
    asked = config.service.worker.get("memory_bytes") or 0
    if asked > memory.total:
        log.warning("ARRIERO_MEMORY is %d MiB, there are %d: models may be killed", asked >> 20, memory.total >> 20)


async def _sweep(service: Service) -> None:
    """Tidy up beside the first requests: to list all models takes a while."""
    try:
        await service.sweep()
    except (ArrieroError, OSError) as error:
        log.warning("prefixes of models that are gone may be left on the disk: %s", error)


async def serve(config: Config, listener: socket.socket) -> None:
    """Serve on `listener` until SIGINT or SIGTERM; then end the workers."""
    set_up_logging(config.log_level)
    for note in config.notes:
        log.warning("%s", note)
    make_home(config.home)
    allow_many()
    app, service = build(bound(config, listener))
    host, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%s", f"[{host}]" if ":" in host else host, port)
    tell_bounds(config)
    await service.batches.resume()
    beside = [asyncio.create_task(_sweep(service)), asyncio.create_task(reap_orphans())]
    try:
        await run_server(app, config.server, listener, service.close)
    finally:
        for task in beside:
            task.cancel()
        await service.close()
