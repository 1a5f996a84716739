"""`arriero create`: make a model from a Modelfile. The Modelfile is read here, and files go to the server as blobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from arriero.cli.progress import ProgressDisplay
    from arriero.client.library import AsyncLibrary
    from arriero.protocols.ollama.modelfile import Modelfile

PATHS = ("/", "./", "../", "~")
"""What begins so is no model's name."""
NOT_FOUND = "specified Modelfile wasn't found"


def create(
    model: Annotated[str, typer.Argument(help="The new model's name.")],
    file: Annotated[str, typer.Option("--file", "-f", help='The Modelfile; "-" is standard input.')] = "",
    quantize: Annotated[str, typer.Option("--quantize", "-q", help="Quantize to this type.")] = "",
    draft_quantize: Annotated[
        str, typer.Option("--draft-quantize", help="Quantize the draft model to this type.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print each report as a line of JSON.")] = False,
) -> None:
    """Make the model; without a Modelfile, of the files in this folder."""
    import asyncio

    import msgspec

    from arriero.cli.failures import CommandFailed
    from arriero.cli.progress import ProgressDisplay
    from arriero.cli.server import connected
    from arriero.client.address import key_from_environment
    from arriero.client.library import AsyncLibrary
    from arriero.protocols.ollama.modelfile import decode, parse

    folder = Path(file).absolute().parent if file and file != "-" else Path.cwd()
    source = Path(file) if file else folder / "Modelfile"
    if file == "-":
        text = decode(sys.stdin.buffer.read())
    elif source.exists() and not source.is_dir():  # a pipe will do
        text = decode(source.read_bytes())
    elif file:
        raise CommandFailed(NOT_FOUND)
    else:
        text = "FROM .\n"
    modelfile = parse(text)
    for warning in modelfile.warnings:
        print(warning, file=sys.stderr)
    if draft_quantize and not modelfile.drafts:
        raise CommandFailed("--draft-quantize requires a DRAFT model")
    with connected() as client, ProgressDisplay(sys.stderr) as display:

        async def work() -> None:
            async with AsyncLibrary(client.address, api_key=key_from_environment()) as library:
                body = await gathered(modelfile, folder, library, display)
                named = {"model": model, "quantize": quantize, "draft_quantize": draft_quantize}
                body |= {name: value for name, value in named.items() if value}
                async for report in library.progress("/api/create", body):
                    if as_json:
                        print(msgspec.json.encode(report).decode(), flush=True)
                    else:
                        display.update(report)

        asyncio.run(work())


async def gathered(
    modelfile: Modelfile, folder: Path, library: AsyncLibrary, display: ProgressDisplay
) -> dict[str, Any]:
    """Return the body of /api/create; the files that FROM and ADAPTER name are on the server then."""
    from arriero.cli.failures import CommandFailed
    from arriero.cli.model_files import ADAPTERS, expand, files_of, sent
    from arriero.core.library import Progress

    display.update(Progress(status="gathering model components"))
    body: dict[str, Any] = dict(modelfile.fields)
    for base in modelfile.bases:
        path = expand(base, folder)
        if not path.exists():
            if base.startswith(PATHS) or base.lower().endswith((".gguf", ".safetensors")):
                raise CommandFailed(f"FROM {base}: there is no such file or folder")
            body["from"] = base
            continue
        for name, file in files_of(path).items():
            body.setdefault("files", {})[name] = await sent(file, library, display.update)
    for adapter in modelfile.adapters:
        path = expand(adapter, folder)
        if not path.exists():
            raise CommandFailed(f"the adapter {adapter} is not there")
        for name, file in files_of(path, ADAPTERS).items():
            body.setdefault("adapters", {})[name] = await sent(file, library, display.update)
    bases = [expand(base, folder).resolve() for base in modelfile.bases]
    for draft in modelfile.drafts:
        path = expand(draft, folder)
        if not path.exists():
            raise CommandFailed(f"the draft model {draft} is not there; DRAFT takes a GGUF or a folder of safetensors")
        if path.resolve() in bases:
            raise CommandFailed(f"DRAFT must not reference the same local path as FROM: {path}")
        for name, file in files_of(path).items():
            body.setdefault("draft_files", {})[name] = await sent(file, library, display.update)
    return body
