"""Ngrams: where a sequence's own text says what comes next. It looks back, and knows nothing of models or steps.

The search is that of prompt lookup decoding (Saxena, 2023), over hash chains as in LZ77: tokens are indexed once, when
they come.
"""

from __future__ import annotations

from collections.abc import Iterable

SIZE = 2
"""Tokens in a row by which places are found; where there are none, the last place of a single token must do."""
_CANDIDATES = 6  # places that one search compares, the latest first
_COMPARED = 32  # tokens back from a place at most
_NEAR = 8  # tokens around a broken match where it may go on: what a small edit moves
_RESTARTS = 12  # tokens after a broken match during which it may go on
_BREAK = -1  # stands between two texts; no token is equal to it

PRIORS = (0.3, 0.15, 0.3, 0.5, 0.65, 0.8, 0.9)
"""The odds by grade as long as nobody knows better; the first is that of a passage that goes on after a change."""
_GRADE_ENDS = (1, 2, 3, 5, 9, 17)
_SLOWEST = 0.08  # what the last hit or miss counts at least
_LEAST = 0.03  # chance that is worth a thought
_SHARED = 0.02  # and for texts that come after this one
_PRIOR = 1.0
"""Misses that a text counts as having had, and as having been likely to have: what it takes to tell it from others."""
_FADE = 0.03  # by which each token lessens what the ones before it tell
_LEAST_DOUBT = 0.2


def grade(length: int) -> int:
    """Return the grade of a match of `length` tokens: longer ones are right more often."""
    return sum(length >= end for end in _GRADE_ENDS)


class Ngrams:
    """The places in one growing text where its last tokens stood before.

    While the text follows an earlier passage, `source` points at what comes next there. Each token that comes tells
    whether that was right, so that the odds are known whether or not anybody acted on them.
    """

    __slots__ = (
        *("_latest", "_length", "_lost", "_lost_for", "_missed", "_odds", "_older", "_risked", "_seen", "_shared"),
        *("_single", "_text"),
        "seen",
        "source",
    )

    def __init__(self, before: Iterable[int] = (), odds: list[float] | None = None) -> None:
        """`before` is text from elsewhere that may come again, such as what a client expects to read.

        `odds` by grade are those to begin with; what this text teaches flows back into them, slowly.
        """
        self._text: list[int] = []
        self._older: list[int] = []  # by place: the one before it that stands behind the same tokens
        self._latest: dict[tuple[int, ...], int] = {}
        self._single: dict[int, int] = {}  # the place behind each token's last one
        self.source = -1  # place of what is expected next, -1 if nothing is
        self.seen = 0  # tokens in a row up to now that were foreseen
        self._length = 0  # tokens by which the match is known
        self._lost, self._lost_for = -1, 0
        self._shared = list(PRIORS) if odds is None else odds
        self._odds = list(self._shared)
        self._seen = [2] * len(PRIORS)
        self._missed = self._risked = _PRIOR  # misses lately, and how many the odds had foretold
        self.index(before)
        if self._text:
            self._append(_BREAK)
            self.source = self._lost = 0  # an answer begins as it was expected to, if it does at all
            self._length, self._lost_for = 3, _RESTARTS

    def index(self, tokens: Iterable[int]) -> None:
        """Take in tokens that nobody predicts: a prompt. As `_append` of each, several times as fast."""
        text, latest, older = self._text, self._latest, self._older
        start = len(text)
        text += tokens
        older += [-1] * (min(SIZE, len(text)) - start)
        start = max(start, SIZE)
        for place, key in enumerate(zip(text[start - SIZE : -1], text[start - SIZE + 1 : -1], strict=False), start):
            older.append(latest.get(key, -1))
            latest[key] = place
        self._single.update(zip(text[:-1], range(1, len(text)), strict=True))

    def push(self, token: int) -> None:
        """Take in the token that came, and look for where the text goes on."""
        text = self._text
        if self.source >= 0:
            hit = text[self.source] == token
            self._learn(grade(self._length), hit)
            self.seen = self.seen + 1 if hit else 0
            if not hit:
                self._lost, self._lost_for, self.source = self.source, _RESTARTS, -1
            else:
                self.source += 1
                self._length += 1
        self._append(token)
        if self.source >= 0 and text[self.source] == _BREAK:
            self.source = -1
        if self.source < 0 or self._length < SIZE:
            self._search()

    def guess(self, most: int) -> tuple[list[int], list[float]]:
        """Return up to `most` tokens that are expected to come, and the chance that each and all before it do.

        A text that missed less than its odds foretold is taken to go on so: what copies is seldom wrong at any length
        of the match, and has hardly met each of them.
        """
        if self.source < 0:
            return [], []
        tokens = self._text[self.source : self.source + most]
        if _BREAK in tokens:
            del tokens[tokens.index(_BREAK) :]
        elif len(tokens) < most:  # what would stand behind the text's end is what was just guessed: a loop goes round
            period = len(tokens)
            tokens += [tokens[index % period] for index in range(period, most)]
        doubt = min(1.0, max(_LEAST_DOUBT, self._missed / self._risked))
        odds = [1.0 - doubt * (1.0 - one) for one in self._odds]
        chances, chance = [], 1.0
        for further in range(len(tokens)):
            chance *= odds[grade(self._length + further)]
            if chance < _LEAST:
                break
            chances.append(chance)
        return tokens[: len(chances)], chances

    def _append(self, token: int) -> None:
        """Index what ended before `token`: the place of `token` is what follows it."""
        text = self._text
        place = len(text)
        older = -1
        if place >= SIZE:
            key = tuple(text[-SIZE:])
            older = self._latest.get(key, -1)
            self._latest[key] = place
        if place:
            self._single[text[-1]] = place
        self._older.append(older)
        text.append(token)

    def _learn(self, grade: int, hit: bool) -> None:
        self._missed += (not hit) - _FADE * (self._missed - _PRIOR)
        self._risked += 1.0 - self._odds[grade] - _FADE * (self._risked - _PRIOR)
        self._seen[grade] += 1
        rate = max(_SLOWEST, 1.0 / self._seen[grade])
        self._odds[grade] += (hit - self._odds[grade]) * rate
        self._shared[grade] += (hit - self._shared[grade]) * _SHARED

    def _search(self) -> None:
        """Find the longest match among the latest places; else see whether the broken one goes on near by."""
        text = self._text
        place = self._latest.get(tuple(text[-SIZE:]), -1) if len(text) >= SIZE else -1
        best = 0
        for _ in range(_CANDIDATES):
            if place < 0:
                break
            length = self._common(place)
            if length > best and text[place] != _BREAK:
                best, self.source = length, place
            place = self._older[place]
        if best:
            self._length, self._lost_for = best, 0
        elif self.source < 0 and self._lost_for:
            self._lost_for -= 1
            self._restart()
        if self.source < 0:
            self.source, self._length = self._single.get(text[-1], -1), 1
            if self.source >= 0 and text[self.source] == _BREAK:
                self.source = -1

    def _common(self, place: int) -> int:
        """How many tokens before `place` are those at the text's end."""
        text = self._text
        length = SIZE
        most = min(_COMPARED, place)
        while length < most and text[place - length - 1] == text[-length - 1]:
            length += 1
        return length

    def _restart(self) -> None:
        """A token was changed, left out or put in: the passage may go on behind the one that has come now."""
        text = self._text
        end = min(len(text) - 1, self._lost + _NEAR)
        for place in range(self._lost, end):
            if text[place] == text[-1] and text[place + 1] != _BREAK:
                self.source, self._length = place + 1, 0
                return
