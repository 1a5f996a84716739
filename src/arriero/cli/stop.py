"""`arriero stop`: unload a model."""

from __future__ import annotations

from typing import Annotated

import typer

from arriero.cli.completion import models as models_to_complete


def stop(
    model: Annotated[str, typer.Argument(help="The model's name.", autocompletion=models_to_complete)],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Ask the server to unload the model; its memory is free when this returns."""
    from arriero.cli.failures import CommandFailed
    from arriero.cli.server import connected
    from arriero.core.errors import ModelNotFound

    with connected(own=False) as client:
        try:
            client.generate("", model=model, keep_alive=0)
        except ModelNotFound:
            raise CommandFailed(f'couldn\'t find model "{model}" to stop') from None
    if as_json:
        import json

        print(json.dumps({"stopped": model}))
