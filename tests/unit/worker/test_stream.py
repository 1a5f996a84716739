"""A request's text stage: deltas, stop strings, counts, the last word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from arriero.core.messages import RequestDelta, RequestFinished
from arriero.core.request import GenerateRequest, SamplingParams
from arriero.core.runner import Choice
from arriero.engine.sequence import SequenceSpec
from arriero.runners.fake_answers import GreedySampler
from arriero.worker.prompt import Prompt
from arriero.worker.stream import RequestStream
from tests.unit.worker.letters import Letters


def stream(*, want_context: bool = False, shift: bool = False, **sampling: Any) -> RequestStream:
    request = GenerateRequest(
        model="m",
        prompt="x",
        shift=shift,
        want_context=want_context,
        sampling=SamplingParams(**sampling),
    )
    sequence = SequenceSpec(id=7, tokens=[1, 2, 3], sampler=GreedySampler())
    return RequestStream(request, Prompt([1, 2, 3]), sequence, Letters(), received=10.0)


def texts(reports: Sequence[object]) -> str:
    return "".join(report.delta.text for report in reports if isinstance(report, RequestDelta))


def test_half_characters_are_held() -> None:
    one = stream()
    reports = [one.token(byte, None, (), 11.0) for byte in "é!".encode()]
    assert reports[0] is None
    assert texts(reports) == "é!"


def test_a_stop_string_over_token_borders_ends_the_text() -> None:
    one = stream(stop=("END",))
    reports = [one.token(byte, None, (), 11.0) for byte in b"abEN"]
    assert texts(reports) == "ab"
    last = one.token(ord("D"), None, (), 11.0)
    assert one.stop_sequence == "END"
    ended = one.ended("stop", 12.0)
    assert texts([last, *ended]) == ""
    finished = ended[-1]
    assert isinstance(finished, RequestFinished)
    assert (finished.reason, finished.stop_sequence, finished.usage.completion_tokens) == ("stop", "END", 5)


def test_what_is_held_comes_out_at_the_end() -> None:
    one = stream(stop=("END",))
    reports = [one.token(byte, None, (), 11.0) for byte in b"abEN"]
    assert texts([*reports, *one.ended("length", 12.0)]) == "abEN"


def test_durations_and_context() -> None:
    one = stream(want_context=True)
    one.admitted(2, 11.0)
    one.admitted(0, 11.5)  # again after a preemption: the first time counts
    one.token(65, None, (), 13.0)
    one.token(66, None, (), 14.0)
    finished = one.ended("stop", 16.0)[-1]
    assert isinstance(finished, RequestFinished)
    usage = finished.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (3, 2, 2)
    assert (usage.queue_ns, usage.prefill_ns, usage.decode_ns, usage.total_ns) == (
        10**9,
        2 * 10**9,
        3 * 10**9,
        6 * 10**9,
    )
    assert finished.context == (1, 2, 3, 65, 66)


def scored_stream(max_tokens: int) -> RequestStream:
    sampling = SamplingParams(logprobs=1, max_tokens=max_tokens)
    request = GenerateRequest(model="m", prompt="ABC", raw=True, echo=True, prompt_logprobs=True, sampling=sampling)
    sequence = SequenceSpec(id=7, tokens=[65, 66, 67], sampler=GreedySampler())
    return RequestStream(request, Prompt([65, 66, 67]), sequence, Letters(), received=10.0)


def test_an_echoed_prompt_waits_for_its_log_probabilities() -> None:
    one = scored_stream(max_tokens=1)
    assert one.echo() is None
    assert one.scored(1, [Choice(66, -0.5, ((90, -0.25),))]) is None
    report = one.scored(1, [Choice(66, -0.5), Choice(67, -2.0)])  # computed again after a preemption
    assert report is not None
    assert (report.delta.text, report.delta.tokens, report.delta.echoed) == ("ABC", 0, True)
    assert [(entry.token, entry.logprob) for entry in report.delta.logprobs] == [("A", None), ("B", -0.5), ("C", -2.0)]
    assert [other.token for other in report.delta.logprobs[1].top] == ["Z"]
    assert one.scored(1, [Choice(66, -0.5), Choice(67, -2.0)]) is None
    drawn = one.token(0, -3.0, (), 11.0)  # a stop token: no text, but a log probability
    assert drawn is not None
    assert [entry.logprob for entry in drawn.delta.logprobs] == [-3.0]


def test_what_is_only_scored_draws_nothing() -> None:
    one = scored_stream(max_tokens=0)
    assert one.scored(1, [Choice(66, -0.5), Choice(67, -2.0)]) is not None
    assert one.token(68, -1.0, (), 11.0) is None
    (finished,) = one.ended("stop", 12.0)
    assert isinstance(finished, RequestFinished)
    assert (finished.reason, finished.usage.completion_tokens) == ("length", 0)


def test_log_probabilities_travel_with_their_text() -> None:
    one = stream()
    report = one.token(65, -0.5, ((65, -0.5), (66, -1.0)), 11.0)
    assert report is not None
    (logprob,) = report.delta.logprobs
    assert (logprob.token, logprob.logprob, logprob.bytes) == ("A", -0.5, (65,))
    assert [(other.token, other.logprob) for other in logprob.top] == [("A", -0.5), ("B", -1.0)]


def test_a_full_context_drops_the_older_half_behind_what_is_kept() -> None:
    one = stream(shift=True, num_keep=2, max_tokens=100)
    for byte in b"ABCDE":
        one.token(byte, None, (), 11.0)
    assert one.shifted(9) is None  # not full
    assert one.shifted(8) == ([1, 2, 67, 68, 69], 95)
    finished = one.ended("stop", 12.0)[-1]
    assert isinstance(finished, RequestFinished)
    assert finished.usage.discarded_tokens == 3


def test_no_shift_without_asking_nor_beyond_the_limit() -> None:
    for one in (stream(max_tokens=100), stream(shift=True, max_tokens=5)):
        for byte in b"ABCDE":
            one.token(byte, None, (), 11.0)
        assert one.shifted(8) is None


def test_unbounded_answers_end_after_ten_contexts() -> None:
    one = stream(shift=True)
    for _ in range(5):
        one.token(65, None, (), 11.0)
    assert one.shifted(8) == ([1, 2, 3, 65, 65, 65], 75)  # the default keeps four tokens
