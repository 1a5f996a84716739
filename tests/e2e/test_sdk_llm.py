"""The `llm` command with its plugin `llm-ollama`, both unmodified, against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.serving import Server, clean_environment

TOOLS = '''
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{city}: sunny, 21 degrees"
'''
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def llm(known_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run `llm` with a folder of its own, at the shared server."""
    home = tmp_path_factory.mktemp("llm")
    environment = clean_environment(home, {"LLM_USER_PATH": str(home / "llm"), "OLLAMA_HOST": known_server.url})
    command = Path(sys.executable).with_name("llm")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(command), *arguments],
            env=environment,
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run


def test_the_models_are_known(llm: Run) -> None:
    listed = llm("models", "list")
    assert listed.returncode == 0, listed.stderr
    assert "ollama/demo:latest" in listed.stdout
    assert "ollama/known:latest" in listed.stdout


def test_ask_and_go_on(llm: Run) -> None:
    asked = llm("-m", "ollama/known", "Hello!")
    assert (asked.returncode, asked.stdout.strip()) == (0, SAYS), asked.stderr
    again = llm("-c", "And again!", "--no-stream", "--usage")
    assert (again.returncode, again.stdout.strip()) == (0, SAYS), again.stderr
    assert "Token usage:" in again.stderr


def test_the_demo_answers(llm: Run) -> None:
    asked = llm("-m", "ollama/demo:latest", "-o", "temperature", "0", "-o", "num_predict", "12", "Hello!")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip()


def test_a_tool_is_called_and_its_result_answered(llm: Run) -> None:
    asked = llm("-m", "ollama/known", "--functions", TOOLS, "--td", "What is the weather in Paris?")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.strip().endswith(TOLD)
    assert "Paris: sunny, 21 degrees" in asked.stderr
