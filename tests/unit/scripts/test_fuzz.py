"""How the parts of a long fuzzing run are added up."""

from __future__ import annotations

from scripts import fuzz


def test_parts_are_added_up_by_api() -> None:
    part: dict[str, object] = {
        "api": "ollama",
        "outcome": "passed",
        "bodies": 10,
        "reached_the_runner": 4,
        "internal_errors": 0,
        "statuses": "200:6 400:4",
    }
    found = fuzz.sums([part, part | {"statuses": "200:7 404:3"}, {"outcome": "failed"}])
    assert found["ollama"] == {
        "failed_parts": 0,
        "bodies": 20,
        "reached_the_runner": 8,
        "internal_errors": 0,
        "statuses": {"200": 13, "400": 4, "404": 3},
    }
    assert found["unknown"]["failed_parts"] == 1
