"""From a GGUF's header to a ModelSpec: sizes, quantization and capabilities, in Ollama's words."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from arriero.core.model import ModelDetails, ModelSpec, ShownModel
from arriero.store.gguf import GgufHeader
from arriero.store.splits import read_whole

# general.file_type (llama.h's enum llama_ftype) in the names Ollama shows
FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
}


RANKS = 4
"""The value of pooling_type that makes a reranker (llama.h's enum llama_pooling_type)."""


def human_count(count: int) -> str:
    """A parameter count as Ollama prints it: 8.0B, 494.03M, 15K."""
    if count >= 10**9:
        return f"{count / 10**9:.1f}B"
    if count >= 10**6:
        return f"{count / 10**6:.2f}M"
    if count >= 10**3:
        return f"{count / 10**3:.0f}K"
    return str(count)


def quantization(header: GgufHeader) -> str:
    """The file's quantization: what it says of itself, else the type of most of its matrices' elements."""
    number = header.values.get("general.file_type")
    stated = FILE_TYPES.get(number) if isinstance(number, int) else None
    if stated:
        return stated
    types: Counter[str] = Counter()
    for tensor in header.tensors:
        if len(tensor.shape) > 1:
            types[tensor.type] += tensor.elements
    return types.most_common(1)[0][0] if types else "unknown"


def details(header: GgufHeader) -> ModelDetails:
    """What lists print of the model in this file."""
    heads = header.arch("attention.head_count")
    embedding = header.arch("embedding_length")
    head_size = embedding // heads if heads else 0
    return ModelDetails(
        family=header.architecture,
        parameter_count=header.parameter_count,
        parameter_size=human_count(header.parameter_count),
        quantization=quantization(header),
        context_length=header.arch("context_length"),
        embedding_length=embedding,
        block_count=header.arch("block_count"),
        head_count=heads,
        head_count_kv=header.arch("attention.head_count_kv", heads),
        key_length=header.arch("attention.key_length", head_size),
        value_length=header.arch("attention.value_length", head_size),
    )


def capabilities(header: GgufHeader) -> tuple[str, ...]:
    """Ollama's rule: pooling makes an embedding model; tools and thinking show in the chat template."""
    pooling = header.values.get(f"{header.architecture}.pooling_type")
    if pooling is not None:
        return ("rerank",) if pooling == RANKS else ("embedding",)  # Ollama calls both embedding
    template = header.text("tokenizer.chat_template")
    found = ["completion"]
    if "tools" in template or "tool_call" in template:
        found.append("tools")
    if "<think>" in template and "</think>" in template:
        found.append("thinking")
    return tuple(found)


def digest_in_place(path: Path, header: GgufHeader) -> str:
    """A name for the content that costs no read of it: SHA-256 of header digest, size and mtime."""
    stat = path.stat()
    text = f"{header.digest} {stat.st_size} {stat.st_mtime_ns}"
    return hashlib.sha256(text.encode()).hexdigest()


def describe(name: str, path: Path, *, digest: str | None = None) -> ModelSpec:
    """The spec of the GGUF file at `path` under `name`; raises ModelLoadError when it is not usable."""
    header = read_whole(path)
    stat = path.stat()
    return ModelSpec(
        name=name,
        path=str(path),
        digest=digest or digest_in_place(path, header),
        size=header.file_size,
        modified_at=stat.st_mtime,
        details=details(header),
        capabilities=capabilities(header),
        chat_template=template if isinstance(template := header.values.get("tokenizer.chat_template"), str) else None,
        license=header.text("general.license"),
    )


def shown(spec: ModelSpec, *, verbose: bool) -> ShownModel:
    """The spec with the file's own keys and tensors. Arrays longer than 5 are empty unless `verbose`."""
    header = read_whole(spec.path, keep_arrays=1 << 40 if verbose else 5)
    hidden = ("general.name", "tokenizer.chat_template")
    info: dict[str, Any] = {key: value for key, value in header.values.items() if key not in hidden}
    info["general.parameter_count"] = header.parameter_count
    tensors = tuple({"name": t.name, "type": t.type, "shape": list(t.shape)} for t in header.tensors)
    return ShownModel(spec=spec, model_info=info, tensors=tensors)
