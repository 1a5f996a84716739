"""A GGUF under construction: shapes of benchmark models, and a writer that knows their fields, not their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, LlamaFileType, quants

Matrix = npt.NDArray[np.float32]

TYPES = {
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (GGMLQuantizationType.Q4_0, LlamaFileType.MOSTLY_Q4_0),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """An architecture and its sizes."""

    architecture: str
    width: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    context: int


SHAPES = {
    "tiny": Shape("llama", 256, 704, 4, 4, 2, 64, 4096),
    "15m": Shape("llama", 288, 768, 6, 6, 6, 48, 8192),
    "135m": Shape("llama", 576, 1536, 30, 9, 3, 64, 8192),  # SmolLM2-135M's
    "0.5b": Shape("qwen2", 896, 4864, 24, 14, 2, 64, 32768),  # Qwen2.5-0.5B's
}


class ModelFile:
    """A GGUF under construction, with the tokenizer of another."""

    def __init__(self, path: Path, shape: Shape, kind: str, vocabulary: GGUFReader, name: str) -> None:
        self.quantized, file_type = TYPES[kind]
        self.shape = shape
        self._writer = writer = GGUFWriter(str(path), shape.architecture)
        for key, field in vocabulary.fields.items():
            if key.startswith("tokenizer."):
                inner = field.types[1] if len(field.types) > 1 else None
                writer.add_key_value(key, field.contents(), field.types[0], inner)
        writer.add_name(name)
        writer.add_context_length(shape.context)
        writer.add_embedding_length(shape.width)
        writer.add_block_count(shape.layers)
        writer.add_feed_forward_length(shape.feed_forward)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
        writer.add_vocab_size(len(vocabulary.fields["tokenizer.ggml.tokens"].data))
        writer.add_file_type(file_type)

    def rotary(self, dimensions: int, base: float, epsilon: float) -> None:
        """Rotary embedding and the norms' epsilon."""
        self._writer.add_rope_dimension_count(dimensions)
        self._writer.add_rope_freq_base(base)
        self._writer.add_layer_norm_rms_eps(epsilon)

    def matrix(self, name: str, values: Matrix) -> None:
        """A quantized tensor, float32[rows, columns]."""
        self._writer.add_tensor(name, quants.quantize(values, self.quantized), raw_dtype=self.quantized)

    def vector(self, name: str, values: Matrix) -> None:
        """A tensor that stays float32."""
        self._writer.add_tensor(name, values)

    def close(self) -> None:
        """Write it all."""
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_tensors_to_file()
        self._writer.close()
