"""Every example runs as it is, against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.serving import Server, clean_environment

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(server: Server, tmp_path: Path, example: Path) -> None:
    addresses = {"OLLAMA_HOST": server.url, "OPENAI_BASE_URL": f"{server.url}/v1", "ANTHROPIC_BASE_URL": server.url}
    done = subprocess.run(
        [sys.executable, str(example)],
        env=clean_environment(tmp_path, addresses),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.strip()
