"""Makes a model of another one or of uploaded GGUFs: layers, config and manifest, as Ollama's create lays them out.

Blocks: not for an event loop. `report` is called between steps, and may raise to give up; nothing is listed then.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from arriero.core.errors import BlobNotFound, InvalidRequest, ModelLoadError, NotImplementedYet, StoreError
from arriero.core.library import CreateRequest, Progress
from arriero.store.blobs import CHUNK, parse_digest
from arriero.store.describe import details, quantization
from arriero.store.durable import private_folder, told
from arriero.store.folder import ModelFolder
from arriero.store.gguf import MAGIC, GgufHeader, read_header
from arriero.store.go_json import encode
from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, encode_manifest
from arriero.store.names import parse_name
from arriero.store.ollama_store import StoredModel, read_text
from arriero.store.quantization import check_source, quantization_type

Report = Callable[[Progress], None]
Quantize = Callable[[Path, Path, int, Callable[[], None]], None]
"""Writes a GGUF to another path in a type of llama_ftype; calls its last argument while it works."""
REPORT_BYTES = 64 * CHUNK
PROJECTORS = ("clip", "mmproj")


class _Draft:
    """The layers of a model that is being made."""

    def __init__(self, folder: ModelFolder, report: Report) -> None:
        self.folder, self.report = folder, report
        self.layers: list[Layer] = []
        self.config: dict[str, Any] = {}
        self._new: dict[str, bool] = {}

    def text(self, kind: str, content: bytes, *, replace: bool = True) -> None:
        """Add a layer with that content, in place of those of its kind."""
        if replace:
            self.layers = [layer for layer in self.layers if layer.kind != kind]
        self.layers.append(self._layer(LAYER_TYPE + kind, content))

    def file(self, kind: str, path: Path, *, origin: str = "", expected: str | None = None) -> None:
        """Add a layer with a copy of a file; where its digest is known it is checked."""
        size = path.stat().st_size
        self.report(Progress(status=f"copying {path.name}", total=size))
        with self.folder.blobs.writer() as writer, told(f"read {path}"), path.open("rb") as file:
            while data := file.read(CHUNK):
                writer.write(data)
                if writer.size % REPORT_BYTES == 0:
                    self.report(Progress(status=f"copying {path.name}", total=size, completed=writer.size))
            digest, new = writer.commit(expected)
        self.report(Progress(status=f"copying {path.name}", digest=digest, total=size, completed=size))
        self._new.setdefault(digest, new)
        self.layers.append(Layer(media_type=LAYER_TYPE + kind, digest=digest, size=size, from_=origin))

    def blob(self, layer: Layer) -> None:
        """Add a layer whose blob is in the folder already."""
        self.folder.blobs.touch(layer.digest)  # nobody removes young ones while the others are gathered
        self._new.setdefault(layer.digest, False)
        self.layers.append(layer)

    def quantized(self, path: Path, wanted: tuple[str, int], quantize: Quantize, *, origin: str = "") -> Layer | None:
        """The layer of those weights in the type `wanted`; None if they have it already."""
        have = quantization(read_header(path))
        check_source(have)
        if have == wanted[0]:
            return None
        doing = Progress(status=f"quantizing {have} model to {wanted[0]}")
        self.report(doing)
        with (
            told("quantize"),
            tempfile.TemporaryDirectory(prefix="quantize-", dir=private_folder(self.folder.root, "tmp")) as room,
        ):
            target = Path(room) / "model.gguf"
            quantize(path, target, wanted[1], lambda: self.report(doing))
            size = target.stat().st_size
            digest, new = self.folder.blobs.adopt(target)
        self._new.setdefault(digest, new)
        return Layer(media_type=LAYER_TYPE + "model", digest=digest, size=size, from_=origin)

    def finish(self) -> bytes:
        """Write the config, tell what is new, and return the manifest."""
        weights = [layer for layer in self.layers if layer.kind == "model"]
        config = self._config(self._layer_header(weights[0])) if weights else self.config
        ordered = {**config, "architecture": "amd64", "os": "linux"}
        ordered["rootfs"] = {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]}
        config_layer = self._layer(CONFIG_TYPE, encode(ordered))
        for layer in (*self.layers, config_layer):
            known = "creating new" if self._new.get(layer.digest) else "using existing"
            self.report(Progress(status=f"{known} layer {layer.digest}"))
        return encode_manifest(config_layer, self.layers)

    def _layer(self, media_type: str, content: bytes) -> Layer:
        digest, new = self.folder.blobs.put(content)
        self._new.setdefault(digest, new)
        return Layer(media_type=media_type, digest=digest, size=len(content))

    def _layer_header(self, layer: Layer) -> GgufHeader:
        return read_header(self.folder.blobs.path(layer.digest))

    def _config(self, header: GgufHeader) -> dict[str, Any]:
        known = details(header)
        stated = {
            "model_format": "gguf",
            "model_family": known.family,
            "model_families": [known.family],
            "model_type": known.parameter_size,
            "file_type": known.quantization,
        }
        anew = ("architecture", "os", "rootfs", "model_type", "file_type")
        return {**stated, **{name: value for name, value in self.config.items() if name not in anew and value}}


def create(
    folder: ModelFolder,
    request: CreateRequest,
    base: Path | StoredModel | None,
    report: Report,
    others: Sequence[ModelFolder] = (),
    quantize: Quantize | None = None,
) -> None:
    """Make `request.model` in `folder`. `base` is what `request.base` names: a file served in place or a stored model.

    Uploaded blobs may lie in `others`, too. InvalidRequest with Ollama's texts for what cannot be made; BlobNotFound;
    StoreError.
    """
    name = parse_name(request.model)
    draft = _Draft(folder, report)
    wanted = quantization_type(request.quantize) if request.quantize else None
    if wanted is not None and quantize is None:
        raise NotImplementedYet("create with quantize is not supported here", param="quantize")
    layer = None
    if isinstance(base, Path) and wanted is not None and quantize is not None:  # without a copy of what it is made of
        layer = draft.quantized(base, wanted, quantize, origin=str(parse_name(request.base)))
    if layer is not None:
        draft.layers.append(layer)
    elif base is not None:
        _from_model(draft, base, request.base)
    elif request.files is not None:
        _from_files(draft, request.files, (folder, *others))
    else:
        raise InvalidRequest("neither 'from' or 'files' was specified")
    if layer is None and wanted is not None and quantize is not None:
        for index, old in enumerate(draft.layers):
            if old.kind == "model":
                path = folder.blobs.path(old.digest)
                draft.layers[index] = draft.quantized(path, wanted, quantize, origin=old.from_) or old
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
    draft = _Draft(folder, lambda progress: None)
    if isinstance(source, StoredModel):
        for blob in source.stored.manifest.blobs:
            if not folder.blobs.has(blob.digest):
                draft.file("", source.folder.blobs.path(blob.digest), expected=blob.digest)
        folder.write(name, source.stored.manifest.raw)
        return
    _from_model(draft, source, origin)
    folder.write(name, draft.finish())


def _from_model(draft: _Draft, base: Path | StoredModel, named: str) -> None:
    origin = str(parse_name(named))
    if isinstance(base, Path):
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


def _from_files(draft: _Draft, files: dict[str, str], folders: Sequence[ModelFolder]) -> None:
    if not files:
        raise InvalidRequest("no files provided to convert")
    found: dict[str, Path] = {}
    for name, digest in files.items():
        check_relative(name)
        places = [folder.blobs.path(digest) for folder in folders if folder.blobs.has(digest)]
        if not places:
            raise BlobNotFound(f'blob "{digest}" not found', digest=digest)
        found[name] = places[0]
    if any(name.endswith((".safetensors", ".bin", ".pth")) for name in files):
        raise NotImplementedYet("safetensors and PyTorch files cannot be converted by this version; give a GGUF file")
    draft.report(Progress(status="parsing GGUF"))
    for name in sorted(files):
        path = found[name]
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                known = name.endswith(".gguf") or len(files) > 1
                raise InvalidRequest("supplied file was not in GGUF format" if known else "unknown type")
        try:
            kind = kind_of(read_header(path))
        except ModelLoadError as error:
            raise InvalidRequest(f"{name}: {error.message}") from error
        if kind == "adapter":
            raise NotImplementedYet("LoRA adapters are not supported by this version of arriero")
        digest = parse_digest(files[name])
        if draft.folder.blobs.has(digest):
            draft.blob(Layer(media_type=LAYER_TYPE + kind, digest=digest, size=path.stat().st_size))
        else:
            draft.file(kind, path, expected=digest)
    if not any(layer.kind == "model" for layer in draft.layers):
        raise InvalidRequest("none of the files holds a model's weights")
    if sum(layer.kind == "model" for layer in draft.layers) > 1:
        raise NotImplementedYet("a model split over several GGUF files cannot be merged by this version of arriero")


def kind_of(header: GgufHeader) -> str:
    """Which layer a GGUF becomes: adapter, projector or model."""
    general = str(header.values.get("general.type", ""))
    if general == "adapter" or "adapter.type" in header.values:
        return "adapter"
    return "projector" if general == "mmproj" or header.architecture in PROJECTORS else "model"


def check_relative(name: str) -> None:
    """InvalidRequest unless `name` is a plain relative path, as Go's fs.ValidPath has it."""
    parts = name.split("/")
    if not name or PurePosixPath(name).is_absolute() or any(part in ("", ".", "..") for part in parts) or "\0" in name:
        raise InvalidRequest("file path must be relative")


def _change(draft: _Draft, request: CreateRequest) -> None:
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
        turns: Sequence[dict[str, str]] = [{"role": one.role, "content": one.content} for one in request.messages]
        draft.text("messages", encode(turns))
    for name in ("renderer", "parser", "requires"):
        if getattr(request, name):
            draft.config[name] = getattr(request, name)


def _parameters(draft: _Draft) -> dict[str, Any]:
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
