"""Host: nobody waits for another's prompt, and an abort overtakes its own request without being lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from arriero.core import messages as wire
from arriero.core.errors import InvalidRequest
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.worker.connection import Connection
from arriero.worker.host import Host
from arriero.worker.prompt import SAMPLE
from arriero.worker.text_desk import HUGE

SPEC = ModelSpec(name="fake:latest", path="/none", digest="0" * 64, size=1, modified_at=0.0, runner="fake")
LONG = "x" * 1000  # the fake answers with the prompt: seconds, at five milliseconds a token
HUGE_PROMPT = "y" * HUGE
TIMEOUT = 30.0  # seconds; only a broken worker waits that long


class Served:
    """A host on a thread of its own, and the server's end of its socket."""

    def __init__(self) -> None:
        self._sock, theirs = socket.socketpair()
        self._sock.settimeout(TIMEOUT)
        self._file = self._sock.makefile("rb")
        self.host = Host(Connection(theirs))
        self.reports: list[Any] = []
        self._thread = threading.Thread(target=self.host.serve)
        self.thread_name = self._thread.name
        self._thread.start()
        self.send(wire.Load(spec=SPEC, options={"step_seconds": 0.005}))
        self.until(lambda report: isinstance(report, wire.Ready))

    def send(self, *commands: wire.Command) -> None:
        self._sock.sendall(wire.encode_frame(list(commands)))

    def until(self, wanted: Any) -> Any:
        """Read until `wanted` holds of a report; that report."""
        while True:
            body = self._file.read(wire.frame_length(self._file.read(wire.HEADER_SIZE)))
            reports = wire.decode_reports(body)
            self.reports += reports
            for report in reports:
                if wanted(report):
                    return report

    def ask(self, number: int, prompt: str) -> None:
        self.send(wire.Generate(id=number, request=GenerateRequest(model="fake", prompt=prompt, raw=True)))

    def join(self) -> None:
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    def close(self) -> None:
        if self._thread.is_alive():
            self.send(wire.Shutdown())
        self.join()
        self._file.close()
        self._sock.close()


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.close()


