"""`arriero rm`: remove models."""

from __future__ import annotations

from typing import Annotated

import typer

from arriero.cli.completion import models as models_to_complete


def rm(
    models: Annotated[list[str], typer.Argument(help="The models' names.", autocompletion=models_to_complete)],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each.")] = False,
) -> None:
    """Unload and remove the models, one after the other; the first that cannot be removed ends it."""
    import asyncio
    import json

    from arriero.cli.server import connected
    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary

    with connected() as client:

        async def work() -> None:
            async with AsyncLibrary(client.address, api_key=key_from_environment()) as library:
                for model in models:
                    await library.delete(model)
                    print(json.dumps({"deleted": model}) if as_json else f"deleted '{model}'")

        asyncio.run(work())
