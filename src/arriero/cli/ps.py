"""`arriero ps`: the models that the server has loaded."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer


def ps(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Print name, id, size, place, context and remaining time of each loaded model."""
    from arriero.cli.server import connected
    from arriero.cli.tables import human_size, human_time, processor, table

    with connected(own=False) as client:
        running = [model for model in client.ps() if model.name.lower().startswith(prefix.lower())]
    if as_json:
        import msgspec

        print(msgspec.json.encode(running).decode())
        return
    now = datetime.now(UTC)
    queue = any(model.requests_waiting for model in running)
    kinds = any(model.kv_cache_type not in ("", "f16") for model in running)  # else Ollama's columns tell all
    rows = []
    for model in running:
        ending = model.expires_at is not None and model.expires_at <= now
        rows.append(
            (
                model.name,
                model.digest.removeprefix("sha256:")[:12],
                human_size(model.size),
                processor(model.size, model.size_vram),
                str(model.context_length),
                "Stopping..." if ending else human_time(model.expires_at, now, "Forever"),
                *([model.kv_cache_type] if kinds else []),
                *([_queue(model.requests_waiting, model.queue_seconds)] if queue else []),
            )
        )
    further = [*(["KV"] if kinds else []), *(["QUEUE"] if queue else [])]
    head = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL", *further)
    sys.stdout.write(table([head, *rows]))


def _queue(waiting: int, seconds: float | None) -> str:
    """How many wait, and when whoever comes now has its turn."""
    return f"{waiting} (about {seconds:.0f}s)" if waiting and seconds is not None else str(waiting)
