"""Thinking is split from the answer, however the text is cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arriero.text.thinking import ThinkingSplitter, opens_thinking


def split(pieces: list[str], opened: bool = False) -> tuple[str, str]:
    splitter = ThinkingSplitter(opened=opened)
    parts = [part for piece in pieces for part in splitter.feed(piece)] + splitter.finish()
    assert all(part.text for part in parts)
    thinking = "".join(part.text for part in parts if part.kind == "thinking")
    return thinking, "".join(part.text for part in parts if part.kind == "text")


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>\nhm, so\n</think>\n\nYes.", False, ("hm, so", "Yes.")),
        (" \n<think>a</think>b", False, ("a", "b")),
        ("no tag </think> here", False, ("", "no tag </think> here")),
        ("first <think>late</think>", False, ("", "first <think>late</think>")),
        ("hm\n</think>\n\nYes.", True, ("hm", "Yes.")),
        ("never closed ", True, ("never closed", "")),
        ("<think></think>\nYes", False, ("", "Yes")),
        ("<think>a</thi b</think>c", False, ("a</thi b", "c")),
        ("  text", False, ("", "  text")),
        ("<thi", False, ("", "<thi")),
        ("", True, ("", "")),
    ],
)
def test_split(text: str, opened: bool, expected: tuple[str, str]) -> None:
    assert split([text], opened) == expected
    assert split(list(text), opened) == expected


@settings(deadline=None)
@given(st.lists(st.sampled_from(["<think>", "</think>", "a", " ", "\n", "<", "</th"]), max_size=12), st.data())
def test_cuts_do_not_matter(words: list[str], data: st.DataObject) -> None:
    text = "".join(words)
    opened = data.draw(st.booleans())
    cut = data.draw(st.integers(0, len(text)))
    assert split([text[:cut], text[cut:]], opened) == split([text], opened) == split(list(text), opened)


def test_text_passes_at_once_after_thinking() -> None:
    splitter = ThinkingSplitter()
    assert splitter.feed("<think>a b</think>") == [("thinking", "a b")]
    assert splitter.feed("c ") == [("text", "c ")]
    assert splitter.feed("d") == [("text", "d")]


@pytest.mark.parametrize(("prompt", "opened"), [("…assistant\n<think>\n", True), ("…<think>\n\n</think>\n\n", False)])
def test_a_prompt_can_open_the_block(prompt: str, opened: bool) -> None:
    assert opens_thinking(prompt) is opened


@pytest.mark.parametrize(("start", "kind"), [("", "text"), ("<think>a", "thinking")])
def test_endless_white_space_is_held_and_looked_at_once(start: str, kind: str) -> None:
    splitter = ThinkingSplitter()
    splitter.feed(start)
    space = "\n" * 10_000
    assert [part for piece in space for part in splitter.feed(piece)] == []
    assert splitter._held == ""
    assert splitter.feed("b") == [(kind, f"{space}b")]
