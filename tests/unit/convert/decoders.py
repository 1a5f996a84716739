"""Tiny folders of chat models, one kind each, with the network that their weights are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.convert.folders import Array, random_tensors, write_json, write_weights
from tests.unit.convert.reference import Network
from tests.unit.runners.llama_cpp.tiny_gguf import SPECIALS, TEMPLATE, vocabulary

HIDDEN, FF, LAYERS, HEADS, HEADS_KV, HEAD = 64, 96, 3, 4, 2, 16
TOKENS, _, MERGES = vocabulary()
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN_PATTERN = LLAMA3_PATTERN.replace("{1,3}", "")
CONFIG: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": FF,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS_KV,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "vocab_size": len(TOKENS) + 5,
    "hidden_act": "silu",
}


def tokenizer(pattern: str = LLAMA3_PATTERN) -> dict[str, Any]:
    """A byte-level tokenizer.json."""
    first = len(TOKENS) - len(SPECIALS)
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {
        "added_tokens": [{"id": first + at, "content": text, "special": True} for at, text in enumerate(SPECIALS)],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}],
        },
        "model": {
            "type": "BPE",
            "ignore_merges": pattern == LLAMA3_PATTERN,
            "vocab": {text: at for at, text in enumerate(TOKENS[:first])},
            "merges": MERGES,
        },
    }


def tensor_shapes(*, head: int = HEAD, fused: bool = False, norms: tuple[str, ...] = ()) -> dict[str, tuple[int, ...]]:
    """Shapes by transformers' names; `norms` are further ones in every layer."""
    q, kv = HEADS * head, HEADS_KV * head
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (len(TOKENS) + 5, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        if fused:
            shapes |= {f"{at}self_attn.qkv_proj.weight": (q + 2 * kv, HIDDEN)}
            shapes |= {f"{at}mlp.gate_up_proj.weight": (2 * FF, HIDDEN)}
        else:
            shapes |= {f"{at}self_attn.{one}_proj.weight": (q if one == "q" else kv, HIDDEN) for one in "qkv"}
            shapes |= {f"{at}mlp.{one}_proj.weight": (FF, HIDDEN) for one in ("gate", "up")}
        shapes |= {f"{at}self_attn.o_proj.weight": (HIDDEN, q), f"{at}mlp.down_proj.weight": (HIDDEN, FF)}
        for norm in ("input_layernorm", "post_attention_layernorm", *norms):
            shapes[f"{at}{norm}.weight"] = (head if "self_attn" in norm else HIDDEN,)
    return shapes


def folder_of(path: Path, config: dict[str, Any], tensors: dict[str, Array], pattern: str = LLAMA3_PATTERN) -> Path:
    """Write the folder."""
    write_weights(path, tensors)
    write_json(path, "config.json", CONFIG | config)
    write_json(path, "tokenizer.json", tokenizer(pattern))
    names = {"bos_token": SPECIALS[0], "eos_token": {"content": SPECIALS[2]}}
    write_json(path, "tokenizer_config.json", {**names, "add_bos_token": False, "chat_template": TEMPLATE})
    return path


def _network(tensors: dict[str, Array], **changes: Any) -> Network:
    numbers = {"layers": LAYERS, "heads": HEADS, "heads_kv": HEADS_KV, "head_dim": HEAD, "eps": 1e-5, **changes}
    return Network(tensors=tensors, **numbers)


def llama(path: Path) -> Network:
    """Llama with a head of its own and Llama 3's frequencies."""
    tensors = random_tensors(tensor_shapes() | {"lm_head.weight": (len(TOKENS) + 5, HIDDEN)}, 1)
    factors = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    rope = {"rope_theta": 500.0, "rope_scaling": {"rope_type": "llama3", **factors}}
    folder_of(path, {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": False, **rope}, tensors)
    divisors = []
    for frequency in 500.0 ** -(np.arange(0, HEAD, 2) / HEAD):
        wavelength = 2 * np.pi / frequency
        smooth = (64 / wavelength - 1.0) / 3.0
        middle = 1 / ((1 - smooth) / 8 + smooth)
        divisors.append(1.0 if wavelength < 16 else 8.0 if wavelength > 64 else middle)
    return _network(tensors, base=500.0, divisors=np.array(divisors))


def mistral(path: Path) -> Network:
    """Mistral: heads wider than the model's share, tied."""
    tensors = random_tensors(tensor_shapes(head=32), 2)
    folder_of(path, {"architectures": ["MistralForCausalLM"], "head_dim": 32, "tie_word_embeddings": True}, tensors)
    return _network(tensors, head_dim=32)


def qwen2(path: Path) -> Network:
    """Qwen 2: biases, and today's names for rotation."""
    biases: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        sizes = {"q": HEADS * HEAD, "k": HEADS_KV * HEAD, "v": HEADS_KV * HEAD}
        biases |= {f"model.layers.{layer}.self_attn.{one}_proj.bias": (size,) for one, size in sizes.items()}
    tensors = random_tensors(tensor_shapes() | biases, 3)
    config = {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True}
    rope = {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0}}
    folder_of(path, config | rope, tensors, QWEN_PATTERN)
    return _network(tensors, base=1000.0, stretch=4.0)


def qwen3(path: Path) -> Network:
    """Qwen 3: norms on queries and keys."""
    norms = ("self_attn.q_norm", "self_attn.k_norm")
    tensors = random_tensors(tensor_shapes(head=32, norms=norms), 4)
    config = {"architectures": ["Qwen3ForCausalLM"], "head_dim": 32, "tie_word_embeddings": True, "rope_theta": 1e4}
    folder_of(path, config, tensors, QWEN_PATTERN)
    return _network(tensors, head_dim=32)


def gemma3(path: Path) -> Network:
    """Gemma 3: windows of eight tokens in two of three layers, norms stored as distances."""
    norms = ("self_attn.q_norm", "self_attn.k_norm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    tensors = {
        name: values - 1 if "norm" in name else values
        for name, values in random_tensors(tensor_shapes(head=32, norms=norms), 5).items()
    }
    config = {
        "architectures": ["Gemma3ForCausalLM"],
        "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 32,
        "sliding_window": 8,
        "sliding_window_pattern": 3,
        "rope_theta": 5000.0,
        "rope_local_base_freq": 100.0,
        "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    }
    folder_of(path, config, tensors)
    windows = dict.fromkeys((0, 1), 8)
    return _network(tensors, head_dim=32, gemma=True, windows=windows, base=5000.0, base_of_windows=100.0, stretch=2.0)


def phi3(path: Path) -> Network:
    """Phi-3: fused tensors, three quarters of a head rotate, factors for short contexts."""
    tensors = random_tensors(tensor_shapes(head=16, fused=True) | {"lm_head.weight": (len(TOKENS) + 5, HIDDEN)}, 6)
    short, long = [1.0, 1.1, 1.3, 1.5, 2.0, 3.0], [2.0] * 6
    config = {
        "architectures": ["Phi3ForCausalLM"],
        "partial_rotary_factor": 0.75,
        "original_max_position_embeddings": 256,
        "rope_scaling": {"type": "longrope", "short_factor": short, "long_factor": long},
        "sliding_window": 2047,
    }
    folder_of(path, config, tensors)
    magnitude = float(np.sqrt(1 + np.log(2) / np.log(256)))
    return _network(tensors, rotated=12, divisors=np.array(short), fused=True, magnitude=magnitude)


FAMILIES: dict[str, Callable[[Path], Network]] = {
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma3": gemma3,
    "phi3": phi3,
}
