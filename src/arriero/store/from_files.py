"""Layers of uploaded files: GGUFs as they are, everything else converted. What a GGUF is, its header says.

Blocks: not for an event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from arriero.core.errors import BlobNotFound, InvalidRequest, ModelLoadError
from arriero.core.library import Progress
from arriero.store.blobs import parse_digest
from arriero.store.draft import Draft
from arriero.store.folder import ModelFolder
from arriero.store.gguf import MAGIC, GgufHeader, read_header
from arriero.store.manifests import LAYER_TYPE, Layer
from arriero.store.splits import NUMBER, check, is_split

PROJECTORS = ("clip", "mmproj")
PICKLED = (".pth", ".bin", ".pt")
"""Endings of PyTorch's own files: programs in disguise, which nobody here runs."""


def from_files(
    draft: Draft, files: Mapping[str, str], folders: Sequence[ModelFolder], wanted: tuple[str, int] | None = None
) -> None:
    """Add the layers of `files`, a relative name to the digest of a blob in `folders`.

    Weights that have to be converted are written in the type `wanted` at once.
    """
    found = located(files, folders)
    if any(name.endswith(".safetensors") for name in found):
        draft.layers.append(draft.converted("model", found, wanted=wanted))
        return
    pickled = next((name for name in sorted(found) if name.endswith(PICKLED) and not is_gguf(found[name])), None)
    if pickled is not None:
        raise InvalidRequest(f"{pickled} is a PyTorch file, which may run anything when it is read; give safetensors")
    draft.report(Progress(status="parsing GGUF"))
    parts: dict[str, GgufHeader] = {}
    for name, path in found.items():
        if not is_gguf(path):
            known = name.endswith(".gguf") or len(files) > 1
            raise InvalidRequest("supplied file was not in GGUF format" if known else "unknown type")
        header = header_of(name, path)
        if is_split(header):
            parts[name] = header
        else:
            add(draft, kind_of(header), path, files[name])
    if parts:
        _add_parts(draft, parts, found)
    if not any(layer.kind == "model" for layer in draft.layers):
        raise InvalidRequest("none of the files holds a model's weights")
    if sum(layer.kind == "model" for layer in draft.layers) > 1:
        raise InvalidRequest("the files hold the weights of more than one model")


def _add_parts(draft: Draft, parts: dict[str, GgufHeader], found: Mapping[str, Path]) -> None:
    """Add the model that these parts are, in the order that they say themselves."""
    ordered = sorted(parts, key=lambda name: str(parts[name].values.get(NUMBER, "")).rjust(6))
    try:
        check({name: parts[name] for name in ordered})
    except ModelLoadError as error:
        raise InvalidRequest(error.message) from error
    draft.merged([found[name] for name in ordered])


def located(files: Mapping[str, str], folders: Sequence[ModelFolder]) -> dict[str, Path]:
    """Where the files lie, by name in order; InvalidRequest for bad names and digests, BlobNotFound."""
    if not files:
        raise InvalidRequest("no files provided to convert")
    found: dict[str, Path] = {}
    for name, digest in sorted(files.items()):
        check_relative(name)
        places = [folder.blobs.path(digest) for folder in folders if folder.blobs.has(digest)]
        if not places:
            raise BlobNotFound(f'blob "{digest}" not found', digest=digest)
        found[name] = places[0]
    return found


def add(draft: Draft, kind: str, path: Path, digest: str) -> None:
    """Add a layer with an uploaded blob, copied if it lies in another folder."""
    digest = parse_digest(digest)
    if draft.folder.blobs.has(digest):
        draft.blob(Layer(media_type=LAYER_TYPE + kind, digest=digest, size=path.stat().st_size))
    else:
        draft.file(kind, path, expected=digest)


def header_of(name: str, path: Path) -> GgufHeader:
    """The header of an uploaded GGUF; InvalidRequest with its name and what is wrong with it."""
    try:
        return read_header(path)
    except ModelLoadError as error:
        raise InvalidRequest(f"{name}: {error.message}") from error


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


def is_gguf(path: Path) -> bool:
    """Whether the file begins as a GGUF does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
