"""An answer on the terminal while it streams: word wrap, thinking, and the figures of --verbose."""

from __future__ import annotations

from typing import TextIO

from rich.cells import cell_len

from arriero.client import Usage

GREY, PLAIN = "\x1b[90m", "\x1b[0m"


class Printer:
    """Writes one answer. `width` None leaves the lines as they come; `colour` greys the thinking."""

    def __init__(self, out: TextIO, *, width: int | None, colour: bool = False, hide_thinking: bool = False) -> None:
        self._out = out
        self._width = width
        self._colour = colour
        self._hide = hide_thinking
        self._thinking = False
        self._column = 0
        self._word = ""  # not yet written: the next piece may lengthen it
        self._long = False  # inside a word longer than a line: the terminal breaks it, so that it can be copied whole

    def text(self, piece: str) -> None:
        """Write a piece of the answer."""
        if piece and self._thinking:
            self._end_thinking()
        self._write(piece)

    def thinking(self, piece: str) -> None:
        """Write a piece of the thinking."""
        if self._hide or not piece:
            return
        if not self._thinking:
            self._thinking = True
            self._out.write(GREY * self._colour + "Thinking...\n")
        self._write(piece)

    def end(self) -> None:
        """Write what is held and end the line."""
        if self._thinking:
            self._end_thinking()
        self._flush_word()
        if self._column:
            self._out.write("\n")
        self._column = 0
        self._out.flush()

    def _end_thinking(self) -> None:
        self._flush_word()
        self._out.write("\n" * bool(self._column) + "...done thinking." + PLAIN * self._colour + "\n\n")
        self._thinking, self._column = False, 0

    def _write(self, piece: str) -> None:
        if self._width is None:
            self._out.write(piece)
            self._column = 0 if piece.endswith("\n") else self._column + bool(piece)
        else:
            for char in piece:
                self._wrap(char, self._width)
        self._out.flush()

    def _wrap(self, char: str, width: int) -> None:
        if char == "\n":
            self._flush_word()
            self._out.write("\n")
            self._column = 0
        elif char == " ":
            fits = self._column + cell_len(self._word) + 1 < width
            self._flush_word()
            if fits:
                self._out.write(" ")
                self._column += 1
            else:
                self._out.write("\n")
                self._column = 0
        elif self._long:
            self._out.write(char)
        else:
            self._word += char
            if cell_len(self._word) >= width:
                self._flush_word()
                self._long = True
            elif self._column and self._column + cell_len(self._word) >= width:
                self._out.write("\n")
                self._column = 0

    def _flush_word(self) -> None:
        self._out.write(self._word)
        self._column += cell_len(self._word)
        self._word, self._long = "", False


def figures(usage: Usage) -> str:
    """Return what --verbose prints after an answer, in Ollama's lines; those that are not known are left out."""
    rows = [
        ("total duration", _seconds(usage.total_ns)),
        ("load duration", _seconds(usage.load_ns)),
        ("prompt eval count", f"{usage.prompt_tokens} token(s)"),
        ("prompt eval cached", f"{usage.cached_tokens} token(s)" if usage.cached_tokens else ""),
        ("prompt eval duration", _seconds(usage.prefill_ns)),
        ("prompt eval rate", _rate(usage.prompt_tokens, usage.prefill_ns)),
        ("eval count", f"{usage.completion_tokens} token(s)"),
        ("eval duration", _seconds(usage.decode_ns)),
        ("eval rate", _rate(usage.completion_tokens, usage.decode_ns)),
    ]
    return "".join(f"{name + ':':<22}{value}\n" for name, value in rows if value)


def _seconds(nanoseconds: int) -> str:
    if not nanoseconds:
        return ""
    if nanoseconds < 10**9:
        return f"{nanoseconds / 10**6:.6g}ms"
    return f"{nanoseconds / 10**9:.6g}s"


def _rate(tokens: int, nanoseconds: int) -> str:
    return f"{tokens / (nanoseconds / 10**9):.2f} tokens/s" if nanoseconds else ""