def test_an_abort_waits_for_nobodys_prompt(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main thread is busy with the prompt of 2 when 1 goes, and 2 itself; 3 comes behind them."""
    entered, go_on = threading.Event(), threading.Event()
    build = served.host._faces[""].prompts.build

    def slowly(request: GenerateRequest) -> Any:
        if request.prompt == "slow":
            entered.set()
            assert go_on.wait(TIMEOUT)
        return (yield from build(request))

    monkeypatch.setattr(served.host._faces[""].prompts, "build", slowly)
    served.ask(1, LONG)
    served.until(lambda report: isinstance(report, wire.RequestDelta))
    served.ask(2, "slow")
    assert entered.wait(TIMEOUT)
    served.send(wire.Abort(id=1), wire.Abort(id=2))
    stats = served.until(lambda report: isinstance(report, wire.Stats) and report.counters["aborts"])
    assert not go_on.is_set()
    assert stats.gauges["blocks_active"] == 0
    assert stats.gauges["abort_steps_most"] <= 1
    served.ask(3, "word")
    go_on.set()
    served.until(lambda report: isinstance(report, wire.RequestFinished))
    accepted = [report.id for report in served.reports if isinstance(report, wire.RequestAccepted)]
    assert accepted == [1, 3]
    last = [report for report in served.reports if isinstance(report, wire.Stats)][-1]
    assert (last.counters["added"], last.counters["aborts"]) == (2, 1)
    assert served.host._gone == set()


def test_an_abort_and_its_request_in_one_frame(served: Served) -> None:
    request = GenerateRequest(model="fake", prompt=LONG, raw=True)
    served.send(wire.Generate(id=1, request=request), wire.Abort(id=1))
    served.ask(2, "word")
    finished = served.until(lambda report: isinstance(report, wire.RequestFinished))
    assert finished.id == 2
    assert served.host._streams == {}


def test_aborts_of_what_has_ended_do_not_pile_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arriero.worker.host.MOST_GONE", 10)
    served.send(*(wire.Abort(id=number) for number in range(100)))
    served.ask(200, "word")
    served.until(lambda report: isinstance(report, wire.RequestFinished))
    assert len(served.host._gone) <= 10


@pytest.mark.parametrize("where", ["build", "adapters_of"])
def test_what_breaks_on_a_request_ends_nobody_elses(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """Before its prompt is made, and where its sequence is."""
    face = served.host._faces[""]
    target = face.prompts if where == "build" else face
    really = getattr(target, where)

    def breaking(request: GenerateRequest) -> Any:
        if request.prompt == "break":
            raise RecursionError("broken on purpose")
        return really(request)

    monkeypatch.setattr(target, where, breaking, raising=False)
    served.ask(1, LONG)
    served.until(lambda report: isinstance(report, wire.RequestDelta))
    served.ask(2, "break")
    failed = served.until(lambda report: isinstance(report, wire.RequestFailed))
    assert (failed.id, failed.error.code) == (2, "internal")
    assert failed.error.message.endswith("RecursionError: broken on purpose")
    served.ask(3, "word")
    assert served.until(lambda report: isinstance(report, wire.RequestFinished)).id == 3
    assert 1 in served.host._streams


class Tokenizing:
    """Holds the tokenizing of huge texts up until `go_on`; `entered` once it has begun."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.threads: list[str] = []
        for name in ("encode", "count"):
            monkeypatch.setattr(host._model.tokenizer, name, self._slowed(getattr(host._model.tokenizer, name)))

    def _slowed(self, really: Any) -> Any:
        def slowly(text: str, **how: bool) -> Any:
            if len(text) != SAMPLE:
                self.threads.append(threading.current_thread().name)
            if len(text) >= HUGE:
                self.entered.set()
                assert self.go_on.wait(TIMEOUT)
            return really(text, **how)

        return slowly


@pytest.fixture
def tokenizing(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tokenizing]:
    one = Tokenizing(served.host, monkeypatch)
    yield one
    one.go_on.set()


def test_nobody_waits_while_a_huge_prompt_is_tokenized(served: Served, tokenizing: Tokenizing) -> None:
    """A short prompt, a long one and a count are answered before the huge one, which still says both numbers."""
    served.ask(1, HUGE_PROMPT)
    assert tokenizing.entered.wait(TIMEOUT)
    served.ask(2, "word")
    served.until(lambda report: isinstance(report, wire.RequestFinished) and report.id == 2)
    served.ask(3, "z" * (HUGE - 1))
    served.until(lambda report: isinstance(report, wire.RequestFailed) and report.id == 3)
    served.send(wire.Tokenize(id=4, text="ab"))
    assert served.until(lambda report: isinstance(report, wire.Tokens)).tokens == (97, 98)
    tokenizing.go_on.set()
    failed = served.until(lambda report: isinstance(report, wire.RequestFailed) and report.id == 1)
    assert failed.error.details == {"prompt_tokens": HUGE, "context_length": 2048}
    assert f"request ({HUGE} tokens) exceeds the available context size (2048 tokens)" in failed.error.message
    main = served.thread_name
    assert [name if name == main else name.rpartition("_")[0] for name in tokenizing.threads] == [
        "huge-texts",
        main,
        "long-texts",
        main,
    ]


def test_an_abort_while_its_prompt_is_tokenized(served: Served, tokenizing: Tokenizing) -> None:
    """1 goes while it is tokenized, 2 while it waits behind it: that is not begun. 3 comes after them."""
    served.ask(1, HUGE_PROMPT)
    served.ask(2, HUGE_PROMPT)
    assert tokenizing.entered.wait(TIMEOUT)
    served.send(wire.Abort(id=1), wire.Abort(id=2))
    served.ask(3, "word")  # what the reading thread sees behind the aborts
    served.until(lambda report: isinstance(report, wire.RequestFinished))
    tokenizing.go_on.set()
    served.send(wire.Tokenize(id=4, text=HUGE_PROMPT))  # behind both
    assert len(served.until(lambda report: isinstance(report, wire.Tokens) and report.id == 4).tokens) == HUGE
    told = {report.id for report in served.reports if isinstance(report, (wire.RequestAccepted, wire.RequestFailed))}
    assert told == {3}
    assert len([name for name in tokenizing.threads if name.startswith("huge-texts")]) == 2
    assert served.host._gone == set()


def test_a_fault_while_tokenizing_beside_is_the_requests(
    served: Served, tokenizing: Tokenizing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str, **how: bool) -> int:
        if len(text) == SAMPLE:
            return SAMPLE
        raise InvalidRequest("the text cannot be tokenized")

    monkeypatch.setattr(served.host._model.tokenizer, "count", refuse)
    served.ask(1, HUGE_PROMPT)
    failed = served.until(lambda report: isinstance(report, wire.RequestFailed))
    assert (failed.id, failed.error.message) == (1, "the text cannot be tokenized")


def test_a_worker_ends_while_a_prompt_is_tokenized(served: Served, tokenizing: Tokenizing) -> None:
    served.ask(1, HUGE_PROMPT)
    assert tokenizing.entered.wait(TIMEOUT)
    served.send(wire.Shutdown())
    served.join()
    assert not tokenizing.go_on.is_set()
