"""What a pool's slots hold is counted as llama.cpp would: against sets of cells, one by one."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from arriero.runners.llama_cpp.pool_cells import PoolCells

SLOTS = 4
steps = st.lists(
    st.tuples(
        st.sampled_from(["enter", "leave", "share", "reach", "keep", "share kept", "forget"]),
        st.integers(0, SLOTS - 1),
        st.integers(0, SLOTS - 1),
        st.integers(0, 20),
    ),
    max_size=40,
)


@given(steps)
def test_cells_that_several_share_count_once(made: list[tuple[str, int, int, int]]) -> None:
    cells, held, fresh = PoolCells(), dict[int, list[int]](), count()
    kept: list[int] = []
    meant: dict[tuple[int, int], int] = {}  # run and position → the cell that was there when several had it
    for what, slot, other, length in made:
        if what == "enter":
            cells.enter(slot)
            held[slot] = []
        elif what == "leave":
            cells.leave(slot)
            held.pop(slot, None)
        elif what == "share" and slot in held and other != slot:
            cells.enter(other)
            cells.share(slot, other, min(length, len(held[slot])))
            held[other] = held[slot][:length]
        elif what == "reach" and slot in held:
            cells.reach(slot, length)
            held[slot] = held[slot][:length] + [next(fresh) for _ in range(length - len(held[slot]))]
        elif what == "keep" and slot in held:
            cells.keep(slot, length)
            kept = held[slot][:length]
        elif what == "share kept":
            cells.enter(slot)
            cells.share_kept(slot, length)
            held[slot] = kept[:length]
        elif what == "forget":
            cells.kept, kept = [], []
        for one, own in held.items():
            for run in cells.runs(one):
                if cells.is_shared(run.number) or run in cells.kept:
                    for place in range(run.start, run.end):
                        assert meant.setdefault((run.number, place), own[place]) == own[place]
        assert set(cells) == set(held)
        assert all(cells.length(one) == len(own) for one, own in held.items())
        assert cells.used() == len({cell for own in (kept, *held.values()) for cell in own})
