"""Draft: the layers of a model that is being made, and the config and manifest they end in.

Blocks: not for an event loop. `report` is called between steps, and may raise to give up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from arriero.core.errors import NotImplementedYet
from arriero.core.library import BaseModel, Conversion, Convert, Progress
from arriero.store.blobs import CHUNK
from arriero.store.describe import details, quantization
from arriero.store.durable import private_folder, told
from arriero.store.folder import ModelFolder
from arriero.store.gguf import GgufHeader, read_header
from arriero.store.go_json import encode
from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, Layer, encode_manifest
from arriero.store.quantization import check_source
from arriero.store.splits import merge

Report = Callable[[Progress], None]
Quantize = Callable[[Path, Path, int, Callable[[], None]], None]
"""Writes a GGUF to another path in a type of llama_ftype; calls its last argument while it works."""
REPORT_BYTES = 64 * CHUNK
TEMPLATE_KEY = "tokenizer.chat_template"
CONFIG_ORDER = (
    *("model_format", "model_family", "model_families", "model_type", "file_type", "renderer", "parser", "requires"),
    *("remote_host", "remote_model", "capabilities", "context_length", "embedding_length", "base_name", "draft"),
)
"""The fields of a config in the order in which Ollama writes them, before architecture and os."""

KEPT = ("renderer", "parser", "requires", "capabilities", "draft")
"""What a config takes over from the base's; the rest is read from the weights anew."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What can be done to weights here; None for what cannot."""

    quantize: Quantize | None = None
    convert: Convert | None = None


class Draft:
    """The layers of a model that is being made."""

    def __init__(self, folder: ModelFolder, report: Report, tools: Tools = Tools()) -> None:
        self.folder, self.report, self.tools = folder, report, tools
        self.layers: list[Layer] = []
        self.config: dict[str, Any] = {}
        self.overrides: dict[str, Any] = {}  # what the config says whatever the weights' header does
        self.made: set[str] = set()  # digests of weights that were written in the wanted type just now
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

    def merged(self, paths: Sequence[Path], *, origin: str = "") -> None:
        """Add the weights that these files, parts of one GGUF in their order, are together."""
        total = sum(path.stat().st_size for path in paths)
        doing = "merging GGUF files"
        self.report(_progress(doing, 0, total))
        with self.folder.blobs.writer() as writer, told("read the parts of a GGUF"):

            def write(data: bytes) -> None:
                writer.write(data)
                if writer.size % REPORT_BYTES < len(data):
                    self.report(_progress(doing, writer.size, total))

            merge(paths, write)
            digest, new = writer.commit()
        self._new.setdefault(digest, new)
        self.layers.append(Layer(media_type=LAYER_TYPE + "model", digest=digest, size=writer.size, from_=origin))

    def blob(self, layer: Layer) -> None:
        """Add a layer whose blob is in the folder already."""
        self.folder.blobs.touch(layer.digest)  # nobody removes young ones while the others are gathered
        self._new.setdefault(layer.digest, False)
        self.layers.append(layer)

    def quantized(self, path: Path, wanted: tuple[str, int], *, origin: str = "") -> Layer | None:
        """The layer of those weights in the type `wanted`; None if they have it already."""
        if self.tools.quantize is None:
            raise NotImplementedYet("create with quantize is not supported here", param="quantize")
        have = quantization(read_header(path))
        check_source(have)
        if have == wanted[0]:
            return None
        doing = Progress(status=f"quantizing {have} model to {wanted[0]}")
        self.report(doing)
        with self._room("quantize") as target:
            self.tools.quantize(path, target, wanted[1], lambda: self.report(doing))
            layer = self._adopted("model", target, origin=origin)
            self.made.add(layer.digest)
            return layer

    def converted(
        self,
        kind: Literal["model", "adapter"],
        files: Mapping[str, Path],
        *,
        base: BaseModel | None = None,
        wanted: tuple[str, int] | None = None,
    ) -> Layer:
        """The layer made of files in another format: see Conversion. Weights are `wanted` in another type at once."""
        if self.tools.convert is None:
            raise NotImplementedYet("files in other formats than one GGUF cannot be converted here", param="files")
        doing = f"converting {kind}"
        self.report(Progress(status=doing))
        with self._room("convert") as target:
            named = {name: str(path) for name, path in files.items()}
            conversion = Conversion(kind=kind, files=named, target=str(target), base=base)
            for note in self.tools.convert(conversion, lambda done, all_: self.report(_progress(doing, done, all_))):
                self.report(Progress(status=note))
            if kind == "model" and wanted is not None and (layer := self.quantized(target, wanted)) is not None:
                return layer
            return self._adopted(kind, target)

    def finish(self) -> bytes:
        """Write the config, tell what is new, and return the manifest.

        Uploaded weights that bring a chat template are said to be used by it where no other was given.
        """
        weights = [layer for layer in self.layers if layer.kind == "model"]
        header = self._layer_header(weights[0]) if weights else None
        config = self.config if header is None else self._config(header)
        given = not weights or weights[0].from_ or any(layer.kind == "template" for layer in self.layers)
        detected = not given and header is not None and bool(header.values.get(TEMPLATE_KEY))
        ordered = {name: config[name] for name in CONFIG_ORDER if config.get(name)}
        config_layer = self._layer(CONFIG_TYPE, encode({**ordered, "architecture": "amd64", "os": "linux"}))
        for layer in (*self.layers, config_layer):
            known = "creating new" if self._new.get(layer.digest) else "using existing"
            self.report(Progress(status=f"{known} layer {layer.digest}"))
        if detected:
            self.report(Progress(status=f"using autodetected template {TEMPLATE_KEY}"))
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
        if "model_family" in self.overrides:
            stated["model_families"] = [self.overrides["model_family"], known.family]
        return {**{name: self.config[name] for name in KEPT if name in self.config}, **stated, **self.overrides}

    @contextmanager
    def _room(self, what: str) -> Iterator[Path]:
        """A place for a file that is being made, on the file system of the models folder; gone afterwards."""
        with (
            told(what),
            tempfile.TemporaryDirectory(prefix=f"{what}-", dir=private_folder(self.folder.root, "tmp")) as room,
        ):
            yield Path(room) / "model.gguf"

    def _adopted(self, kind: str, path: Path, *, origin: str = "") -> Layer:
        size = path.stat().st_size
        digest, new = self.folder.blobs.adopt(path)
        self._new.setdefault(digest, new)
        return Layer(media_type=LAYER_TYPE + kind, digest=digest, size=size, from_=origin)


def _progress(status: str, done: int, total: int) -> Progress:
    return Progress(status=status, completed=done, total=total)
