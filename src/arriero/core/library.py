"""What changes the models there are: a create request, and the progress of long work. Knows no wire format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec

from arriero.core.request import Message


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One report of create, pull or push. `digest` names a blob with its prefix; `total` and `completed` in bytes."""

    status: str
    digest: str = ""
    total: int = 0
    completed: int = 0


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to be made of another one (`base`) or of uploaded blobs (`files`: a relative path to a digest).

    None for a text means that the base's own stays; so do `parameters` that are not named and empty `messages`.
    `licenses` are added to the base's. `adapters` are files of a LoRA adapter, as `files` are, and `draft_files` those
    of a smaller model that guesses for this one, written in the type `draft_quantize` if that is set. `info` overrides
    what the config says (Ollama's names: model_family, parameter_size, ...).
    """

    model: str
    base: str = ""
    files: dict[str, str] | None = None
    adapters: dict[str, str] = {}
    draft_files: dict[str, str] = {}
    template: str | None = None
    system: str | None = None
    licenses: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    messages: tuple[Message, ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    quantize: str = ""
    draft_quantize: str = ""
    info: dict[str, Any] = {}


Watch = Callable[[int, int], None]
"""Gets the bytes done and all of them; called now and then, too. It may raise to give up."""


class BaseModel(msgspec.Struct, frozen=True, kw_only=True):
    """What an adapter's conversion has to know of its model, from the GGUF's header; `shapes` in ggml's order."""

    architecture: str
    layers: int
    heads: int
    heads_kv: int
    head_dim: int
    width: int
    shapes: dict[str, tuple[int, ...]]


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF to be made at the path `target` of `files` (a relative name to a path).

    `model`: safetensors and what belongs to them; `adapter`: a LoRA adapter for `base`.
    """

    kind: Literal["model", "adapter"] = "model"
    files: dict[str, str]
    target: str
    base: BaseModel | None = None


Convert = Callable[[Conversion, Watch], list[str]]
"""Makes the GGUF and returns what there is to know about it; InvalidRequest if the files make none."""
