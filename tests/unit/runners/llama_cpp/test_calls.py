"""Spans are cut into calls that hold every token once, in order, within bounds; idle rows only where they pay."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from arriero.runners.llama_cpp.calls import MAX_GAP, Piece, cut_calls, fillers


def piece(index: int, start: int, end: int, prompt_len: int, *, output: bool = True) -> Piece:
    """A piece in the slot of its index."""
    return Piece(index, index, start, end, prompt_len, output)


@st.composite
def steps(draw: st.DrawFn) -> list[Piece]:
    """Some sequences that decode and some whose prompts are under way, in slots in any order."""
    slots = draw(st.permutations(range(8)))
    pieces = []
    for index in range(draw(st.integers(0, 8))):
        prompt_len = draw(st.integers(1, 90))
        if draw(st.booleans()):
            start = prompt_len + draw(st.integers(0, 30))
            pieces.append(Piece(index, slots[index], start, start + 1, prompt_len, True))
        else:
            start = draw(st.integers(0, (prompt_len - 1) // 16)) * 16
            end = draw(st.sampled_from([*range(start + 16, prompt_len, 16), prompt_len]))
            pieces.append(Piece(index, slots[index], start, end, prompt_len, end == prompt_len, draw(st.booleans())))
    return pieces


@given(pieces=steps(), capacity=st.integers(8, 64), align=st.sampled_from([0, 16]), mixed=st.booleans())
def test_calls_hold_all_that_is_asked_and_nothing_else(
    pieces: list[Piece], capacity: int, align: int, mixed: bool
) -> None:
    capacity = max(capacity, align)
    calls = list(cut_calls(pieces, capacity, align=align, mixed=mixed, outputs=5))
    assert all(0 < sum(p.end - p.start for p in call) <= capacity for call in calls)
    for asked in pieces:
        parts = [p for call in calls for p in call if p.index == asked.index]
        assert [t for p in parts for t in range(p.start, p.end)] == list(range(asked.start, asked.end))
        assert [p.output for p in parts] == [False] * (len(parts) - 1) + [asked.output]
        assert {p.slot for p in parts} == {asked.slot}
        assert all(p.outputs <= 5 for p in parts)
    for call in calls:
        assert len({p.index for p in call}) == len(call)


@given(pieces=steps(), capacity=st.sampled_from([16, 40, 512]))
def test_aligned_calls_do_not_depend_on_neighbours(pieces: list[Piece], capacity: int) -> None:
    for call in cut_calls(pieces, capacity, align=16, mixed=False, outputs=16):
        if all(p.drawn for p in call):
            continue
        (part,) = call  # a prompt's part is alone
        assert part.start % 16 == 0
        if part.output:
            assert part.end - part.start <= 16  # and its end is the same part however the rest was cut
        else:
            assert part.end % 16 == 0


def test_neighbouring_slots_lie_side_by_side() -> None:
    pieces = [Piece(i, slot, 20, 21, 20, True) for i, slot in enumerate((5, 1, 3))]
    (call,) = cut_calls(pieces, 64, align=0, mixed=False, outputs=8)
    assert [p.slot for p in call] == [1, 3, 5]


def test_prompts_join_the_drawn_tokens_only_in_one_pool() -> None:
    pieces = [piece(0, 0, 30, 40, output=False), piece(1, 9, 10, 9)]
    together = list(cut_calls(pieces, 64, align=0, mixed=True, outputs=8))
    apart = list(cut_calls(pieces, 64, align=0, mixed=False, outputs=8))
    assert [[p.index for p in call] for call in together] == [[1, 0]]
    assert [[p.index for p in call] for call in apart] == [[1], [0]]


def test_a_lone_prompt_token_is_no_decode() -> None:
    assert not piece(0, 0, 1, 1).drawn
    assert not piece(0, 16, 17, 17).drawn
    assert piece(0, 17, 18, 17).drawn


def test_small_gaps_are_filled() -> None:
    assert fillers([0, 1, 2], 8, 1) == []
    assert fillers([0, 2, 5, 9], 16, 1) == [1, 3, 4]
    assert fillers([3], 8, 1) == []


def test_a_floor_widens_every_run() -> None:
    assert fillers([0], 32, 8) == list(range(1, 8))
    assert fillers([31], 32, 8) == list(range(24, 31))
    assert fillers([2], 4, 8) == [0, 1, 3]
    assert fillers([4], 32, 2) == [5]


@given(st.sets(st.integers(0, 31), min_size=1), st.integers(1, 40))
def test_fillers_are_idle_slots_and_reach_the_floor(slots: set[int], floor: int) -> None:
    extra = fillers(sorted(slots), 32, floor)
    assert not slots & set(extra)
    assert all(0 <= slot < 32 for slot in extra)
    rows = sorted(slots | set(extra))
    runs = [1]
    for left, right in pairwise(rows):
        if right == left + 1:
            runs[-1] += 1
        else:
            runs.append(1)
            assert right - left - 1 > (MAX_GAP if floor == 1 else 0)
    assert all(run >= min(floor, 32) for run in runs)
