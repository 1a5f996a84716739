"""How many connections there may be: each is an open file, and a process begins with a bound that is often 1024."""

from __future__ import annotations

import contextlib
import resource

ENOUGH = 65536


def allow_many() -> None:
    """Raise the bound to ENOUGH, or as far as the system lets this process (Go's programs, as Ollama, do so, too)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has further bounds
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
