"""Where a text says what comes next: found again, followed, lost, and with what chance."""

from __future__ import annotations

from arriero.engine.ngrams import PRIORS, Ngrams, grade

TEXT = list(range(100, 160))


def _guess(ngrams: Ngrams, most: int = 8) -> list[int]:
    return ngrams.guess(most)[0]


def test_what_followed_is_guessed_when_tokens_come_again_and_the_more_they_are_the_likelier() -> None:
    ngrams = Ngrams()
    ngrams.index(TEXT)
    assert _guess(ngrams) == []
    before = 0.0
    for token in (110, 111, 112):
        ngrams.push(token)
        (guess,), (chance,) = ngrams.guess(1)
        assert guess == token + 1
        assert chance > before
        before = chance
    ngrams.push(7)
    ngrams.push(8)
    assert _guess(ngrams) == []


def test_what_one_text_teaches_the_next_begins_with() -> None:
    odds = list(PRIORS)
    first = Ngrams(odds=odds)
    first.index(TEXT * 2)
    for token in TEXT:
        first.push(token)
    assert odds[-1] > PRIORS[-1]
    second = Ngrams(odds=odds)
    second.index(TEXT)
    for token in TEXT[:30]:
        second.push(token)
    assert second.guess(1)[1][0] > odds[-1]


def test_lengths_that_a_text_has_not_met_are_trusted_more_where_it_never_missed() -> None:
    copies, misses = Ngrams(), Ngrams()
    for ngrams in (copies, misses):
        ngrams.index(TEXT)
    for place in range(0, 32, 2):
        misses.push(TEXT[place])  # what is guessed then never comes
    found = []
    for ngrams in (copies, misses):
        for token in TEXT[40:46]:
            ngrams.push(token)
        tokens, chances = ngrams.guess(8)
        assert tokens == TEXT[46:54]
        found.append(chances[4] / chances[3])  # of a token behind nine or more: neither text has met one
    assert found[0] > found[1] + 0.1
    assert PRIORS[grade(9)] <= found[1] < PRIORS[grade(9)] + 0.05


def test_the_longest_of_the_latest_matches_wins() -> None:
    ngrams = Ngrams()
    ngrams.index([1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 4, 5, 0, 0])
    for token in (1, 2, 3, 4, 5):
        ngrams.push(token)
    assert _guess(ngrams, 2) == [6, 7]


def test_a_changed_a_missing_and_a_new_token_do_not_lose_the_passage() -> None:
    for changed, expected in ((7, 120), (None, 121), (9, 119)):
        ngrams = Ngrams()
        ngrams.index(TEXT)
        for token in TEXT[:18]:
            ngrams.push(token)
        assert _guess(ngrams, 1) == [118]
        if changed == 9:  # put in before 118
            ngrams.push(9)
            ngrams.push(118)
        elif changed is None:  # 118 is left out
            ngrams.push(119)
            ngrams.push(120)
        else:  # in place of 118
            ngrams.push(7)
            ngrams.push(119)
        assert _guess(ngrams, 1) == [expected]


def test_a_loop_goes_round_as_far_as_is_asked() -> None:
    ngrams = Ngrams()
    for token in (9, 1, 2, 3, 1, 2, 3, 1):
        ngrams.push(token)
    assert _guess(ngrams, 8) == [2, 3, 1, 2, 3, 1, 2, 3]


def test_chances_fall_along_a_draft_and_follow_what_came() -> None:
    ngrams = Ngrams()
    ngrams.index(TEXT * 2)
    for token in TEXT[:30]:
        ngrams.push(token)
    good = ngrams.guess(8)[1]
    assert good == sorted(good, reverse=True)
    assert good[0] > 0.85
    for round_ in range(30):
        for token in (*TEXT[:4], 1000 + round_):  # broken off after four, each time by something else
            ngrams.push(token)
    for token in TEXT[:4]:
        ngrams.push(token)
    assert ngrams.guess(1)[1][0] < 0.6


def test_text_from_elsewhere_is_expected_from_its_beginning_and_not_across_its_end() -> None:
    ngrams = Ngrams(TEXT[:10])
    ngrams.index([5, 6, 7])
    ngrams.push(TEXT[0])
    assert _guess(ngrams, 20) == TEXT[1:10]
    for token in TEXT[1:10]:
        ngrams.push(token)
    assert _guess(ngrams) == []


def test_grades_rise_with_the_match() -> None:
    assert [grade(length) for length in (0, 1, 2, 3, 5, 9, 17, 100)] == [0, 1, 2, 3, 4, 5, 6, 6]
