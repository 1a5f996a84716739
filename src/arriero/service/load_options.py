"""Whether a loaded model serves a request with other load options. Pure."""

from __future__ import annotations

from arriero.core.messages import Ready
from arriero.core.request import LoadOptions


def agrees(has: LoadOptions, info: Ready | None, wanted: LoadOptions) -> bool:
    """Whether a model loaded with `has`, of which `info` is known, is what `wanted` asks for.

    An option that is left open agrees with everything; num_gpu −1 means the same.
    """
    for name in LoadOptions.__struct_fields__:
        want, have = getattr(wanted, name), getattr(has, name)
        if want is None or want == have or (name == "num_gpu" and want == -1):
            continue
        if name == "num_ctx" and have is None and info is not None and want == info.context_length:
            continue
        if name == "kv_cache_type" and have is None and info is not None and want == info.kv_cache_type:
            continue
        return False
    return True
