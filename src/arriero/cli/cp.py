"""`arriero cp`: give a model a second name."""

from __future__ import annotations

from typing import Annotated

import typer

from arriero.cli.completion import models


def cp(
    source: Annotated[str, typer.Argument(help="The model's name.", autocompletion=models)],
    destination: Annotated[str, typer.Argument(help="Its other name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Copy the model; its weights are there once."""
    import asyncio

    from arriero.cli.server import connected
    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary

    with connected() as client:

        async def work() -> None:
            async with AsyncLibrary(client.address, api_key=key_from_environment()) as library:
                await library.copy(source, destination)

        asyncio.run(work())
    if as_json:
        import json

        print(json.dumps({"copied": source, "to": destination}))
    else:
        print(f"copied '{source}' to '{destination}'")
