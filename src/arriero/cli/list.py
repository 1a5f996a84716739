"""`arriero list`: the models that the server has."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer


def list_models(
    prefix: Annotated[str, typer.Argument(help="Only names that begin so.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Print name, id, size and age of each model, newest first."""
    from arriero.cli.server import connected
    from arriero.cli.tables import human_size, human_time, table

    with connected() as client:
        models = [model for model in client.models() if model.name.lower().startswith(prefix.lower())]
    if as_json:
        import msgspec

        print(msgspec.json.encode(models).decode())
        return
    now = datetime.now(UTC)
    rows = [
        (
            model.name,
            model.digest.removeprefix("sha256:")[:12],
            human_size(model.size),
            human_time(model.modified_at, now),
        )
        for model in models
    ]
    sys.stdout.write(table([("NAME", "ID", "SIZE", "MODIFIED"), *rows]))
