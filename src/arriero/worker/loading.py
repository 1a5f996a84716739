"""Opens a model by its runner's name. Runner modules are imported here, on demand, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import msgspec

from arriero.core.errors import ModelLoadError
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions, SamplingParams
from arriero.core.runner import Sampler
from arriero.core.tokenizer import LoadedModel
from arriero.engine.options import EngineOptions

Progress = Callable[[float], None]


def engine_options(options: Mapping[str, Any]) -> EngineOptions:
    """The engine's share of a worker's settings."""
    return EngineOptions(**_known(EngineOptions, options))


def load_model(spec: ModelSpec, load: LoadOptions, options: Mapping[str, Any], progress: Progress) -> LoadedModel:
    """Load `spec` with its runner; ModelLoadError when it cannot be."""
    if spec.runner == "llama_cpp":
        return _llama_cpp(spec, load, options, progress)
    raise ModelLoadError(f"model {spec.name} asks for a runner {spec.runner!r} that there is not")


def _llama_cpp(spec: ModelSpec, load: LoadOptions, options: Mapping[str, Any], progress: Progress) -> LoadedModel:
    from arriero.runners.llama_cpp.model import Model
    from arriero.runners.llama_cpp.options import LlamaCppOptions
    from arriero.runners.llama_cpp.runner import LlamaCppRunner
    from arriero.runners.sampler import NumpySampler

    asked = {name: value for name, value in msgspec.structs.asdict(load).items() if value is not None}
    try:
        chosen = LlamaCppOptions(path=spec.path, **{**_known(LlamaCppOptions, options), **asked})
    except ValueError as error:
        raise ModelLoadError(str(error)) from error
    model = Model(chosen, progress)
    runner = LlamaCppRunner(model, chosen)

    def make_sampler(params: SamplingParams) -> Sampler:
        return NumpySampler(params, eog_ids=model.vocab.eog_ids)

    return LoadedModel(runner, model.vocab, make_sampler, spec.chat_template or model.chat_template)


def _known(options: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(options)}
    return {name: value for name, value in given.items() if name in names}
