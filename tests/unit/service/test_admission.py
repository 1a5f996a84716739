"""What may wait is bounded; what has begun to answer waits no more, and every permit makes room again."""

from __future__ import annotations

import pytest

from arriero.core.errors import Overloaded
from arriero.service.admission import Admission


def test_only_what_waits_is_bounded() -> None:
    admission = Admission(2)
    first, second = admission.enter(), admission.enter()
    with pytest.raises(Overloaded) as refused:
        admission.enter()
    assert refused.value.details == {"retry_after": 1}
    admission.began(first)
    assert (admission.pending, admission.inside) == (1, 2)
    admission.enter()
    assert (admission.pending, admission.inside) == (2, 3)
    admission.leave(second)
    assert (admission.pending, admission.inside) == (1, 2)


def test_a_permit_comes_back_once() -> None:
    admission = Admission(1)
    permit = admission.enter()
    admission.leave(permit)
    assert (admission.pending, admission.inside) == (0, 0)
    with pytest.raises(KeyError):
        admission.leave(permit)
    assert admission.enter() != permit
