"""Makes a model of another one or of uploaded files: layers, config and manifest, as Ollama's create lays them out.

Blocks: not for an event loop. `report` is called between steps, and may raise to give up; nothing is listed then.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from arriero.core.errors import BlobNotFound, InvalidRequest, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.store.adapters import add_adapter, check_adapters
from arriero.store.blobs import parse_digest
from arriero.store.draft import Draft, Report, Tools
from arriero.store.draft_model import add_draft_model
from arriero.store.durable import told
from arriero.store.folder import ModelFolder
from arriero.store.from_files import from_files
from arriero.store.go_json import encode
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel, read_text
from arriero.store.quantization import quantization_type
from arriero.store.splits import parts_of
from arriero.store.turns import encode_turns

INFO_FIELDS = {"quantization_level": "file_type", "parameter_size": "model_type"}
"""What `info` calls otherwise than the config does."""


def create(
    folder: ModelFolder,
    request: CreateRequest,
    base: Path | StoredModel | None,
    report: Report,
    others: Sequence[ModelFolder] = (),
    tools: Tools = Tools(),  # noqa: B008 -- frozen
) -> None:
    """Make `request.model` in `folder`. `base` is what `request.base` names: a file served in place or a stored model.

    Uploaded blobs may lie in `others`, too. InvalidRequest with Ollama's texts for what cannot be made; BlobNotFound;
    StoreError.
    """
    name = parse_name(request.model)
    draft = Draft(folder, report, tools)
    wanted = quantization_type(request.quantize) if request.quantize else None
    layer = None
    if isinstance(base, Path) and wanted is not None:  # without a copy of what it is made of
        layer = draft.quantized(base, wanted, origin=str(parse_name(request.base)))
    if layer is not None:
        draft.layers.append(layer)
    elif base is not None:
        _from_model(draft, base, request.base)
    elif request.files is not None:
        from_files(draft, request.files, (folder, *others), wanted)
    else:
        raise InvalidRequest("neither 'from' or 'files' was specified")
    if request.adapters:
        add_adapter(draft, request.adapters, (folder, *others))
    check_adapters(draft)
    if request.draft_files:
        add_draft_model(draft, request.draft_files, (folder, *others), request.draft_quantize)
    if layer is None and wanted is not None:
        for index, old in enumerate(draft.layers):
            if old.kind == "model" and old.digest not in draft.made:
                path = folder.blobs.path(old.digest)
                draft.layers[index] = draft.quantized(path, wanted, origin=old.from_) or old
    _change(draft, request)
    raw = draft.finish()
    report(Progress(status="writing manifest"))
    folder.write(name, raw)
    report(Progress(status="success"))


def copy(folder: ModelFolder, source: Path | StoredModel, destination: str, origin: str) -> None:
    """Give the model a second name in `folder`: the same manifest, or one made for a file that has none."""
    name = parse_name(destination)
    if isinstance(source, StoredModel) and source.folder is folder:
        folder.write(name, source.stored.manifest.raw)
        return
    draft = Draft(folder, lambda progress: None)
    if isinstance(source, StoredModel):
        for blob in source.stored.manifest.blobs:
            if not folder.blobs.has(blob.digest):
                draft.file("", source.folder.blobs.path(blob.digest), expected=blob.digest)
        folder.write(name, source.stored.manifest.raw)
        return
    _from_model(draft, source, origin)
    folder.write(name, draft.finish())


def _from_model(draft: Draft, base: Path | StoredModel, named: str) -> None:
    origin = str(parse_name(named))
    if isinstance(base, Path):
        if len(parts := parts_of(base)) > 1:
            draft.merged(parts, origin=origin)
        else:
            draft.file("model", base, origin=origin)
        return
    config = base.stored.manifest.config
    if config is not None and config.digest:
        draft.config = _object(base.folder.blobs.path(config.digest))
    for layer in base.stored.manifest.layers:
        digest = parse_digest(layer.digest)
        if base.folder is draft.folder and not draft.folder.blobs.has(digest):
            raise BlobNotFound(f'blob "{digest}" not found', digest=digest)
        if draft.folder.blobs.has(digest):
            draft.blob(msgspec.structs.replace(layer, from_=origin))
        else:
            draft.file(layer.kind, base.folder.blobs.path(digest), origin=origin, expected=digest)


def _change(draft: Draft, request: CreateRequest) -> None:
    """Put the request's own texts, parameters and messages over the base's."""
    if request.template is not None:
        draft.text("template", request.template.encode())
    if request.system is not None:
        draft.text("system", request.system.encode())
    for license_text in request.licenses:
        draft.text("license", license_text.encode(), replace=False)
    parameters = _parameters(draft) | request.parameters if request.parameters else {}
    if parameters:
        draft.text("params", encode(parameters, sort=True))
    if request.messages:
        draft.text("messages", encode_turns(request.messages))
    for name in ("renderer", "parser", "requires"):
        if getattr(request, name):
            draft.config[name] = getattr(request, name)
    draft.overrides = {INFO_FIELDS.get(name, name): value for name, value in request.info.items()}
    if "capabilities" in draft.overrides:
        draft.overrides["capabilities"] = [*(draft.config.get("capabilities") or ()), *draft.overrides["capabilities"]]


def _parameters(draft: Draft) -> dict[str, Any]:
    for layer in draft.layers:
        if layer.kind == "params":
            return _object(draft.folder.blobs.path(layer.digest))
    return {}


def _object(path: Path) -> dict[str, Any]:
    """The JSON object in one of the base's layers."""
    try:
        with told("read a layer of the base"):
            found: dict[str, Any] = msgspec.json.decode(read_text(path), type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise StoreError(f"a layer of the base cannot be read: {error}") from None
    return found
