"""Ollama's `options`: every name with its type and range, and how it becomes SamplingParams and LoadOptions.

Types and texts are Ollama's; it has no ranges and hands nonsense to its runner, arriero names the range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from arriero.core.errors import InvalidOption, InvalidRequest
from arriero.core.request import LoadOptions, SamplingParams

Kind = Literal["integer", "float32", "boolean", "array", "string"]
_INT32, _INT64, _FLOAT32 = 2**31 - 1, 2**63 - 1, 3.4028234663852886e38


class Option(NamedTuple):
    """One option: its JSON type, its inclusive range (`above` excludes `low`) or its `words`, and the core field."""

    kind: Kind
    field: str
    low: float = -_FLOAT32
    high: float = _FLOAT32
    load: bool = False
    above: bool = False
    words: tuple[str, ...] = ()

    def range_text(self, value: float) -> str:
        """The range that `value` is out of, in words."""
        if self.low == -self.high:
            return "a finite number" if self.kind == "float32" else "a 64-bit integer"
        if self.high in (_INT32, _FLOAT32):
            if value > self.high:
                return f"at most {self.high}"
            return f"greater than {self.low:g}" if self.above else f"at least {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"


OPTIONS: dict[str, Option] = {
    "num_ctx": Option("integer", "num_ctx", 4, _INT32, load=True),
    "num_batch": Option("integer", "num_batch", 1, _INT32, load=True),
    "num_gpu": Option("integer", "num_gpu", -1, _INT32, load=True),
    "main_gpu": Option("integer", "main_gpu", 0, _INT32, load=True),
    "num_thread": Option("integer", "num_thread", 0, 4096, load=True),
    "use_mmap": Option("boolean", "use_mmap", load=True),
    "kv_cache_type": Option("string", "kv_cache_type", load=True, words=("f16", "bf16", "q8_0", "q4_0")),
    "draft": Option("string", "draft", load=True),
    "temperature": Option("float32", "temperature", 0),
    "top_k": Option("integer", "top_k", -_INT32, _INT32),
    "top_p": Option("float32", "top_p", 0, 1),
    "min_p": Option("float32", "min_p", 0, 1),
    "typical_p": Option("float32", "typical_p", 0, 1),
    "repeat_last_n": Option("integer", "repeat_last_n", -1, _INT32),
    "repeat_penalty": Option("float32", "repeat_penalty", 0, above=True),
    "presence_penalty": Option("float32", "presence_penalty"),
    "frequency_penalty": Option("float32", "frequency_penalty"),
    "num_keep": Option("integer", "num_keep", -1, _INT32),
    "num_predict": Option("integer", "max_tokens", -2, _INT32),
    "draft_num_predict": Option("integer", "draft_tokens", 0, _INT32),
    "seed": Option("integer", "seed", -_INT64, _INT64),
    "stop": Option("array", "stop"),
}

RETIRED = frozenset(
    [
        *("f16_kv", "logits_all", "low_vram", "mirostat", "mirostat_eta", "mirostat_tau"),
        *("numa", "penalize_newline", "tfs_z", "use_mlock", "vocab_only"),
    ]
)
"""Options that Ollama has or once had and that mean nothing here: accepted, named in `ignored`."""


class Options(NamedTuple):
    """Checked options: what samples, what loads, and the names that were given and not honoured."""

    sampling: SamplingParams
    load: LoadOptions
    ignored: tuple[str, ...] = ()


def read_options(given: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> Options:
    """Return core's parameters for the options `given` over the model's own `defaults`.

    InvalidOption with Ollama's text for a wrong type; InvalidRequest naming option and range for a value out of it.
    """
    sampling: dict[str, Any] = {}
    load: dict[str, Any] = {}
    for name, value in {**(defaults or {}), **given}.items():
        option = OPTIONS.get(name)
        if option is not None and value is not None:
            (load if option.load else sampling)[option.field] = _core_value(name, check_option(name, value))
    return Options(
        SamplingParams(**sampling), LoadOptions(**load), tuple(name for name in given if name not in OPTIONS)
    )


def check_option(name: str, value: Any) -> Any:
    """Return `value` in the type of option `name`, or raise (see read_options)."""
    option = OPTIONS[name]
    if option.kind == "boolean":
        if not isinstance(value, bool):
            raise InvalidOption(f'option "{name}" must be of type boolean', param=name)
        return value
    if option.kind == "array":
        if not isinstance(value, (list, tuple)):
            raise InvalidOption(f'option "{name}" must be of type array', param=name)
        if not all(isinstance(item, str) for item in value):
            raise InvalidOption(f'option "{name}" must be of an array of strings', param=name)
        return tuple(item for item in value if item)  # an empty stop string would stop at once
    if option.kind == "string":
        if not isinstance(value, str):
            raise InvalidOption(f'option "{name}" must be of type string', param=name)
        if not option.words:
            return value
        if value.lower() not in option.words:
            raise InvalidRequest(f'option "{name}" must be one of {", ".join(option.words)}', param=name)
        return value.lower()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidOption(f'option "{name}" must be of type {option.kind}', param=name)
    outside = not math.isfinite(value) or not option.low <= value <= option.high
    if outside or (option.above and value == option.low):
        raise InvalidRequest(f'option "{name}" must be {option.range_text(value)}', param=name)
    # Go cuts a fraction off where an integer is expected.
    return int(value) if option.kind == "integer" else float(value)


def _core_value(name: str, value: Any) -> Any:
    """Translate Ollama's ways of saying "unset" into core's, and a seed into 63 bits without a sign."""
    if name == "seed":
        return None if value == -1 else value & _INT64
    if name == "num_predict":
        return max(value, -1)
    if (name, value) in (("num_gpu", -1), ("num_thread", 0)):
        return None
    return value
