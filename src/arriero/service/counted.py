"""A request that was let in: its permit comes back and it is counted once, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from arriero.core.backend import Permit
from arriero.core.errors import ArrieroError
from arriero.observe.metrics import Metrics
from arriero.service.admission import Admission


@dataclass(slots=True)
class Counted:
    """`outcome` is how the request is counted; an error that ends the block has its own."""

    permit: Permit
    outcome: str = "cancelled"


@contextmanager
def counted(admission: Admission, metrics: Metrics, model: str) -> Iterator[Counted]:
    """Hold a permit for the block; Overloaded before it. An error is counted by its code."""
    one = Counted(admission.enter())
    metrics.request_started(model)
    try:
        yield one
    except ArrieroError as error:
        one.outcome = error.code
        raise
    except Exception:
        one.outcome = "internal"
        raise
    finally:
        admission.leave(one.permit)
        metrics.request_finished(model, one.outcome)
