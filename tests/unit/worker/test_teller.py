"""Teller: what piled up leaves in one frame and in order; what a text decides is handed back to the loop's thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from arriero.core import messages as wire
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.sequence import SequenceSpec
from arriero.worker.stream import RequestStream
from arriero.worker.teller import SPACING, Decisions, Step, Teller
from tests.unit.worker.test_stream import stream

STATS = wire.Stats(counters={"added": 1})


class Told:
    """A teller whose frames and decisions are kept; it stops where a frame is sent and nothing waits."""

    def __init__(self, again: SequenceSpec | None = None) -> None:
        self.frames: list[list[Any]] = []
        self.decided: list[tuple[str, int]] = []
        decisions = Decisions(
            submit=lambda command: command(),  # type: ignore[arg-type]
            stop=lambda number: self.decided.append(("stop", number)),
            again=lambda _: again,
            go_on=lambda stream, _: self.decided.append(("go on", stream.number)),
            over=lambda number: self.decided.append(("over", number)),
        )
        self.teller = Teller(self, decisions, self._crashed)  # type: ignore[arg-type]

    def send(self, reports: list[Any]) -> bool:
        self.frames.append(reports)
        if self.teller._inbox.empty():
            raise EOFError
        return True

    def _crashed(self, error: BaseException) -> None:
        assert isinstance(error, EOFError)

    def run(self, *steps: tuple[RequestStream, list[EngineEvent]], stats: wire.Stats | None = None) -> list[Any]:
        """The reports of all frames."""
        for one, events in steps:
            self.teller.tell(Step([(one, event) for event in events], 1.0, 2.0, stats))
        self.teller.run()
        return [report for frame in self.frames for report in frame]


def letters(text: str) -> list[EngineEvent]:
    return [TokenEvent(7, byte) for byte in text.encode()]


def test_what_piled_up_is_one_frame_in_order() -> None:
    told, one = Told(), stream()
    told.teller.say([STATS])
    reports = told.run(
        (one, [Started(7, 0), *letters("a")]), (one, letters("b")), (one, [Ended(7, "stop")]), stats=STATS
    )
    assert len(told.frames) == 1
    kinds = [type(report).__name__ for report in reports]
    assert kinds == ["Stats", "Stats", "RequestDelta", "Stats", "RequestDelta", "Stats", "RequestFinished"]
    assert [report.delta.text for report in reports if isinstance(report, wire.RequestDelta)] == ["a", "b"]


def test_a_stop_string_is_told_to_the_loop_once_and_nothing_behind_it_to_the_client() -> None:
    told, one = Told(), stream(stop=("END",))
    reports = told.run((one, letters("aEND")), (one, [*letters("more"), Ended(7, "length")]))
    assert told.decided == [("stop", 7), ("over", 7)]
    assert "".join(report.delta.text for report in reports[:-1]) == "a"
    assert (reports[-1].reason, reports[-1].usage.completion_tokens) == ("stop", 4)


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_full_context_means_the_text_decides(goes_on: bool) -> None:
    one = stream()
    told = Told(one.sequence if goes_on else None)
    reports = told.run((one, [*letters("ab"), Ended(7, "length")]))
    assert told.decided == [("go on" if goes_on else "over", 7)]
    assert any(isinstance(report, wire.RequestFinished) for report in reports) is not goes_on


def test_what_breaks_in_a_text_ends_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    told, one, other = Told(), stream(), stream()
    monkeypatch.setattr(one, "_detokenizer", None)
    reports = told.run(
        (one, letters("a")), (other, letters("b")), (one, [*letters("c"), Ended(7, "stop")]), (other, letters("d"))
    )
    assert told.decided == [("stop", 7), ("over", 7)]
    failed, *rest = reports
    assert isinstance(failed, wire.RequestFailed)
    assert failed.error.code == "internal"
    assert "".join(report.delta.text for report in rest) == "bd"


def test_frames_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("arriero.worker.teller.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("arriero.worker.teller.time.sleep", sleep)
    told = Told()
    for pause in (0.0, SPACING / 4, SPACING * 2):
        clock[0] += pause
        told.teller.say([STATS])
        told.teller.run()
        told.teller._sent = clock[0]  # the frame that ended the run was sent now
    assert slept == [pytest.approx(SPACING * 3 / 4)]
    assert len(told.frames) == 3


def test_a_teller_that_breaks_says_so() -> None:
    broken: list[BaseException] = []
    told = Told()
    one = Teller(told, told.teller._decisions, broken.append)  # type: ignore[arg-type]
    one.say([None])
    one.tell(Step([(None, Ended(7, "stop"))], 1.0, 2.0, None))  # type: ignore[list-item]
    thread = threading.Thread(target=one.run)
    thread.start()
    thread.join(10)
    assert [type(error) for error in broken] == [AttributeError]
