"""Which types create can quantize to: those of libllama that need no importance matrix."""

from __future__ import annotations

from arriero.core.errors import InvalidOption, InvalidRequest
from arriero.store.describe import FILE_TYPES

NEED_MATRIX = frozenset(
    ["IQ1_M", "IQ1_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_XS", "IQ3_XXS", "Q2_K_S"]
)  # llama.cpp refuses them without one
SOURCES = ("F16", "BF16", "F32")
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "FP16": "F16", "FP32": "F32", "MXFP4": "MXFP4_MOE"}
_NUMBERS = {name: number for number, name in FILE_TYPES.items() if name not in NEED_MATRIX}


def quantization_type(text: str) -> tuple[str, int]:
    """The type's name and its number in llama.h's enum llama_ftype; an error with Ollama's text for an unknown one."""
    name = _ALIASES.get(text.upper(), text.upper())
    if name in NEED_MATRIX:
        raise InvalidRequest(f"quantization type {name} needs an importance matrix, which create does not take")
    if name not in _NUMBERS:
        raise InvalidOption(
            f"unsupported quantization type {name} - supported types are F32, F16, Q4_K_S, Q4_K_M, Q8_0"
        )
    return name, _NUMBERS[name]


def check_source(name: str) -> None:
    """InvalidOption with Ollama's text unless weights of that type may be quantized."""
    if name not in SOURCES:
        raise InvalidOption("quantization is only supported for F16, BF16 and F32 models")
