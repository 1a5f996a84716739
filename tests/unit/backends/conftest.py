"""A LocalBackend whose worker process is scripted: real processes and frames, no model."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from arriero.backends.local import LocalBackend
from arriero.core.backend import Permit, Restarted
from arriero.core.events import Event
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest

ROOT = Path(__file__).parents[3]
SPEC = ModelSpec(name="scripted:latest", path="/none", digest="0" * 64, size=1, modified_at=0.0)


def scripted_environment(notes: Path) -> dict[str, str]:
    """The variables of a scripted worker that writes to `notes`."""
    return {"SCRIPTED_NOTES": str(notes), "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}


class Scripted:
    """A backend and what its workers noted."""

    def __init__(self, backend: LocalBackend, notes: Path) -> None:
        self.backend, self._notes = backend, notes

    def notes(self, event: str) -> list[dict[str, Any]]:
        """What the workers noted of this kind, in order."""
        lines = [json.loads(line) for line in self._notes.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; the test's own time limit ends what never comes."""
        while not condition():
            await asyncio.sleep(0.005)

    async def ask(self, prompt: str, *, whole: bool = False) -> list[Event | Restarted]:
        """All events of one request."""
        request = GenerateRequest(model="scripted", prompt=prompt, whole=whole)
        return [event async for event in self.backend.generate(request, Permit(1))]


@pytest.fixture
async def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Scripted]]:
    """Make a backend; its options reach the script (`mode`)."""
    # The backend starts `sys.executable -m arriero.worker FD`: this stands in for the interpreter.
    launcher = tmp_path / "python"
    script = shlex.quote(str(Path(__file__).with_name("scripted_worker.py")))
    launcher.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {script} "$3"\n')
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    notes = tmp_path / "notes"
    notes.touch()
    made: list[LocalBackend] = []
    environment = scripted_environment(notes)

    def make(mode: str = "", **settings: Any) -> Scripted:
        made.append(LocalBackend(SPEC, options={"mode": mode}, environment=environment, **settings))
        return Scripted(made[-1], notes)

    yield make
    for backend in made:
        await backend.close()
