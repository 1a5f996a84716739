"""ModelSpec: where a model's weights are and what is known of them without loading them."""

from __future__ import annotations

from typing import Any

import msgspec

from arriero.core.request import Message


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What lists and `show` print; read from the file's header, never from its tensors' data.

    `parameter_size` reads "4.5M"; `quantization` "Q8_0". Sizes are tokens or counts, not bytes.
    """

    parent_model: str = ""
    format: str = "gguf"
    family: str = ""
    parameter_count: int = 0
    parameter_size: str = ""
    quantization: str = ""
    context_length: int = 0
    embedding_length: int = 0
    block_count: int = 0
    head_count: int = 0
    head_count_kv: int = 0
    key_length: int = 0
    value_length: int = 0


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be served.

    `name` is canonical (`demo:latest`). `digest` is 64 hex digits; for a file served in place it is made of header,
    size and mtime, not of the weights. `size` in bytes, `modified_at` in seconds since the epoch. `options` are the
    model's own defaults in Ollama's names. `chat_template` is the GGUF's Jinja, `go_template` the store's TEMPLATE;
    `uses_go_template` says that the latter was chosen, and `capabilities` follow the choice. `messages` precede those
    of a request. `adapters` and `projectors` are paths of GGUFs beside the weights, `draft` that of a smaller
    model which guesses for this one, empty where there is none.
    """

    name: str
    path: str
    digest: str
    size: int
    modified_at: float
    details: ModelDetails = ModelDetails()
    capabilities: tuple[str, ...] = ("completion",)
    chat_template: str | None = None
    go_template: str | None = None
    uses_go_template: bool = False
    system: str | None = None
    options: dict[str, Any] = {}
    license: str = ""
    messages: tuple[Message, ...] = ()
    adapters: tuple[str, ...] = ()
    projectors: tuple[str, ...] = ()
    draft: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    runner: str = "llama_cpp"

    @property
    def weights(self) -> str:
        """What tells the weights from others, whatever name, template or adapters are theirs: a blob's digest, else
        `digest`.
        """
        name = self.path.rpartition("/")[2].removeprefix("sha256-")
        return name if len(name) == 64 and name.isalnum() else self.digest


class MemoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What loading a model would take, told from its header and the machine as it is now. Sizes in bytes.

    `kv` is what the context reserves, `compute` what calls need beside it, `cached_prefixes` the most that finished
    prompts may keep, `draft` what a draft model needs: its weights and its context. `context_length` is one
    sequence's, `cells` that of all `max_sequences` together, which share them in the layout `unified`. `problem` says
    why it does not fit, empty if it does. `kv_cache_type` is what K and V are kept as. `pool_cells` are those of a pool
    beside streams, for sequences that share a long prefix; `kv` has them, too. `bound` says who allows less memory than
    the machine has, and how much; empty where nobody does.
    """

    weights: int
    free_memory: int
    context_length: int = 0
    max_sequences: int = 1
    cells: int = 0
    layout: str = ""
    kv: int = 0
    compute: int = 0
    cached_prefixes: int = 0
    draft: int = 0
    problem: str = ""
    kv_cache_type: str = ""
    pool_cells: int = 0
    bound: str = ""

    @property
    def total(self) -> int:
        """All of it together."""
        return self.weights + self.kv + self.compute + self.cached_prefixes + self.draft


class ShownModel(msgspec.Struct, frozen=True, kw_only=True):
    """What `show` tells: the spec, the GGUF's own keys and values, and its tensors (name, type, shape).

    `memory` is there where the plan was asked for, `draft` where the model has a draft model.
    """

    spec: ModelSpec
    model_info: dict[str, Any] = {}
    tensors: tuple[dict[str, Any], ...] = ()
    memory: MemoryPlan | None = None
    draft: ModelDetails | None = None


class RunningModel(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded model. Sizes in bytes; `expires_at` in seconds since the epoch, None for never.

    Who came now would have its turn in `queue_seconds`, behind all that wait; None where that is not known.
    """

    spec: ModelSpec
    size: int
    size_vram: int
    expires_at: float | None
    context_length: int
    layers_total: int = 0
    layers_gpu: int = 0
    waiting: int = 0
    running: int = 0
    queue_seconds: float | None = 0.0
    kv_cache_type: str = ""
