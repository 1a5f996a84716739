"""However a block ends, its permit is back and its request is counted once."""

from __future__ import annotations

import asyncio
import re

import pytest

from arriero.core.errors import InvalidRequest, Overloaded
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission
from arriero.service.counted import counted


def ends(metrics: Metrics) -> list[tuple[str, str]]:
    """Each way a request ended, with how many did."""
    pattern = r'^arriero_requests_(?:finished|failed)_total\{.*(?:reason|code)="([^"]+)"\S*\} (\S+)'
    return [(how, count) for how, count in re.findall(pattern, metrics.render().decode(), re.MULTILINE)]


def fail(admission: Admission, metrics: Metrics, error: BaseException) -> None:
    """Raise `error` inside."""
    with counted(admission, metrics, "m"):
        assert admission.inside == 1
        raise error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest("no"), InvalidRequest("no").code),
        (ValueError("a bug"), "internal"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "cancelled"),
    ],
)
def test_what_ends_it_is_raised_and_counted(error: BaseException, code: str) -> None:
    admission, metrics = Admission(1), Metrics()
    with pytest.raises(type(error)):
        fail(admission, metrics, error)
    assert admission.inside == 0
    assert ends(metrics) == [(code, "1.0")]


def test_a_good_end_has_its_reason() -> None:
    admission, metrics = Admission(1), Metrics()
    with counted(admission, metrics, "m") as one:
        one.outcome = "stop"
    assert admission.inside == 0
    assert ends(metrics) == [("stop", "1.0")]


def test_who_is_not_let_in_is_not_counted() -> None:
    metrics = Metrics()
    with pytest.raises(Overloaded), counted(Admission(0), metrics, "m"):
        pass
    assert ends(metrics) == []
