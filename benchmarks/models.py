"""Writes benchmark models: real architectures and tokenizers, weights that mean nothing.

    python -m benchmarks.models OUT.gguf --size 0.5b --type q8_0 --chain [--vocabulary FILE.gguf]

Speed does not depend on what weights are, as long as nobody guesses the text. Plain random weights fall into a loop
after some tokens, where speculation wins by accident; a chain's greedy text walks one long cycle of words instead.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader

from arriero.store.catalog import demo_path
from benchmarks.model_file import SHAPES, TYPES, Matrix, ModelFile
from benchmarks.padding import write_padded

ROPE_BASE = 500000.0
EPSILON = 1e-5
_MARKS = ("\u0120", "\u2581")  # a blank before a word, in byte-level and in SentencePiece vocabularies


def write_random(path: Path, size: str, kind: str, vocabulary: Path, *, chain: bool, seed: int = 0) -> None:
    """Write a model of random weights; of a `chain` the next word depends on the last one alone."""
    shape = SHAPES[size]
    rng = np.random.default_rng(seed)
    reader = GGUFReader(str(vocabulary))
    tokens: list[str] = reader.fields["tokenizer.ggml.tokens"].contents()
    file = ModelFile(path, shape, kind, reader, f"{'chain' if chain else 'random'}-{size}")
    file.rotary(shape.head, ROPE_BASE, EPSILON)

    def random(rows: int, columns: int, scale: float | None = None) -> Matrix:
        spread = np.float32(scale or 0.7 / np.sqrt(columns))
        return rng.standard_normal((rows, columns), dtype=np.float32) * spread

    if chain:
        embedding = random(len(tokens), shape.width, 1.0)
        output = random(len(tokens), shape.width, 0.1)
        words = rng.permutation(plain_words(tokens))
        output[np.roll(words, -1)] = embedding[words]  # behind each word its follower scores highest
        file.matrix("token_embd.weight", embedding)
        file.matrix("output.weight", output)
    else:
        file.matrix("token_embd.weight", random(len(tokens), shape.width, 0.02))
    small = 0.01 if chain else None  # the layers cost what they cost, and hardly move the answer
    file.vector("output_norm.weight", np.ones(shape.width, np.float32))
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        inner, keys = shape.heads * shape.head, shape.kv_heads * shape.head
        file.vector(name + "attn_norm.weight", np.ones(shape.width, np.float32))
        file.vector(name + "ffn_norm.weight", np.ones(shape.width, np.float32))
        file.matrix(name + "attn_q.weight", random(inner, shape.width))
        file.matrix(name + "attn_k.weight", random(keys, shape.width))
        file.matrix(name + "attn_v.weight", random(keys, shape.width))
        file.matrix(name + "attn_output.weight", random(shape.width, inner, small))
        if shape.architecture == "qwen2":
            for part, length in (("q", inner), ("k", keys), ("v", keys)):
                file.vector(f"{name}attn_{part}.bias", np.zeros(length, np.float32))
        file.matrix(name + "ffn_gate.weight", random(shape.feed_forward, shape.width))
        file.matrix(name + "ffn_up.weight", random(shape.feed_forward, shape.width))
        file.matrix(name + "ffn_down.weight", random(shape.width, shape.feed_forward, small))
    file.close()


def plain_words(tokens: list[str]) -> npt.NDArray[np.int64]:
    """The ids of tokens that are a whole lower-case word behind a blank; of letters alone, where few are."""

    def letters(text: str) -> bool:
        return 2 <= len(text) <= 8 and text.isascii() and text.isalpha() and text.islower()

    words = [number for number, token in enumerate(tokens) if token[:1] in _MARKS and letters(token[1:])]
    if len(words) < 256:
        words = [number for number, token in enumerate(tokens) if letters(token)]
    return np.array(words)


def default_vocabulary(size: str) -> Path:
    """A vocabulary as models of this size have, from ARRIERO_TEST_DATA: 152,000 or 32,000 tokens; else the demo's."""
    data = os.environ.get("ARRIERO_TEST_DATA")
    kind = "qwen2" if SHAPES[size].architecture == "qwen2" else "llama-spm"
    found = Path(data, "vocab", f"ggml-vocab-{kind}.gguf") if data else None
    return found if found is not None and found.is_file() else demo_path()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=SHAPES, default="0.5b")
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    parser.add_argument("--chain", action="store_true", help="greedy text walks one cycle of words")
    parser.add_argument("--padded-demo", action="store_true", help="the demo in this size: it answers as the demo")
    parser.add_argument("--vocabulary", type=Path, help="a GGUF whose tokenizer is taken")
    parser.add_argument("--seed", type=int, default=0)
    given: Any = parser.parse_args()
    if given.padded_demo:
        write_padded(given.out, demo_path(), SHAPES[given.size], given.type)
    else:
        source = given.vocabulary or default_vocabulary(given.size)
        write_random(given.out, given.size, given.type, source, chain=given.chain, seed=given.seed)
    print(given.out)


if __name__ == "__main__":
    main()
