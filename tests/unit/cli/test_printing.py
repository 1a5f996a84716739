"""What the terminal shows while an answer streams."""

from __future__ import annotations

import io

import pytest

from arriero.cli.printing import Printer, figures
from arriero.client import Usage


def printed(pieces: list[tuple[str, str]], width: int | None, hide: bool = False, colour: bool = False) -> str:
    out = io.StringIO()
    printer = Printer(out, width=width, hide_thinking=hide, colour=colour)
    for kind, text in pieces:
        (printer.thinking if kind == "thinking" else printer.text)(text)
    printer.end()
    return out.getvalue()


TEXT = "one two three\nfour abcdefghijklmnop five"


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_lines_break_between_words_whatever_the_pieces(size: int) -> None:
    pieces = [("text", TEXT[i : i + size]) for i in range(0, len(TEXT), size)]
    assert printed(pieces, 10) == "one two \nthree\nfour \nabcdefghijklmnop\nfive\n"
    assert printed(pieces, None) == TEXT + "\n"


def test_wide_characters_count_as_two() -> None:
    assert printed([("text", "ああ いい うう")], 10) == "ああ いい\nうう\n"


def test_no_second_line_end() -> None:
    assert printed([("text", "a\n")], None) == printed([("text", "a\n")], 10) == "a\n"
    assert printed([], None) == ""


def test_thinking_is_marked_or_hidden() -> None:
    pieces = [("thinking", "hm"), ("thinking", " so"), ("text", "yes")]
    assert printed(pieces, None) == "Thinking...\nhm so\n...done thinking.\n\nyes\n"
    assert printed(pieces, 80) == "Thinking...\nhm so\n...done thinking.\n\nyes\n"
    assert printed(pieces, None, hide=True) == "yes\n"
    assert printed(pieces[:1], None, colour=True) == "\x1b[90mThinking...\nhm\n...done thinking.\x1b[0m\n\n"


def test_figures() -> None:
    usage = Usage(
        prompt_tokens=26,
        cached_tokens=16,
        completion_tokens=298,
        load_ns=5_000_000,
        prefill_ns=130_000_000,
        decode_ns=4_000_000_000,
        total_ns=4_200_000_000,
    )
    assert figures(usage) == (
        "total duration:       4.2s\n"
        "load duration:        5ms\n"
        "prompt eval count:    26 token(s)\n"
        "prompt eval cached:   16 token(s)\n"
        "prompt eval duration: 130ms\n"
        "prompt eval rate:     200.00 tokens/s\n"
        "eval count:           298 token(s)\n"
        "eval duration:        4s\n"
        "eval rate:            74.50 tokens/s\n"
    )
    assert figures(Usage(prompt_tokens=1)) == "prompt eval count:    1 token(s)\neval count:           0 token(s)\n"
