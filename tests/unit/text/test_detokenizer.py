"""The streamed text equals the naive answer, whatever the pieces; nothing broken or forbidden is ever shown."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arriero.text.detokenizer import Delta, Detokenizer


def naive(data: bytes, stops: list[str]) -> tuple[str, str | None]:
    """The answer by definition: cut before the stop that is complete first, the longest of several."""
    text = data.decode("utf-8", "replace")
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            stop = max(found, key=len)
            return text[: end - len(stop)], stop
    return text, None


def run(pieces: list[bytes], stops: list[str]) -> tuple[list[Delta], int]:
    """Push pieces as tokens 0, 1, … until a stop; returns all deltas and how many tokens were pushed."""
    detokenizer = Detokenizer(lambda token: pieces[token], stops)
    deltas = []
    pushed = 0
    for token in range(len(pieces)):
        deltas.append(detokenizer.push(token))
        pushed += 1
        if deltas[-1].stop is not None:
            break
    deltas.append(detokenizer.flush())
    return deltas, pushed


@st.composite
def pieces_of_text(draw: st.DrawFn) -> list[bytes]:
    data = draw(st.one_of(st.text("abüß🦙 \n", max_size=40).map(str.encode), st.binary(max_size=20)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(deadline=None)
@given(pieces_of_text(), st.lists(st.text("abü🦙 ", max_size=4), max_size=4))
@example([b"xa", b"b", b"y"], ["xaby", "ab"])
@example([b"\xf0\x9f", b"\xa6", b"\x99a"], ["🦙"])
@example([b"ab", b"\xff"], ["b\ufffd"])
def test_pieces_do_not_matter(pieces: list[bytes], stops: list[str]) -> None:
    deltas, pushed = run(pieces, stops)
    text, stop = naive(b"".join(pieces), stops)
    assert "".join(delta.text for delta in deltas) == text
    assert next((delta.stop for delta in deltas if delta.stop), None) == stop
    assert sum(delta.tokens for delta in deltas) == pushed


@settings(deadline=None)
@given(pieces_of_text(), st.lists(st.text("abü🦙 ", min_size=1, max_size=4), max_size=4))
def test_what_was_shown_was_certain(pieces: list[bytes], stops: list[str]) -> None:
    detokenizer = Detokenizer(lambda token: pieces[token], stops)
    shown = ""
    for token in range(len(pieces)):
        delta = detokenizer.push(token)
        shown += delta.text
        if delta.stop is not None:
            break
        so_far = b"".join(pieces[: token + 1]).decode("utf-8", "replace")
        assert so_far.startswith(shown)
        held = so_far.removeprefix(shown)
        # What is held is the beginning of a stop string, or of a character (shown as U+FFFD here).
        assert any(stop.startswith(held.rstrip("\ufffd")) for stop in [*stops, ""]) or held.endswith("\ufffd")


def test_half_a_character_waits_for_its_bytes() -> None:
    llama = "🦙".encode()
    deltas, _ = run([llama[:1], llama[1:3], llama[3:] + b"!"], [])
    assert [delta.text for delta in deltas] == ["", "", "🦙!", ""]
    assert [delta.tokens for delta in deltas] == [0, 0, 3, 0]


def test_bytes_that_are_no_character_are_replaced_when_certain() -> None:
    deltas, _ = run([b"a\xc3", b"b", b"\xe2\x82"], [])
    assert [delta.text for delta in deltas] == ["a", "\ufffdb", "", "\ufffd"]


def test_a_stop_string_across_tokens_is_never_shown() -> None:
    deltas, pushed = run([b"one ", b"E", b"N", b"D", b" two"], ["END"])
    assert [delta.text for delta in deltas] == ["one ", "", "", "", ""]
    assert deltas[3].stop == "END"
    assert pushed == 4


def test_a_false_beginning_of_a_stop_string_is_shown_later() -> None:
    deltas, _ = run([b"E", b"N", b"E", b"N", b"!"], ["END"])
    assert [delta.text for delta in deltas] == ["", "", "EN", "", "EN!", ""]
    assert [delta.tokens for delta in deltas] == [0, 0, 2, 0, 3, 0]


def test_tokens_without_text_are_closed_with_the_next_text() -> None:
    deltas, _ = run([b"", b"", b"x", b""], [])
    assert [delta.tokens for delta in deltas] == [0, 0, 3, 0, 1]


def test_nothing_follows_a_stop_string() -> None:
    detokenizer = Detokenizer(lambda token: b"x", ["x"])
    assert detokenizer.push(0).stop == "x"
    with pytest.raises(ValueError, match="ended"):
        detokenizer.push(0)


def test_work_is_linear_in_the_text() -> None:
    """A stop string that almost matches all the time: each character is compared at most twice on average."""
    compared = 0

    class Counted(str):
        __slots__ = ()

        def __getitem__(self, index: object) -> str:
            nonlocal compared
            compared += 1
            return str.__getitem__(self, index)  # type: ignore[index]

    detokenizer = Detokenizer(lambda token: b"a" * 100, [Counted("a" * 50 + "b")])
    compared = 0
    for token in range(100):
        detokenizer.push(token)
    assert compared <= 4 * 100 * 100


def test_stop_strings_longer_than_any_answer_cost_nothing_before_they_match() -> None:
    detokenizer = Detokenizer(lambda token: bytes([token]), ["ab" * 5_000_000, "abc"])
    assert [detokenizer.push(token).text for token in b"ababx"] == ["", "", "", "", "ababx"]
    assert sum(len(matcher._fail) for matcher in detokenizer._matchers) < 10
