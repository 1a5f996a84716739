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
}
"""Classes that config.json may name: where their conversion is."""


def convert(files: dict[str, Path], target: Path, watch: Callable[[int, int], None]) -> None:
    """Write the GGUF of the model in `files` to `target`; InvalidRequest says what is wrong with it."""
    source = Source(files)
    config = source.object("config.json")
    named = config.get("architectures")
    architecture = str(named[0]) if isinstance(named, list) and named else ""
    if architecture not in FAMILIES:
        raise InvalidRequest(f'unsupported architecture "{architecture}"')
    module, _, name = FAMILIES[architecture].partition(":")
    family: type[Family] = getattr(importlib.import_module(f"arriero.convert.architectures.{module}"), name)
    out = Output(target, gguf.MODEL_ARCH_NAMES[family.architecture])
    family(source, Config(config), out, Weights(source)).convert()
    out.write(watch)
