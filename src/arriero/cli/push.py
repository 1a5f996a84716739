"""`arriero push`: send a model to the registry in its name."""

from __future__ import annotations

from typing import Annotated

import typer

from arriero.cli.completion import models as models_to_complete


def push(
    model: Annotated[
        str,
        typer.Argument(
            help="The model's name, with the registry: HOST/NAMESPACE/MODEL[:TAG].", autocompletion=models_to_complete
        ),
    ],
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Speak plain HTTP with the registry, also on a private address.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each report as a line of JSON.")] = False,
) -> None:
    """Send the model; blobs that the registry has are not sent again."""
    from arriero.cli.server import connected
    from arriero.cli.transfer import transfer

    with connected() as client:
        transfer(client, "/api/push", model, insecure=insecure, as_json=as_json)
