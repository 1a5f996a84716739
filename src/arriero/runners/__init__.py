"""Who can open a model, by the runner's name. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from arriero.core.embedding import LoadedEmbedder
from arriero.core.errors import ModelLoadError
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions
from arriero.core.tokenizer import LoadedModel

Progress = Callable[[float], None]
"""Is told the share of the weights that is read, 0 to 1."""

OPENERS = {
    "fake": "arriero.runners.fake_model:open_model",
    "llama_cpp": "arriero.runners.llama_cpp.opening:open_model",
}
"""Name → "module:function"."""


def open_model(
    spec: ModelSpec, load: LoadOptions, options: Mapping[str, Any], progress: Progress
) -> LoadedModel | LoadedEmbedder:
    """Load `spec` with the runner it names; ModelLoadError when it cannot be.

    `options` are a worker's settings; a runner takes those it knows.
    """
    opened: LoadedModel | LoadedEmbedder = prepare(spec.runner)(spec, load, options, progress)
    return opened


def prepare(runner: str) -> Callable[..., Any]:
    """Import what models of `runner` need; return what opens one. ModelLoadError if that cannot be."""
    try:
        module, _, function = OPENERS[runner].partition(":")
    except KeyError:
        known = ", ".join(sorted(OPENERS))
        raise ModelLoadError(f"there is no runner called {runner!r}, only {known}") from None
    opener: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return opener
