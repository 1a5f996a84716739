"""The models folders of this machine, for commands that work on them without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arriero.store.places import Stores


def stores() -> Stores:
    """Ollama's folder (OLLAMA_MODELS) and arriero's own; CommandFailed if the configuration cannot be used."""
    from arriero.cli.failures import CommandFailed
    from arriero.config import ConfigError, load_config
    from arriero.store.places import Stores

    try:
        config = load_config(host="127.0.0.1")
    except ConfigError as error:
        raise CommandFailed(str(error)) from None
    return Stores(config.ollama_models, config.home / "models")
