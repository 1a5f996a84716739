"""Fields that nobody knows."""

from __future__ import annotations

import pytest

from arriero.core.errors import InvalidRequest
from arriero.protocols.unknown import unknown_fields

KNOWN = {"model", "temperature"}


def test_the_first_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        unknown_fields(["model", "temprature", "zzz"], KNOWN)
    assert refused.value.message == "unknown field 'temprature': did you mean 'temperature'?"
    assert refused.value.details["param"] == "temprature"


def test_a_long_name_is_not_told_whole() -> None:
    with pytest.raises(InvalidRequest) as refused:
        unknown_fields(["z" * 1000], KNOWN)
    assert refused.value.details["param"] == "z" * 64
    assert len(refused.value.message) < 100


def test_all_are_returned_where_they_are_only_warned_of() -> None:
    assert unknown_fields(["a", "model", "b"], KNOWN, "warn") == ("a", "b")
    assert unknown_fields(["model"], KNOWN, "warn") == ()
