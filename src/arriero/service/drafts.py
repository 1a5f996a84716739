"""Draft models that requests name: found by name, and refused where they cannot guess for the model. It loads nothing.

A model made with DRAFT brings its own; the option `draft` names another one, or none, for the load that it asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from arriero.core.errors import ArrieroError, InvalidRequest, ModelNotFound
from arriero.core.model import ModelDetails, ModelSpec
from arriero.core.request import LoadOptions
from arriero.store.describe import details
from arriero.store.splits import read_whole

_TOKENS = "tokenizer.ggml.tokens"
_EVERY = 1 << 40  # of an array's items


class Drafts:
    """`find` knows the models by name (ModelNotFound); `settings` are the workers'."""

    def __init__(self, find: Callable[[str], ModelSpec], settings: Mapping[str, Any]) -> None:
        self._find, self._settings = find, settings
        self._fitting: set[tuple[str, str]] = set()  # weights of a model, and of one that can guess for it

    async def chosen(self, spec: ModelSpec, load: LoadOptions) -> tuple[ModelSpec, LoadOptions]:
        """Return the model with the draft model that `load` names; then the path of its file stands in `load`.

        The empty name stands for none. InvalidRequest for a name that is not known, and for a model that cannot guess.
        """
        if load.draft is None:
            return spec, load
        path = await self._path(spec, load.draft) if load.draft else ""
        return msgspec.structs.replace(spec, draft=path), msgspec.structs.replace(load, draft=path)

    async def details(self, spec: ModelSpec) -> ModelDetails | None:
        """What is known of the draft model that `spec` is loaded with where a request names none; None without one."""
        try:
            spec, _ = await self.chosen(spec, LoadOptions(draft=spec.options.get("draft")))
            return details(await asyncio.to_thread(read_whole, spec.draft)) if spec.draft else None
        except (ArrieroError, OSError):  # who loads it is told why
            return None

    async def _path(self, spec: ModelSpec, name: str) -> str:
        try:
            draft = self._find(name)
        except ModelNotFound:
            raise InvalidRequest(f'draft model "{name}" not found, try pulling it first', param="draft") from None
        if why := self._useless(spec, draft):
            raise InvalidRequest(f'"{name}" cannot be the draft model of "{spec.name}": {why}', param="draft")
        pair = (spec.weights, draft.weights)
        if pair not in self._fitting:
            if why := await asyncio.to_thread(_differs, spec, draft):
                raise InvalidRequest(f'"{name}" cannot be the draft model of "{spec.name}": {why}', param="draft")
            self._fitting.add(pair)
        return draft.path

    def _useless(self, spec: ModelSpec, draft: ModelSpec) -> str:
        """Why nothing could be guessed whatever the files hold; empty where it can."""
        if any(one.runner != "llama_cpp" or "completion" not in one.capabilities for one in (spec, draft)):
            return "both must be models that generate text"
        if self._settings.get("deterministic"):
            return "the deterministic mode guesses nothing ahead"
        if not self._settings.get("speculation", True):
            return "guessing ahead is switched off (ARRIERO_SPECULATION)"
        return ""


def _differs(spec: ModelSpec, draft: ModelSpec) -> str:
    """Why the weights do not go together; empty where they do. Reads both headers: 0.1 s at 150k tokens."""
    mine, other = read_whole(draft.path, _EVERY), read_whole(spec.path, _EVERY)
    if any(key.startswith(f"{one.architecture}.ssm.") for one in (mine, other) for key in one.values):
        return "what recurrent models computed for wrong guesses cannot be taken back"
    have, wanted = mine.values.get(_TOKENS, []), other.values.get(_TOKENS, [])
    if len(have) != len(wanted):
        return f"it has {len(have)} tokens, the model {len(wanted)}, and only one with the same vocabulary can guess"
    for token, (one, another) in enumerate(zip(have, wanted, strict=True)):
        if one != another:
            return f"its token {token} is another one than the model's, and only the same vocabulary will do"
    return ""
