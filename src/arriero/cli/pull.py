"""`arriero pull`: fetch a model from a registry, a URL, or a file of this machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

if TYPE_CHECKING:
    from arriero.client import Client

FILE = "file://"


def pull(
    model: Annotated[
        str, typer.Argument(help="NAME[:TAG], hf.co/USER/REPO[:QUANT], oci://HOST/PATH[:TAG], a URL or path of a GGUF.")
    ],
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Speak plain HTTP with the registry, also on a private address.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each report as a line of JSON.")] = False,
) -> None:
    """Fetch the model; what is interrupted goes on where it stopped. A file of this machine is sent to the server."""
    from arriero.cli.server import connected
    from arriero.cli.transfer import transfer

    path = local_file(model)
    with connected() as client:
        if path is not None:
            _send(client, path, as_json=as_json)
        else:
            transfer(client, "/api/pull", model, insecure=insecure, as_json=as_json)


def local_file(text: str) -> Path | None:
    """The GGUF file that `text` means: file://…, or a path that exists; CommandFailed if it is none. None for names."""
    from arriero.cli.failures import CommandFailed

    if text.startswith(FILE):
        path = Path(unquote(urlsplit(text).path))
    elif "://" in text or not text.lower().endswith(".gguf"):
        return None
    else:
        from arriero.cli.model_files import expand

        path = expand(text, Path())
    if not path.is_file():
        raise CommandFailed(f"there is no file {path}")
    return path


def _send(client: Client, path: Path, *, as_json: bool) -> None:
    """Make a model of the file, under its name, as `create` with a Modelfile of one line does."""
    import asyncio

    import msgspec

    from arriero.cli.model_files import files_of, sent
    from arriero.cli.progress import ProgressDisplay
    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary
    from arriero.core.library import Progress
    from arriero.store.names import name_from_file

    files = files_of(path)

    async def work(display: ProgressDisplay) -> None:
        def tell(report: Progress) -> None:
            if as_json:
                print(msgspec.json.encode(report).decode(), flush=True)
            else:
                display.update(report)

        async with AsyncLibrary(client.address, api_key=key_from_environment()) as library:
            digests = {name: await sent(file, library, tell) for name, file in files.items()}
            body = {"model": name_from_file(path.stem), "files": digests}
            async for report in library.progress("/api/create", body):
                tell(report)

    with ProgressDisplay(sys.stderr) as display:
        asyncio.run(work(display))
