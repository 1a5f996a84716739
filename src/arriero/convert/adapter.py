"""LoRA adapters as PEFT stores them (adapter_config.json, adapter_model.safetensors) become adapters in GGUF.

What the base model is comes with the job: an adapter's own files do not say it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf

from arriero.convert.architectures.family import Config, Family
from arriero.convert.model import FAMILIES, family_of
from arriero.convert.output import Change, Output
from arriero.convert.source import Source
from arriero.convert.weights import Floats, Tensor, Weights
from arriero.core.errors import InvalidRequest
from arriero.core.library import BaseModel

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_PAIR = re.compile(r"(?P<name>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "use_dora": (None, False),
    "fan_in_fan_out": (None, False),
    "bias": (None, "none"),
    "modules_to_save": (None, []),
    "alora_invocation_tokens": (None, []),
    "lora_bias": (None, False),
}
"""Values of the configuration that change nothing but the two matrices."""


def convert_adapter(
    files: Mapping[str, Path], base: BaseModel, target: Path, watch: Callable[[int, int], None]
) -> None:
    """Write the GGUF of the adapter in `files` for `base`; InvalidRequest says what is wrong with it."""
    source = Source(files)
    config = source.object(CONFIG)
    for name, allowed in _ONLY.items():
        if config.get(name) not in allowed:
            raise InvalidRequest(f"{CONFIG}: {name} {config[name]!r} is not supported")
    numbers = Config(config, CONFIG)
    rank, alpha = numbers.integer("r"), numbers.number("lora_alpha")
    if rank < 1:
        raise InvalidRequest(f"{CONFIG}: r is {rank}")
    out = Output(target, base.architecture)
    family = _family(base, source, out)
    out.keys.add_type(gguf.GGUFType.ADAPTER)
    out.keys.add_string(gguf.Keys.Adapter.TYPE, "lora")
    # llama.cpp scales by alpha / rank, rank-stabilized adapters by alpha / √rank.
    out.keys.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha * rank**0.5 if config.get("use_rslora") else alpha)
    alphas, ranks = config.get("alpha_pattern") or {}, config.get("rank_pattern") or {}
    if config.get("use_rslora") and ranks:
        raise InvalidRequest(f"{CONFIG}: use_rslora with rank_pattern is not supported")
    found: dict[str, dict[str, Tensor]] = {}
    for tensor in family.weights:
        match = _PAIR.fullmatch(tensor.name.removeprefix(_PREFIX))
        if match is None or len(tensor.shape) != 2:
            raise InvalidRequest(f"tensor {tensor.name} is no half of a LoRA pair")
        found.setdefault(match["name"], {})[match["half"]] = tensor
    if not found:
        raise InvalidRequest("the adapter has no tensors")
    for name, pair in found.items():
        if len(pair) != 2:
            raise InvalidRequest(f"the adapter has one half for {name} only")
        _add(family, base, name, pair["A"], pair["B"], _matching(alphas, name, alpha) / alpha if alpha else 1.0)
    out.write(watch)


def _family(base: BaseModel, source: Source, out: Output) -> Family:
    for place in reversed(dict.fromkeys(FAMILIES.values())):  # of two, the one that knows more names
        family = family_of(place)
        if gguf.MODEL_ARCH_NAMES[family.architecture] == base.architecture:
            numbers = {
                "num_hidden_layers": base.layers,
                "num_attention_heads": base.heads,
                "num_key_value_heads": base.heads_kv,
                "head_dim": base.head_dim or None,
                "hidden_size": base.width,
            }
            return family(source, Config(numbers), out, Weights(source, "adapter_model.safetensors.index.json"))
    raise InvalidRequest(f"adapters for models of the architecture {base.architecture} cannot be converted")


def _add(family: Family, base: BaseModel, name: str, a: Tensor, b: Tensor, factor: float) -> None:
    renamed = family.rename(f"{name}.weight")
    mapped = family.names.get_name(key=renamed, try_suffixes=(".weight",)) if renamed else None
    if mapped is None or mapped not in base.shapes:
        raise InvalidRequest(f"the base model has nothing for {name}; is the adapter for another one?")
    if mapped.startswith("token_embd"):
        raise InvalidRequest(f"an adapter of the embedding ({name}) cannot be converted")
    columns, rows = base.shapes[mapped]  # ggml's order
    if a.shape[1] != columns or b.shape[0] != rows or a.shape[0] != b.shape[1]:
        raise InvalidRequest(
            f"{name}: the adapter is for {b.shape[0]} by {a.shape[1]}, the base has {rows} by {columns}"
        )
    change = family.change(mapped, b)
    family.out.tensor(f"{mapped}.lora_a", a, exact=True)
    family.out.tensor(f"{mapped}.lora_b", b, _scaled(change, factor), exact=True)


def _scaled(change: Change | None, factor: float) -> Change | None:
    if factor == 1.0:
        return change

    def both(values: Floats) -> Floats:
        return (values if change is None else change(values)) * factor

    return both


def _matching(patterns: Mapping[str, float], name: str, default: float) -> float:
    """As PEFT matches: a pattern is a regular expression for the whole name or for its end after a dot."""
    for pattern, value in patterns.items():
        try:
            if re.fullmatch(rf"(.*\.)?({pattern})", name):
                return float(value)
        except (re.error, TypeError, ValueError):
            raise InvalidRequest(f"{CONFIG}: {pattern!r} with {value!r} is no pattern with a number") from None
    return default
