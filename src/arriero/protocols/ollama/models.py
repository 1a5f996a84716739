"""Ollama's replies about models: /api/version, /api/tags, /api/show and /api/ps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from arriero.core.model import ModelDetails, ModelSpec, RunningModel, ShownModel
from arriero.protocols.ollama import modelfile
from arriero.protocols.wire_time import epoch_ns, rfc3339

OLLAMA_VERSION = "0.33.0"
"""The Ollama version whose API this matches; clients gate features on it."""

_FOREVER_NS = 2**63 - 1  # Go's longest duration: what a negative keep_alive becomes
_LONGEST_ARRAY = 5

_encode = msgspec.json.Encoder().encode


def encode_version(version: str) -> bytes:
    """Return /api/version's JSON; `version` is arriero's own."""
    return _encode({"version": OLLAMA_VERSION, "arriero": version})


def encode_tags(models: Iterable[ModelSpec]) -> bytes:
    """Return /api/tags' JSON, in the given order (newest first)."""
    return _encode(
        {
            "models": [
                {
                    "name": spec.name,
                    "model": spec.name,
                    "modified_at": _time(spec.modified_at),
                    "size": spec.size,
                    "digest": spec.digest,
                    "details": _details(spec.details)
                    | {
                        "context_length": spec.details.context_length,
                        "embedding_length": spec.details.embedding_length,
                    },
                    "capabilities": spec.capabilities,
                }
                for spec in models
            ]
        }
    )


def encode_ps(models: Iterable[RunningModel], now_ns: int) -> bytes:
    """Return /api/ps' JSON, latest expiry first; a model kept for ever expires in 292 years, as Ollama says it."""

    def expiry(model: RunningModel) -> int:
        return now_ns + _FOREVER_NS if model.expires_at is None else epoch_ns(model.expires_at)

    return _encode(
        {
            "models": [
                {
                    "name": model.spec.name,
                    "model": model.spec.name,
                    "size": model.size,
                    "digest": model.spec.digest,
                    "details": _details(model.spec.details),
                    "expires_at": rfc3339(expiry(model)),
                    "size_vram": model.size_vram,
                    "context_length": model.context_length,
                    "layers_total": model.layers_total,
                    "layers_gpu": model.layers_gpu,
                    "kv_cache_type": model.kv_cache_type,
                    "requests_waiting": model.waiting,
                    "requests_running": model.running,
                    "queue_seconds": model.queue_seconds,
                }
                for model in sorted(models, key=expiry, reverse=True)
            ]
        }
    )


def encode_show(shown: ShownModel, verbose: bool) -> bytes:
    """Return /api/show's JSON. Long arrays of `model_info` are emptied unless `verbose`."""
    spec = shown.spec
    info = {
        key: [] if isinstance(value, (list, tuple)) and len(value) > _LONGEST_ARRAY and not verbose else value
        for key, value in shown.model_info.items()
        if key not in ("general.name", "tokenizer.chat_template")
    }
    out: dict[str, Any] = {
        "license": spec.license,
        "modelfile": _modelfile(spec),
        "parameters": _parameters(spec.options),
        "template": (spec.go_template if spec.uses_go_template else spec.chat_template) or "",
        "system": spec.system or "",
        "details": _details(spec.details),
        "messages": [{"role": message.role, "content": message.content} for message in spec.messages],
        "model_info": info,
        "tensors": list(shown.tensors),
        "capabilities": spec.capabilities,
        "modified_at": _time(spec.modified_at),
        "requires": spec.requires,
        "draft": None if shown.draft is None else _details(shown.draft),
        "memory": None
        if shown.memory is None
        else {**msgspec.structs.asdict(shown.memory), "total": shown.memory.total},
    }
    return _encode({name: value for name, value in out.items() if value or name in ("details", "model_info")})


def _details(details: ModelDetails) -> dict[str, Any]:
    return {
        "parent_model": details.parent_model,
        "format": details.format,
        "family": details.family,
        "families": [details.family] if details.family else [],
        "parameter_size": details.parameter_size,
        "quantization_level": details.quantization,
    }


def _time(epoch: float) -> str:
    return rfc3339(epoch_ns(epoch))


def _lines(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and printed value of each option, a list's items one by one, strings quoted."""
    return [
        (name, msgspec.json.encode(item).decode())
        for name, value in options.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
    ]


def _parameters(options: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:<30} {value}" for name, value in _lines(options))


def _modelfile(spec: ModelSpec) -> str:
    """Return a Modelfile that would make this model; the GGUF brings its own chat template with it."""
    return modelfile.render(
        name=spec.name,
        base=spec.path,
        template=spec.go_template,
        system=spec.system,
        parameters=spec.options,
        messages=[(message.role, message.content) for message in spec.messages],
        licenses=[spec.license],
        adapters=spec.adapters,
        draft=spec.draft,
        projectors=spec.projectors,
        words={"renderer": spec.renderer, "parser": spec.parser, "requires": spec.requires},
    )
