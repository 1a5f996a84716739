"""Which load options a model gets, and whether a loaded one serves a request with others. Pure."""

from __future__ import annotations

import msgspec

from arriero.core.messages import Ready
from arriero.core.model import ModelSpec
from arriero.core.request import LoadOptions


def sized(spec: ModelSpec, load: LoadOptions, default: int | None) -> LoadOptions:
    """Return what `spec` is loaded with for a request with `load`: no shorter a context than others get by default.

    That is the model's own num_ctx, else `default`, else what the runner chooses. The request keeps to its own num_ctx
    by itself (worker/prompt.py). A text that is computed in one call has no such others.
    """
    if load.num_ctx is None or "completion" not in spec.capabilities:
        return load
    usual = spec.options.get("num_ctx", default)
    if usual is None:
        return msgspec.structs.replace(load, num_ctx=None, least_ctx=load.num_ctx)
    return msgspec.structs.replace(load, num_ctx=max(usual, load.num_ctx))


def agrees(has: LoadOptions, info: Ready | None, wanted: LoadOptions, *, shorter: bool = True) -> bool:
    """Whether a model loaded with `has`, of which `info` is known, is what `wanted` asks for.

    An option that is left open agrees with everything; num_gpu −1 means the same. With `shorter`, so does a context
    that is longer than what was asked for. Whether the draft model is the one, the caller knows from the spec.
    """
    for name in LoadOptions.__struct_fields__:
        want, have = getattr(wanted, name), getattr(has, name)
        if name == "draft" or want is None or want == have or (name == "num_gpu" and want == -1):
            continue
        if name in ("num_ctx", "least_ctx"):
            length = info.context_length if info is not None else has.num_ctx or has.least_ctx or 0
            if want == length or (shorter and want < length):
                continue
        if name == "kv_cache_type" and have is None and info is not None and want == info.kv_cache_type:
            continue
        return False
    return True
