from __future__ import annotations

from typing import Any

import pytest

from arriero.service.turns import GRACE, LEAST_TURN, Choice, Place, choose

NOW = 1000.0


def place(name: str, **fields: Any) -> Place:
    """A model that was loaded long ago and is idle since long."""
    given: dict[str, Any] = {"busy": False, "keep_alive": 300.0, "idle_since": NOW - 50, "ready_at": NOW - 100}
    return Place(name, **(given | fields))


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([place("a"), place("b", keep_alive=60.0)], Choice(evict="b")),
        ([place("a", keep_alive=-1.0), place("b")], Choice(evict="b")),
        ([place("a", idle_since=NOW - 60), place("b")], Choice(evict="a")),
        ([place("a", busy=True), place("b", keep_alive=-1.0)], Choice(evict="b")),
        # Its turn is over: no new requests, even while it is idle for an instant only.
        ([place("a", busy=True)], Choice(leave="a")),
        ([place("a", idle_since=NOW)], Choice(evict="a")),
        ([place("a", busy=True), place("b", busy=True, keep_alive=60.0)], Choice(leave="b")),
        # One is leaving already: wait for it.
        ([place("a", busy=True, leaving=True), place("b", busy=True)], Choice(seconds=None)),
        ([place("a", leaving=True, idle_since=NOW, ready_at=NOW)], Choice(evict="a")),
        # In its turn: as long as it is asked again at once.
        ([place("a", busy=True, ready_at=NOW)], Choice(seconds=LEAST_TURN)),
        ([place("a", busy=True, ready_at=NOW, load_seconds=5.0)], Choice(seconds=20.0)),
        ([place("a", idle_since=NOW, ready_at=NOW)], Choice(seconds=GRACE)),
        ([place("a", idle_since=NOW - 1, ready_at=NOW - 1)], Choice(evict="a")),
        # A loading one has no turn yet.
        ([place("a", busy=True, ready_at=None)], Choice(seconds=None)),
    ],
)
def test_choose(places: list[Place], expected: Choice) -> None:
    found = choose(places, NOW)
    assert (found.evict, found.leave) == (expected.evict, expected.leave)
    assert found.seconds == pytest.approx(expected.seconds)
