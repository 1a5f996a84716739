"""Who can execute batches, by name. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from arriero.core.errors import ModelLoadError

RUNNERS = {
    "fake": "arriero.runners.fake:FakeRunner",
    "llama_cpp": "arriero.runners.llama_cpp.runner:LlamaCppRunner",
}
"""Name → "module:Class"."""


def runner_class(name: str) -> Any:
    """Import and return the class called `name`; ModelLoadError for an unknown name."""
    try:
        module, _, attribute = RUNNERS[name].partition(":")
    except KeyError:
        known = ", ".join(sorted(RUNNERS))
        raise ModelLoadError(f"there is no runner called {name!r}, only {known}") from None
    return getattr(importlib.import_module(module), attribute)
