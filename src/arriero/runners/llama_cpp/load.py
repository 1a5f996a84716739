"""From options to a LoadedModel: weights, context, vocabulary and samplers, born together."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from arriero.core.errors import InvalidOption
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.tokenizer import LoadedModel
from arriero.runners.llama_cpp.model import Model, Progress
from arriero.runners.llama_cpp.options import LlamaCppOptions
from arriero.runners.llama_cpp.runner import LlamaCppRunner
from arriero.runners.sampler import NumpySampler


def make_options(spec: ModelSpec, load: LoadOptions, options: dict[str, Any]) -> LlamaCppOptions:
    """Join a request's load options with the runner's own. InvalidOption for an unknown or impossible one."""
    known = {f.name for f in fields(LlamaCppOptions)} - {"path"}
    unknown = sorted(set(options) - known)
    if unknown:
        raise InvalidOption(f"the llama.cpp runner has no option {', '.join(unknown)}")
    asked = {name: value for name in LoadOptions.__struct_fields__ if (value := getattr(load, name)) is not None}
    try:
        return LlamaCppOptions(path=spec.path, **{**options, **asked})
    except (TypeError, ValueError) as error:
        raise InvalidOption(str(error)) from error


def load(options: LlamaCppOptions, progress: Progress | None = None) -> LoadedModel:
    """Load a model whole; `progress` is told the share of the weights that is read. ModelLoadError if it cannot."""
    model = Model(options, progress)
    try:
        runner = LlamaCppRunner(model, options)
    except BaseException:
        model.close()
        raise
    vocab = model.vocab
    banned = frozenset(vocab.suppressed)

    def make_sampler(params: SamplingParams) -> NumpySampler:
        return NumpySampler(params, eog_ids=vocab.eog_ids, banned_ids=banned)

    return LoadedModel(runner, vocab, make_sampler, model.chat_template)
