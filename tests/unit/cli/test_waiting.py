"""The spinner: only on a terminal, and gone before the first item is handled."""

from __future__ import annotations

import io

import pytest

from arriero.cli.waiting import until_first


class Terminal(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_items_pass_in_silence_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(until_first(["a", "b", "c"])) == ["a", "b", "c"]
    assert list(until_first([])) == []
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_that_something_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    items = until_first("ab")
    assert next(items) == "a"
    shown = terminal.getvalue()
    assert shown
    assert list(items) == ["b"]
    assert terminal.getvalue() == shown
