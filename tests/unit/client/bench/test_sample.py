"""Reading streams: when text came, and what servers say of it."""

from __future__ import annotations

from arriero.client.bench.sample import Sample, read


def test_openais_stream_is_read_as_it_came() -> None:
    chunks = [
        (1.0, b'data: {"choices": [{"text": "a"}]}\n\nda'),
        (1.5, b'ta: {"choices": [{"text": " b"}]}\r\n\r\ndata: {"choices": [{"text": " c"}]}\n\n'),
        (1.6, b'data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\n'),
        (1.7, b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details":'),
        (1.8, b'{"cached_tokens": 4}}, "timings": {"draft_n": 5, "draft_n_accepted": 2}}\n\ndata: [DONE]\n\n'),
    ]
    sample = Sample(sent=0.5, ended=1.75)
    read(sample, chunks)
    assert sample.text == "a b c"
    assert sample.events == [1.0, 1.5]
    assert (sample.ttft, sample.gaps) == (0.5, [0.5])
    assert sample.first_share == 0.2  # one character of five, in two events for three tokens
    assert sample.behind == 2
    assert (sample.prompt_tokens, sample.cached_tokens, sample.completion_tokens) == (7, 4, 3)
    assert (sample.drafted, sample.accepted) == (5, 2)


def test_ollamas_lines_are_read() -> None:
    sample = Sample()
    chunks = [
        (0.1, b'{"response": "a", "done": false}\n'),
        (0.2, b'{"message": {"content": "b"}, "done": false}\n'),
        (0.3, b'{"response": "", "done": true, "prompt_eval_count": 4, "eval_count": 2}\n'),
    ]
    read(sample, chunks)
    assert (sample.text, sample.events) == ("ab", [0.1, 0.2])
    assert (sample.prompt_tokens, sample.completion_tokens) == (4, 2)


def test_tokens_that_come_with_the_first_event_are_not_counted_behind_it() -> None:
    sample = Sample(completion_tokens=10)
    read(
        sample,
        [(1.0, b'data: {"choices": [{"text": "aaaa"}]}\n\n'), (2.0, b'data: {"choices": [{"text": "bbbb"}]}\n\n')],
    )
    assert sample.behind == 5.0


def test_an_error_in_the_stream_is_the_samples() -> None:
    sample = Sample()
    read(sample, [(0.1, b'data: {"error": {"message": "no room"}}\n\n')])
    assert "no room" in sample.error
    assert sample.ttft == float("inf")
