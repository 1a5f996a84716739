"""A checkpoint to the GGUF that ships: Q8_0 matrices, float32 norms, tokenizer and chat template inside.

python -m training.export_gguf build/demo/checkpoint.pt src/arriero/demo/demo.gguf
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch

from training.chat import TEMPLATE
from training.shape import CONTROL_TOKENS, IM_END, PAD, TEXT_TOKENS, Shape
from training.tokenizer import load, merges_of


def add_tokenizer(writer: gguf.GGUFWriter) -> None:
    """Vocabulary, merges and special ids."""
    tokenizer = load()
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    types = []
    for token in tokens:
        if token in CONTROL_TOKENS:
            types.append(gguf.TokenType.CONTROL)
        elif token in TEXT_TOKENS:
            types.append(gguf.TokenType.USER_DEFINED)
        else:
            types.append(gguf.TokenType.UNUSED if token.startswith("<|unused_") else gguf.TokenType.NORMAL)
    end = tokenizer.token_to_id(IM_END)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges_of(tokenizer))
    writer.add_eos_token_id(end)
    writer.add_eot_token_id(end)
    writer.add_pad_token_id(tokenizer.token_to_id(PAD))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE.read_text(encoding="utf-8"))


def add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """Names and sizes."""
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name("arriero demo")
    writer.add_basename("demo")
    writer.add_size_label("5M")
    writer.add_license("MIT")
    writer.add_description("A tiny model trained on generated dialogues, to try a server with.")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocab)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_eps)


def export(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write the model file."""
    writer = gguf.GGUFWriter(path, "llama")
    add_shape(writer, Shape())
    add_tokenizer(writer)
    for name, weight in weights.items():
        array = np.ascontiguousarray(weight.float().numpy())
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Export one checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    saved = torch.load(args.checkpoint, weights_only=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    export(saved["optimizer"]["master"], args.out)
    print(json.dumps({"bytes": args.out.stat().st_size, "tokens_seen": saved["seen"]}))


if __name__ == "__main__":
    main()
