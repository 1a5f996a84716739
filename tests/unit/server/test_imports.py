"""What the server process imports stays light, also through others."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "torch", "llama_cpp", "gguf", "jinja2", "httpx", "aiohttp", "pydantic")


def test_no_heavy_imports() -> None:
    code = (
        "import sys, arriero.server.asgi, arriero.server.run, arriero.observe.metrics, arriero.observe.logs\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
