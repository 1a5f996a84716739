"""Writes a small model's weights into the corner of a larger shape: the same answers, at the larger one's price.

With d and D the widths, the norms' weights are times √(d/D) and their epsilon times d/D, since zeros beside the vector
make its mean square smaller. What the added heads, rows and layers compute is multiplied by zeros.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFReader, ReaderTensor, quants

from benchmarks.model_file import Matrix, ModelFile, Shape


def write_padded(path: Path, source: Path, shape: Shape, kind: str, seed: int = 0) -> None:
    """Write the model at `source` (llama, tied embedding) in `shape`, whatever architecture that names.

    ValueError where it does not fit.
    """
    reader = GGUFReader(str(source))
    old = _shape(reader)
    if old.architecture != "llama" or old.head != shape.head:
        raise ValueError(f"only a llama with heads of {shape.head} can be padded so")
    if not _fits(old, shape):
        raise ValueError("the model is larger than the shape")
    rng = np.random.default_rng(seed)
    found = {tensor.name: tensor for tensor in reader.tensors}
    if "output.weight" in found:
        raise ValueError("only a model with a tied embedding can be padded")
    wide = Shape("llama", *(getattr(shape, name) for name in Shape.__slots__[1:]))
    file = ModelFile(path, wide, kind, reader, f"padded-{source.stem}")
    share = old.width / shape.width
    epsilon = _number(reader, "llama.attention.layer_norm_rms_epsilon") * share
    file.rotary(int(_number(reader, "llama.rope.dimension_count")), _number(reader, "llama.rope.freq_base"), epsilon)

    def corner(name: str, rows: int, columns: int) -> Matrix:
        """A tensor's values in the corner of zeros."""
        matrix = np.zeros((rows, columns), np.float32)
        values = _values(found[name])
        matrix[: values.shape[0], : values.shape[1]] = values
        return matrix

    def norm(name: str | None) -> Matrix:
        weights = np.ones(shape.width, np.float32)
        if name is not None:
            weights[: old.width] = _values(found[name]) * np.sqrt(np.float32(share))
        return weights

    def random(rows: int, columns: int) -> Matrix:
        return rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.7 / np.sqrt(columns))

    file.matrix("token_embd.weight", corner("token_embd.weight", len(_values(found["token_embd.weight"])), shape.width))
    file.vector("output_norm.weight", norm("output_norm.weight"))
    inner, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    queries = _head_rows(old, shape)
    for layer in range(shape.layers):
        name = f"blk.{layer}."
        real = layer < old.layers
        file.vector(name + "attn_norm.weight", norm(name + "attn_norm.weight" if real else None))
        file.vector(name + "ffn_norm.weight", norm(name + "ffn_norm.weight" if real else None))
        query, output = random(inner, shape.width), np.zeros((shape.width, inner), np.float32)
        gate, up = random(shape.feed_forward, shape.width), random(shape.feed_forward, shape.width)
        key, value = random(keys, shape.width), random(keys, shape.width)
        down = np.zeros((shape.width, shape.feed_forward), np.float32)
        if real:
            query[queries, : old.width] = _values(found[name + "attn_q.weight"])
            output[: old.width, queries] = _values(found[name + "attn_output.weight"])
            rows = old.kv_heads * old.head
            key[:rows, : old.width] = _values(found[name + "attn_k.weight"])
            value[:rows, : old.width] = _values(found[name + "attn_v.weight"])
            gate[: old.feed_forward, : old.width] = _values(found[name + "ffn_gate.weight"])
            up[: old.feed_forward, : old.width] = _values(found[name + "ffn_up.weight"])
            down = corner(name + "ffn_down.weight", shape.width, shape.feed_forward)
        file.matrix(name + "attn_q.weight", query)
        file.matrix(name + "attn_k.weight", key)
        file.matrix(name + "attn_v.weight", value)
        file.matrix(name + "attn_output.weight", output)
        file.matrix(name + "ffn_gate.weight", gate)
        file.matrix(name + "ffn_up.weight", up)
        file.matrix(name + "ffn_down.weight", down)
    file.close()


def _head_rows(old: Shape, new: Shape) -> list[int]:
    """Where the rows of the old heads go, so that each still reads its own key and value head."""
    per, per_new = old.heads // old.kv_heads, new.heads // new.kv_heads
    heads = [kv * per_new + number for kv in range(old.kv_heads) for number in range(per)]
    return [head * new.head + row for head in heads for row in range(new.head)]


def _fits(old: Shape, new: Shape) -> bool:
    sizes = ("width", "feed_forward", "layers", "heads", "kv_heads")
    grouped = old.heads // old.kv_heads <= new.heads // new.kv_heads
    return grouped and all(getattr(old, name) <= getattr(new, name) for name in sizes)


def _shape(reader: GGUFReader) -> Shape:
    heads, width = int(_number(reader, "llama.attention.head_count")), int(_number(reader, "llama.embedding_length"))
    return Shape(
        architecture=str(reader.fields["general.architecture"].contents()),
        width=width,
        feed_forward=int(_number(reader, "llama.feed_forward_length")),
        layers=int(_number(reader, "llama.block_count")),
        heads=heads,
        kv_heads=int(_number(reader, "llama.attention.head_count_kv")),
        head=width // heads,
        context=int(_number(reader, "llama.context_length")),
    )


def _number(reader: GGUFReader, key: str) -> float:
    return float(reader.fields[key].contents())


def _values(tensor: ReaderTensor) -> Matrix:
    values: Matrix = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
    return values
