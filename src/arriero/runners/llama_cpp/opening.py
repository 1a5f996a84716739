"""Opens a GGUF: weights, context, vocabulary and samplers as one LoadedModel; an embedding model as LoadedEmbedder."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import msgspec

from arriero.core.constraint import TokenMask
from arriero.core.embedding import LoadedEmbedder
from arriero.core.errors import ModelLoadError
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.runner import Sampler
from arriero.core.tokenizer import LoadedModel
from arriero.runners.constrained.compiler import MaskCompiler
from arriero.runners.llama_cpp.drafter import LlamaCppDrafter, check_drafts_for
from arriero.runners.llama_cpp.embedder import LlamaCppEmbedder
from arriero.runners.llama_cpp.model import Model
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.pairs import PairEncoder
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler, NumpyScorer

QUIET = 0.5
"""Seconds without a call of llama.cpp after which the worker counts as idle."""


def open_model(
    spec: ModelSpec, load: LoadOptions, options: Mapping[str, Any], progress: Callable[[float], None]
) -> LoadedModel | LoadedEmbedder:
    """Load the file; what a request asked for wins over the worker's settings. ModelLoadError says what is wrong."""
    known = {field.name for field in fields(LlamaCppOptions)} - {"path", "adapters", "digest"}
    settings = {name: value for name, value in options.items() if name in known}
    asked = {name: value for name, value in msgspec.structs.asdict(load).items() if value is not None}
    asked.pop("draft", None)  # the spec has its path
    try:
        chosen = LlamaCppOptions(path=spec.path, adapters=spec.adapters, digest=spec.weights, **{**settings, **asked})
    except ValueError as error:
        raise ModelLoadError(str(error)) from error
    model = Model(chosen, progress)
    if "embedding" in spec.capabilities or "rerank" in spec.capabilities:
        embedder = LlamaCppEmbedder(model, chosen)
        ranks = embedder.info.pooling == "rank"
        return LoadedEmbedder(embedder, model.vocab, PairEncoder(model.handle, model.vocab) if ranks else None)
    masks = MaskCompiler(model.vocab)
    draft = _open_draft(spec, chosen, model) if options.get("speculation", True) else None
    runner = LlamaCppRunner(model, chosen, draft)
    plan = runner.draft_plan
    drafter = None if draft is None or plan is None else LlamaCppDrafter(draft, model, plan)
    threading.Thread(target=_prepare, args=(masks, runner), name="vocabulary", daemon=True).start()
    suppressed = frozenset(model.vocab.suppressed)

    def make_sampler(params: SamplingParams, mask: TokenMask | None = None) -> Sampler:
        return NumpySampler(params, eog_ids=model.vocab.eog_ids, banned_ids=suppressed, mask=mask)

    return LoadedModel(
        runner,
        model.vocab,
        make_sampler,
        model.chat_template,
        masks,
        NumpyScorer,
        model.add_adapter,
        drafter,
        runner.drop_adapter,
    )


def _open_draft(spec: ModelSpec, chosen: LlamaCppOptions, target: Model) -> Model | None:
    """The model's draft model, where it has one and guesses can be checked. ModelLoadError if it cannot guess."""
    if not spec.draft or target.recurrent or chosen.deterministic:
        return None
    try:
        draft = Model(replace(chosen, path=spec.draft, adapters=(), digest="", kv_cache_type="f16"))
    except ModelLoadError as error:
        raise ModelLoadError(f"its draft model: {error.message}", **error.details) from error
    check_drafts_for(draft, target)
    return draft


def _prepare(masks: MaskCompiler, runner: LlamaCppRunner) -> None:
    """Read the vocabulary in a quiet moment: a large one takes a second, which a first answer need not share.

    A request that needs a mask before does not wait for that moment.
    """
    calls, contexts = -1, runner.contexts
    while contexts.decoding or calls != (calls := contexts.counters()["decode_calls"]):
        time.sleep(QUIET)
    if contexts.main.handle:
        with contextlib.suppress(ValueError):  # said again when a mask is asked for
            masks.prepare()
