"""What of a server on this machine can be done or seen without its API: unloading, and what its processes weigh."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import psutil

from arriero.client.address import parse
from arriero.client.bench.case import Hooks, Unmeasured
from arriero.client.bench.target import Target
from arriero.client.http import Http

PATIENCE_S = 60.0


def hooks_of(target: Target) -> Hooks:
    """What can be done with this server: unload where it has Ollama's API, weigh where it listens on this machine."""
    pid = listener(target.url)
    ollama = target.kind in ("arriero", "ollama")

    async def unload() -> None:
        await _unload(target)

    return Hooks(
        unload=unload if ollama else None,
        memory=None if pid is None else lambda: tree_bytes(pid),
    )


def listener(url: str) -> int | None:
    """The process of ours that listens at a loopback address; None where that cannot be told."""
    address = parse(url)
    if not address.loopback:
        return None
    for process in psutil.process_iter():
        try:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == address.port:
                    return process.pid
        except (psutil.Error, OSError):
            continue
    return None


def tree_bytes(pid: int) -> int:
    """PSS in bytes of a process and all below it: what they would leave behind, shared pages by their share."""
    first = psutil.Process(pid)
    return sum(pss_bytes(one.pid) for one in [first, *first.children(recursive=True)])


def pss_bytes(pid: int) -> int:
    """A process's PSS; its resident memory where the system does not tell; 0 if it has just ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


async def _unload(target: Target) -> None:
    http = Http(parse(target.url), api_key=target.api_key, timeout=PATIENCE_S)
    try:
        await http.json("POST", "/api/generate", {"model": target.model, "keep_alive": 0})
        until = time.monotonic() + PATIENCE_S
        while True:
            running = msgspec.json.decode(await http.json("GET", "/api/ps")).get("models") or []
            if all(
                one.get("name", "").removesuffix(":latest") != target.model.removesuffix(":latest") for one in running
            ):
                return
            if time.monotonic() > until:
                raise Unmeasured(f"{target.name} did not unload {target.model}")
            await asyncio.sleep(0.02)
    finally:
        await http.close()
