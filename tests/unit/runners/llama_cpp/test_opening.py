"""The vocabulary is read for grammars when the kernels rest, and not after the model is closed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from arriero.runners.llama_cpp import opening


class Rests:
    """A runner that is busy for some looks at it."""

    def __init__(self, calls: list[int], decoding: list[bool]) -> None:
        self.contexts: Any = self
        self.main: Any = self
        self.handle: object | None = object()
        self._calls, self._decoding = calls, decoding
        self.looks = 0

    def counters(self) -> dict[str, int]:
        return {"decode_calls": self._calls.pop(0) if len(self._calls) > 1 else self._calls[0]}

    @property
    def decoding(self) -> bool:
        self.looks += 1
        return self._decoding.pop(0) if self._decoding else False


@pytest.mark.parametrize(
    ("calls", "decoding", "looks"),
    [([0], [], 2), ([0, 1, 2, 2], [], 4), ([5], [False, True, True], 4)],
    ids=["idle from the start", "a call between two looks", "a long call"],
)
def test_the_vocabulary_is_read_when_nothing_is_computed(
    monkeypatch: pytest.MonkeyPatch, calls: list[int], decoding: list[bool], looks: int
) -> None:
    monkeypatch.setattr(opening, "QUIET", 0.0)
    runner, read = Rests(calls, decoding), []
    opening._prepare(SimpleNamespace(prepare=lambda: read.append(runner.looks)), runner)  # type: ignore[arg-type]
    assert read == [looks]


def test_the_vocabulary_of_a_closed_model_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "QUIET", 0.0)
    runner, read = Rests([0], []), []
    runner.handle = None
    opening._prepare(SimpleNamespace(prepare=lambda: read.append(1)), runner)  # type: ignore[arg-type]
    assert not read
