"""How texts of many requests become calls: packed, in turns, each request with one end."""

from __future__ import annotations

import pytest

from arriero.core.embedding import EmbedOutput, TokenText
from arriero.engine.embedding import EmbeddingEngine
from arriero.runners.fake_embedder import FakeEmbedder


def text(length: int, first: int = 1) -> TokenText:
    return TokenText(list(range(first, first + length)))


def run(engine: EmbeddingEngine) -> dict[int, object]:
    """Step until there is no work; what each request ended with."""
    ended: dict[int, object] = {}
    while engine.has_work:
        for one in engine.step(0.0):
            assert one.id not in ended
            ended[one.id] = one.error or one.vectors
    return ended


def test_many_texts_go_into_one_call() -> None:
    embedder = FakeEmbedder(batch_texts=100, batch_tokens=64)
    engine = EmbeddingEngine(embedder)
    texts = [text(2, n) for n in range(32)]
    engine.add(1, texts)
    found = run(engine)
    assert embedder.calls == [32]
    assert found[1] == tuple(FakeEmbedder().embed([one]).vectors[0] for one in texts)


@pytest.mark.parametrize(
    ("lengths", "calls"),
    [([64], [1]), ([65], [1]), ([10, 60], [1, 1]), ([32, 32, 1], [2, 1]), ([1] * 20, [8, 8, 4]), ([100, 1], [1, 1])],
)
def test_calls_are_cut_by_tokens_and_texts(lengths: list[int], calls: list[int]) -> None:
    embedder = FakeEmbedder(batch_texts=8, batch_tokens=64)
    engine = EmbeddingEngine(embedder)
    engine.add(1, [text(length) for length in lengths])
    assert len(run(engine)[1]) == len(lengths)  # type: ignore[arg-type]
    assert embedder.calls == calls


def test_a_large_request_does_not_hold_up_a_small_one() -> None:
    engine = EmbeddingEngine(FakeEmbedder(batch_texts=4))
    engine.add(1, [text(3)] * 100)
    engine.step(0.0)
    engine.add(2, [text(3)] * 2)
    assert [one.id for one in engine.step(0.0)] == [2]
    assert set(run(engine)) == {1}


def test_requests_share_calls() -> None:
    embedder = FakeEmbedder(batch_texts=8)
    engine = EmbeddingEngine(embedder)
    for number in range(8):
        engine.add(number, [text(2, number)])
    assert [one.id for one in engine.step(0.0)] == list(range(8))
    assert embedder.calls == [8]


def test_a_failed_call_ends_its_requests_alone() -> None:
    embedder = FakeEmbedder(batch_texts=2)
    engine = EmbeddingEngine(embedder)
    for number in range(3):
        engine.add(number, [text(2), text(3)])
    embedder.failing = "no memory"
    (first, second) = engine.step(0.0)
    assert (first.id, second.id) == (0, 1)
    assert first.error is not None
    assert first.error.message == "no memory"
    assert set(run(engine)) == {2}
    stats = engine.stats()
    assert (stats.failed_steps, stats.failed, stats.finished, stats.running) == (1, 2, 1, 0)


def test_what_is_no_vector_fails_its_request_alone() -> None:
    class Broken(FakeEmbedder):
        def _vector(self, given: TokenText) -> bytes | None:
            return None if given.tokens[0] == 7 else super()._vector(given)

    engine = EmbeddingEngine(Broken())
    engine.add(1, [text(2), text(2, 7), text(2, 7)])
    engine.add(2, [text(2)])
    first, second = sorted(engine.step(0.0), key=lambda one: one.id)
    assert first.error is not None
    assert (first.error.code, first.error.message) == ("invalid_request", "embedding contains NaN or Inf values")
    assert len(second.vectors) == 1
    assert not engine.has_work


def test_aborted_requests_leave_nothing() -> None:
    engine = EmbeddingEngine(FakeEmbedder(batch_texts=2))
    engine.add(1, [text(2)] * 5)
    engine.add(2, [text(2)])
    engine.step(0.0)
    assert engine.abort(1)
    assert not engine.abort(1)
    assert not engine.has_work
    stats = engine.stats()
    assert (stats.added, stats.finished, stats.aborts, stats.running, stats.waiting) == (2, 1, 1, 0, 0)


def test_what_cannot_be_added() -> None:
    engine = EmbeddingEngine(FakeEmbedder(max_tokens=4))
    for wrong in (text(0), text(5)):
        with pytest.raises(ValueError, match="1 to 4 tokens"):
            engine.add(1, [text(1), wrong])
    engine.add(1, [text(4)])
    with pytest.raises(ValueError, match="under way"):
        engine.add(1, [text(4)])


def test_no_text_ends_at_once() -> None:
    engine = EmbeddingEngine(FakeEmbedder())
    engine.add(1, [])
    assert run(engine) == {1: ()}


def test_counters_are_the_embedders() -> None:
    class Counting(FakeEmbedder):
        def embed(self, texts: object) -> EmbedOutput:
            output = super().embed(texts)  # type: ignore[arg-type]
            return EmbedOutput(output.vectors, {"decode_calls": 3})

    engine = EmbeddingEngine(Counting(batch_texts=2))
    engine.add(1, [text(2)] * 4)
    run(engine)
    stats = engine.stats()
    assert stats.counters["runner_decode_calls"] == 6
    assert (stats.decode_calls, stats.batch_sequences_total, stats.executed_tokens, stats.prompt_tokens) == (2, 4, 8, 8)
