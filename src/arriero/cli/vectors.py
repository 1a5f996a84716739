"""What `arriero run` prints of an embedding model: the vector of the text, as JSON, as Ollama does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arriero.cli.failures import CommandFailed

if TYPE_CHECKING:
    from arriero.client import Client

BOOLEANS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


def read_truncate(text: str | None) -> bool:
    """Read a value of `--truncate`, true where there is none; CommandFailed if it is no boolean."""
    if text is None:
        return True
    if text.lower() not in BOOLEANS:
        raise CommandFailed(f"truncate must be true or false, not {text!r}")
    return BOOLEANS[text.lower()]


def embeds(client: Client, model: str) -> bool:
    """Whether `model` makes vectors and no text; no where the server's API does not tell."""
    from arriero.core.errors import UnsupportedFeature

    try:
        return "embedding" in client.show(model).capabilities
    except UnsupportedFeature:
        return False


def print_vector(
    client: Client, model: str, text: str, *, truncate: bool, dimensions: int | None, keep_alive: str | None
) -> None:
    """Print the vector of `text` on a line; CommandFailed without a text."""
    import msgspec

    if not text:
        raise needs_text(model)
    (vector,) = client.embed(text, model=model, truncate=truncate, dimensions=dimensions, keep_alive=keep_alive).vectors
    print(msgspec.json.encode(vector).decode())


def needs_text(model: str) -> CommandFailed:
    """The error for an embedding model that was given nothing; Ollama's text."""
    return CommandFailed(f'embedding models require input text. Usage: arriero run {model} "your text here"')
