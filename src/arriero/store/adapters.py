"""The layer of a LoRA adapter: a GGUF as it is, PEFT's files converted; it must be for the model that it is put on.

Blocks: not for an event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from arriero.core.errors import InvalidRequest
from arriero.core.library import BaseModel
from arriero.store.draft import Draft
from arriero.store.folder import ModelFolder
from arriero.store.from_files import add, header_of, is_gguf, kind_of, located
from arriero.store.gguf import GgufHeader, read_header


def add_adapter(draft: Draft, files: Mapping[str, str], folders: Sequence[ModelFolder]) -> None:
    """Add the adapter in `files` (a relative name to the digest of a blob in `folders`); InvalidRequest."""
    found = located(files, folders)
    if any(name.endswith(".safetensors") for name in found):
        draft.layers.append(draft.converted("adapter", found, base=base_model(_base(draft))))
        return
    for name, path in found.items():
        if not is_gguf(path):
            raise InvalidRequest("supplied file was not in GGUF format")
        if kind_of(header_of(name, path)) != "adapter":
            raise InvalidRequest(f"{name} is a GGUF, but no LoRA adapter")
        add(draft, "adapter", path, files[name])


def check_adapters(draft: Draft) -> None:
    """InvalidRequest unless the draft has one adapter at most, and that is for its model."""
    layers = [layer for layer in draft.layers if layer.kind == "adapter"]
    if len(layers) > 1:
        raise InvalidRequest("only one adapter is currently supported")
    for layer in layers:
        adapter, base = read_header(draft.folder.blobs.path(layer.digest)), _base(draft)
        if adapter.architecture != base.architecture:
            raise InvalidRequest(
                f"the adapter is for models of the architecture {adapter.architecture}, this one is {base.architecture}"
            )
        if (kind := adapter.values.get("adapter.type")) != "lora":
            raise InvalidRequest(f"adapters of type {kind} are not supported, only LoRA")
        shapes = {tensor.name: tensor.shape for tensor in base.tensors}
        for tensor in adapter.tensors:
            name, _, half = tensor.name.rpartition(".lora_")
            if half and name not in shapes:
                raise InvalidRequest(f"the base model has nothing for the adapter's {name}; is it for another one?")
            if half == "b" and name != "token_embd.weight" and shapes[name][1:2] != tensor.shape[1:2]:
                raise InvalidRequest(f"the adapter's {name} is of another shape than the base model's")


def base_model(header: GgufHeader) -> BaseModel:
    """What conversion has to know of the model."""
    heads = header.arch("attention.head_count")
    return BaseModel(
        architecture=header.architecture,
        layers=header.arch("block_count"),
        heads=heads,
        heads_kv=header.arch("attention.head_count_kv", heads),
        head_dim=header.arch("attention.key_length"),
        width=header.arch("embedding_length"),
        shapes={tensor.name: tensor.shape for tensor in header.tensors},
    )


def _base(draft: Draft) -> GgufHeader:
    for layer in draft.layers:
        if layer.kind == "model":
            return read_header(draft.folder.blobs.path(layer.digest))
    raise InvalidRequest("an adapter needs a model to be put on")
