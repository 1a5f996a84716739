"""The layer of a draft model: smaller weights that guess what the model is going to say. Made as the model's own are.

Blocks: not for an event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from arriero.core.errors import InvalidRequest
from arriero.store.describe import quantization
from arriero.store.draft import Draft
from arriero.store.folder import ModelFolder
from arriero.store.from_files import from_files
from arriero.store.gguf import read_header
from arriero.store.manifests import LAYER_TYPE, Layer
from arriero.store.quantization import SOURCES, quantization_type


def add_draft_model(draft: Draft, files: Mapping[str, str], folders: Sequence[ModelFolder], quantize: str = "") -> None:
    """Put the draft model in `files` (a relative name to the digest of a blob in `folders`) in place of the base's.

    `quantize` names the type to write it in, empty for its own. InvalidRequest for what is no model's weights.
    """
    wanted = quantization_type(quantize) if quantize else None
    own, draft.layers = draft.layers, []
    try:
        from_files(draft, files, folders, wanted)
        made = draft.layers
    finally:
        draft.layers = own
    if len(made) != 1:
        raise InvalidRequest("the draft model's files hold more than one model's weights")
    [layer] = made
    if wanted is not None:
        layer = _quantized(draft, layer, wanted)
    draft.layers = [one for one in own if one.kind != "draft"]
    draft.layers.append(msgspec.structs.replace(layer, media_type=LAYER_TYPE + "draft"))
    header = read_header(draft.folder.blobs.path(layer.digest))
    draft.config["draft"] = {"model_format": "gguf", "architecture": header.architecture}


def _quantized(draft: Draft, layer: Layer, wanted: tuple[str, int]) -> Layer:
    path = draft.folder.blobs.path(layer.digest)
    have = quantization(read_header(path))
    if have == wanted[0]:
        return layer
    if have not in SOURCES:
        raise InvalidRequest(f"draft quantization requires an unquantized draft model, got {have}")
    return draft.quantized(path, wanted) or layer
