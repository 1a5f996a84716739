"""What pull, push and run share: a transfer by the server, shown as it goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arriero.client import Client


def transfer(client: Client, path: str, model: str, *, insecure: bool = False, as_json: bool = False) -> None:
    """POST to /api/pull or /api/push (`path`) and show the reports: bars on a terminal, JSON lines, or a line each.

    Errors are the server's. An interrupt (Ctrl-C) closes the connection: the server stops, and keeps what has come.
    """
    import asyncio
    from contextlib import aclosing

    import msgspec

    from arriero.cli.progress import ProgressDisplay
    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary

    async def work(display: ProgressDisplay) -> None:
        async with (
            AsyncLibrary(client.address, api_key=key_from_environment()) as library,
            aclosing(library.progress(path, {"model": model, "insecure": insecure})) as reports,
        ):
            async for report in reports:
                if as_json:
                    print(msgspec.json.encode(report).decode(), flush=True)
                else:
                    display.update(report)

    with ProgressDisplay(sys.stderr) as display:
        asyncio.run(work(display))


def pull_absent(client: Client, model: str, *, insecure: bool = False) -> bool:
    """Pull a model that the server does not know; False where the server has no pull.

    CommandFailed says that the model is unknown and why it cannot be had.
    """
    from arriero.cli.failures import CommandFailed
    from arriero.core.errors import ArrieroError, ModelNotFound, NotImplementedYet

    try:
        transfer(client, "/api/pull", model, insecure=insecure)
    except (ModelNotFound, NotImplementedYet):
        return False
    except ArrieroError as error:
        raise CommandFailed(
            f"model '{model}' not found, and it cannot be pulled: {error.message}. `arriero list` names the models "
            "there are"
        ) from None
    return True
