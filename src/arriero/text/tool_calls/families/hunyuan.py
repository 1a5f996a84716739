"""Hunyuan 3: GLM's notation with a suffix to each tag and a separator behind the name."""

from __future__ import annotations

from arriero.text.tool_calls.families.glm import glm

FAMILY = glm("hunyuan", ":opensource", "<tool_sep:opensource>", section=True)
