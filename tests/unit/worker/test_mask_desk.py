from __future__ import annotations

import queue
import threading

from arriero.core.constraint import AnswerPlan, Constraint, TokenMask
from arriero.core.errors import ErrorInfo, InvalidRequest
from arriero.worker.mask_desk import THREADS, MaskDesk

SLOW = AnswerPlan(constraint=Constraint(kind="regex", source="slow"))
QUICK = AnswerPlan(constraint=Constraint(kind="regex", source="quick"))
BAD = AnswerPlan(constraint=Constraint(kind="regex", source="bad"))
BROKEN = AnswerPlan(constraint=Constraint(kind="regex", source="broken"))


class Masks:
    """Compiles nothing: slow plans wait until they may go on."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def compile(self, plan: AnswerPlan) -> TokenMask | None:
        if plan == SLOW:
            self.go.wait(60)
        elif plan == BAD:
            raise InvalidRequest("no", param="format")
        elif plan == BROKEN:
            raise RuntimeError("a bug")
        return None


def test_a_slow_grammar_holds_up_no_other() -> None:
    masks, told = Masks(), queue.Queue[tuple[str, ErrorInfo | None]]()
    desk = MaskDesk(masks)

    def submit(name: str, plan: AnswerPlan) -> None:
        desk.submit(plan, lambda mask: told.put((name, None)), lambda error: told.put((name, error)))

    for number in range(THREADS - 1):
        submit(f"slow {number}", SLOW)
    submit("quick", QUICK)
    assert told.get(timeout=30) == ("quick", None)
    submit("bad", BAD)
    assert told.get(timeout=30) == ("bad", ErrorInfo("invalid_request", "no", {"param": "format"}))
    submit("broken", BROKEN)
    name, error = told.get(timeout=30)
    assert error is not None
    assert (name, error.code) == ("broken", "internal")
    assert told.empty()
    masks.go.set()
    assert told.get(timeout=30)[1] is None
