"""Converts one model: finds the family by the class in config.json. Families are imported when they are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import gguf

from arriero.convert.architectures.family import Config, Family
from arriero.convert.output import Output
from arriero.convert.source import Source
from arriero.convert.weights import Weights
from arriero.core.errors import InvalidRequest

FAMILIES = {
    "BertModel": "bert:Bert",
    "BertForMaskedLM": "bert:Bert",
    "RobertaModel": "roberta:Roberta",
    "RobertaForMaskedLM": "roberta:Roberta",
    "XLMRobertaModel": "roberta:Roberta",
    "XLMRobertaForMaskedLM": "roberta:Roberta",
    "LlamaForCausalLM": "llama:Llama",
    "LLaMAForCausalLM": "llama:Llama",
    "MistralForCausalLM": "llama:Llama",
    "Qwen2ForCausalLM": "qwen:Qwen2",
    "Qwen3ForCausalLM": "qwen:Qwen3",
    "Gemma3ForCausalLM": "gemma:Gemma3",
    "Gemma3ForConditionalGeneration": "gemma:Gemma3WithImages",
    "Phi3ForCausalLM": "phi3:Phi3",
}
"""Classes that config.json may name: where their conversion is."""


def convert(files: dict[str, Path], target: Path, watch: Callable[[int, int], None]) -> list[str]:
    """Write the GGUF of the model in `files` to `target`; return what there is to know about it.

    InvalidRequest says what is wrong with the files; nothing is written then.
    """
    source = Source(files)
    config = source.object("config.json")
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if architecture not in FAMILIES:
        raise InvalidRequest(f'unsupported architecture "{architecture}"')
    family = family_of(FAMILIES[architecture])
    out = Output(target, gguf.MODEL_ARCH_NAMES[family.architecture])
    inner = config.get("text_config")
    numbers = {**config, **inner} if isinstance(inner, dict) else config
    family(source, Config(numbers), out, Weights(source)).convert()
    out.write(watch)
    return sorted(out.notes)


def family_of(place: str) -> type[Family]:
    """The class behind an entry of FAMILIES."""
    module, _, name = place.partition(":")
    family: type[Family] = getattr(importlib.import_module(f"arriero.convert.architectures.{module}"), name)
    return family
