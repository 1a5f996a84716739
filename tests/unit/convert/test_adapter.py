"""LoRA adapters of PEFT: converted and applied by llama.cpp, against the same network with merged weights in numpy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arriero.convert.adapter import convert_adapter
from arriero.convert.model import convert
from arriero.core.errors import InvalidRequest
from arriero.core.library import BaseModel
from arriero.store.adapters import base_model
from arriero.store.gguf import read_header
from tests.unit.convert.decoders import FAMILIES
from tests.unit.convert.folders import Array, files_in, write_json, write_weights
from tests.unit.convert.llama import loaded
from tests.unit.convert.reference import Network

TEXT = "the llama hello thehe in an a zoo"
CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "bias": "none", "use_dora": False, "modules_to_save": None}


def adapter_folder(path: Path, network: Network, parts: tuple[str, ...], **config: Any) -> dict[str, Array]:
    """Write an adapter for these parts of every layer; return the products B·A by the weights' names."""
    random = np.random.default_rng(9)
    tensors: dict[str, Array] = {}
    products: dict[str, Array] = {}
    ranks = config.get("rank_pattern", {})
    for name, weight in network.tensors.items():
        part = name.removesuffix(".weight").rpartition(".")[2]
        if part in parts and "layers" in name:
            rank = ranks.get(part, CONFIG["r"])
            a = random.normal(0, 0.2, (rank, weight.shape[1])).astype(np.float32)
            b = random.normal(0, 0.2, (weight.shape[0], rank)).astype(np.float32)
            at = f"base_model.model.{name.removesuffix('.weight')}"
            tensors |= {f"{at}.lora_A.weight": a, f"{at}.lora_B.weight": b}
            products[name] = b.astype(np.float64) @ a
    write_weights(path, tensors, "adapter_model.safetensors")
    write_json(path, "adapter_config.json", CONFIG | config)
    return products


def made(tmp_path: Path, family: str) -> tuple[Network, Path, BaseModel]:
    network = FAMILIES[family](tmp_path / "model")
    convert(files_in(tmp_path / "model"), tmp_path / "base.gguf", lambda done, total: None)
    return network, tmp_path / "base.gguf", base_model(read_header(tmp_path / "base.gguf"))


def nobody(done: int, total: int) -> None:
    """Nobody watches."""


ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@pytest.mark.parametrize(
    ("family", "parts", "config", "scales"),
    [
        ("llama", ALL, {}, {}),
        ("llama", ("q_proj", "k_proj"), {"use_rslora": True}, {"q_proj": 4.0, "k_proj": 4.0}),
        ("mistral", ("q_proj", "v_proj"), {}, {}),
        (
            "qwen3",
            ("q_proj", "o_proj", "down_proj"),
            {"rank_pattern": {"o_proj": 2}, "alpha_pattern": {"down_proj": 16}},
            {"o_proj": 4.0, "down_proj": 4.0},
        ),
        ("qwen2", ("q_proj", "v_proj"), {}, {}),
        ("gemma3", ("q_proj", "up_proj"), {}, {}),
        ("phi3", ("qkv_proj", "gate_up_proj"), {}, {}),
    ],
)
def test_logits_are_those_of_the_merged_weights(
    family: str, parts: tuple[str, ...], config: dict[str, Any], scales: dict[str, float], tmp_path: Path
) -> None:
    network, path, base = made(tmp_path, family)
    products = adapter_folder(tmp_path / "lora", network, parts, **config)
    convert_adapter(files_in(tmp_path / "lora"), base, tmp_path / "lora.gguf", nobody)
    merged = dict(network.tensors)
    for name, product in products.items():
        part = name.removesuffix(".weight").rpartition(".")[2]
        merged[name] = merged[name] + product * scales.get(part, 2.0)
    with loaded(path) as model:
        tokens = model.tokens(TEXT)
        without = model.logits(tokens)
    with loaded(path, adapter=tmp_path / "lora.gguf") as model:
        got = model.logits(tokens)
    expected = replace(network, tensors=merged).logits(tokens)
    assert np.abs(got - expected).max() < 0.03 * expected.std()
    assert np.abs(got - without).max() > 0.3 * expected.std()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"peft_type": "LOHA"}, "adapter_config.json: peft_type 'LOHA' is not supported"),
        ({"use_dora": True}, "adapter_config.json: use_dora True is not supported"),
        ({"bias": "all"}, "adapter_config.json: bias 'all' is not supported"),
        ({"modules_to_save": ["lm_head"]}, "adapter_config.json: modules_to_save ['lm_head'] is not supported"),
        ({"r": 0}, "adapter_config.json: r is 0"),
        ({"alpha_pattern": {"q_proj(": 3}}, "adapter_config.json: 'q_proj(' with 3 is no pattern with a number"),
        ({"r": None}, "adapter_config.json: r is missing"),
    ],
)
def test_adapters_that_are_more_than_two_matrices(config: dict[str, Any], text: str, tmp_path: Path) -> None:
    network, _, base = made(tmp_path, "llama")
    adapter_folder(tmp_path / "lora", network, ("q_proj",))
    write_json(tmp_path / "lora", "adapter_config.json", CONFIG | config)
    with pytest.raises(InvalidRequest) as raised:
        convert_adapter(files_in(tmp_path / "lora"), base, tmp_path / "lora.gguf", nobody)
    assert raised.value.message == text


def test_adapters_for_another_model(tmp_path: Path) -> None:
    _, _, base = made(tmp_path, "llama")

    def refused(tensors: dict[str, Array], base: BaseModel) -> str:
        write_weights(tmp_path / "lora", tensors, "adapter_model.safetensors")
        write_json(tmp_path / "lora", "adapter_config.json", CONFIG)
        with pytest.raises(InvalidRequest) as raised:
            convert_adapter(files_in(tmp_path / "lora"), base, tmp_path / "lora.gguf", nobody)
        assert not (tmp_path / "lora.gguf").exists()
        return raised.value.message

    at = "base_model.model.model.layers.0.self_attn.q_proj"
    half, other = np.zeros((4, 64), np.float32), np.zeros((64, 4), np.float32)
    pair = {f"{at}.lora_A.weight": half, f"{at}.lora_B.weight": other}
    assert refused({f"{at}.lora_A.weight": half}, base) == (
        "the adapter has one half for model.layers.0.self_attn.q_proj only"
    )
    assert refused({f"{at}.lora_A.weight": half[:, :32], f"{at}.lora_B.weight": other}, base) == (
        "model.layers.0.self_attn.q_proj: the adapter is for 64 by 32, the base has 64 by 64"
    )
    far = {name.replace("layers.0", "layers.30"): values for name, values in pair.items()}
    assert refused(far, base).startswith("the base model has nothing for model.layers.30.self_attn.q_proj")
    assert refused({"model.embed_tokens.weight": half}, base) == (
        "tensor model.embed_tokens.weight is no half of a LoRA pair"
    )
    mamba = BaseModel(architecture="mamba", layers=1, heads=1, heads_kv=1, head_dim=0, width=1, shapes={})
    assert refused(pair, mamba) == "adapters for models of the architecture mamba cannot be converted"
