from __future__ import annotations

from arriero.core.errors import ModelNotFound
from arriero.core.model import ModelSpec


def find(name: str) -> ModelSpec:
    """`demo` can everything, `coder` fill in, `plain` only complete, `embed` only embed; no other model exists."""
    capabilities = {
        "demo": ("completion", "tools", "thinking"),
        "coder": ("completion", "insert"),
        "plain": ("completion",),
        "embed": ("embedding",),
    }
    if name not in capabilities:
        raise ModelNotFound(f"model '{name}' not found", model=name)
    return ModelSpec(
        name=f"{name}:latest", path="/x", digest="", size=0, modified_at=0.0, capabilities=capabilities[name]
    )
