"""Header text that some clients write into the system prompt, and that changes with every request.

It means nothing to a model, but stands where every prompt begins: with it in place no prompt shares a prefix with the
one before. Claude Code's first system block reads `x-anthropic-billing-header: cc_version=…; cc_entrypoint=…; cch=…;`.
Dates, folders and the like are content and stay.
"""

from __future__ import annotations

import re

_LINES = re.compile(r"\A(?:[ \t]*x-anthropic-billing-header:[^\n]*(?:\n|\Z))+", re.IGNORECASE)


def without_headers(text: str) -> str:
    """Return `text` without the header lines that it begins with; what stands further down is content."""
    return _LINES.sub("", text, count=1)
