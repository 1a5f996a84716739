"""Beam searches under way: each step of one is a sequence of one token for every beam. Used by the loop thread alone.

A beam's sequence begins with all that its parent computed, so a prompt is computed once. The first of a parent's
children goes on in its slot, the others with a copy of it; what nobody continues is not kept.
What a search has found is told as if sequences of the requests' own had drawn it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

from arriero.core.errors import ErrorInfo
from arriero.core.request import Beams, SamplingParams
from arriero.core.runner import Sampler
from arriero.engine.beams import BeamSearch
from arriero.engine.engine import Engine
from arriero.engine.events import Ended, EngineEvent, Started, TokenEvent
from arriero.engine.sequence import SequenceSpec

MOST_KEPT = 16
"""Searches that are over and kept for requests for their other answers, which may come a moment later."""


class _Search:
    def __init__(self, spec: SequenceSpec, search: BeamSearch, shown: int | None) -> None:
        self.spec = spec
        self.search = search
        self.shown = shown  # alternatives to tell; None: no log probabilities either
        self.ranks: dict[int, int] = {}  # by request: which of the answers it gets
        self.pending: dict[int, int] = {}  # by sequence: which beam it continues
        self.ended: dict[int, int] = {}  # by beam: the sequence that has
        self.tops: dict[int, tuple[tuple[int, float], ...]] = {}
        self.started: Started | None = None


class BeamDesk:
    """Runs searches on `engine`, whose sequences below 0 are its own."""

    def __init__(
        self, engine: Engine, make_sampler: Callable[[SamplingParams, None], Sampler], eog_ids: Iterable[int]
    ) -> None:
        self._engine = engine
        self._make_sampler = make_sampler
        self._eog_ids = frozenset(eog_ids)
        self._searches: OrderedDict[tuple[object, ...], _Search] = OrderedDict()
        self._by_sequence: dict[int, _Search] = {}
        self._next = -1

    def add(self, spec: SequenceSpec, asked: Beams | None, sampling: SamplingParams) -> list[EngineEvent]:
        """Begin the search that `spec` is the root of, or join it; return what is to be told at once.

        Where no search is asked for, `spec` is the engine's as it is.
        """
        if asked is None:
            self._engine.add(spec)
            return []
        key = (asked.group or spec.id, tuple(spec.tokens))
        found = self._searches.get(key)
        if found is None:
            search = BeamSearch(
                len(spec.tokens),
                asked.width,
                length_penalty=asked.length_penalty,
                max_tokens=spec.max_tokens,
                stop_ids=spec.stop_ids,
                banned_ids=self._eog_ids if sampling.ignore_eos else (),
                shown=sampling.logprobs or 0,
            )
            found = self._searches[key] = _Search(spec, search, sampling.logprobs)
            self._forget()
            found.ranks[spec.id] = asked.rank
            self._extend(found)
            return []
        found.ranks[spec.id] = asked.rank
        told: list[EngineEvent] = [] if found.started is None else [replace(found.started, id=spec.id)]
        return told if found.search.beams else told + _answer(found, spec.id)

    def told(self, events: Iterable[EngineEvent]) -> list[EngineEvent]:
        """Take a step's events; return them with those of searches in place of those of their sequences."""
        told: list[EngineEvent] = []
        for event in events:
            found = self._by_sequence.get(event.id)
            if found is None:
                told += [event] if event.id >= 0 else []
            elif isinstance(event, Started) and found.started is None:
                found.started = event
                told += [replace(event, id=number) for number in found.ranks]
            elif isinstance(event, TokenEvent):
                found.tops[found.pending[event.id]] = event.top
            elif isinstance(event, Ended):
                told += self._ended(found, event)
        return told

    def abort(self, number: int) -> None:
        """The client of request `number` is gone; with the last one its search ends."""
        for found in list(self._searches.values()):
            if found.ranks.pop(number, None) is not None and not found.ranks:
                self._drop(found)

    def _ended(self, found: _Search, event: Ended) -> list[EngineEvent]:
        del self._by_sequence[event.id]
        index = found.pending.pop(event.id)
        found.ended[index] = event.id
        if event.error is not None or index not in found.tops:
            return self._failed(found, event.error, event.reason)
        if found.pending:
            return []
        found.search.extend([found.tops[place] for place in range(len(found.search.beams))])
        if found.search.beams:
            for index in found.ended.keys() - set(found.search.parents):
                self._engine.forget_end(found.ended[index])
            self._extend(found)
            return []
        return [one for number in found.ranks for one in _answer(found, number)]

    def _failed(self, found: _Search, error: ErrorInfo | None, reason: str) -> list[EngineEvent]:
        self._drop(found)
        return [Ended(number, reason, error) for number in found.ranks]

    def _extend(self, found: _Search) -> None:
        """Ask for the next token of every beam."""
        found.tops, found.ended = {}, {}
        params = SamplingParams(temperature=0.0, logprobs=found.search.alternatives)
        deadline = found.spec.deadline if found.started is None else None
        parents = found.search.parents
        heirs = dict(zip(reversed(parents), reversed(range(len(parents))), strict=True)).values()  # of each, the first
        for index in sorted(range(len(found.search.beams)), key=lambda index: index not in heirs):
            beam = found.search.beams[index]
            number, self._next = self._next, self._next - 1
            found.pending[number] = index
            self._by_sequence[number] = found
            self._engine.add(
                replace(
                    found.spec,
                    id=number,
                    tokens=[*found.spec.tokens, *beam.tokens],
                    sampler=self._make_sampler(params, None),
                    max_tokens=1,
                    min_tokens=0,
                    stop_ids=frozenset(),
                    draft_tokens=0,
                    deadline=deadline,
                )
            )

    def _drop(self, found: _Search) -> None:
        for number in found.pending:
            del self._by_sequence[number]
            self._engine.abort(number)
        found.pending.clear()
        self._searches = OrderedDict((key, one) for key, one in self._searches.items() if one is not found)

    def _forget(self) -> None:
        over = [key for key, found in self._searches.items() if not found.search.beams]
        for key in over[: max(0, len(over) - MOST_KEPT)]:
            del self._searches[key]


def _answer(found: _Search, number: int) -> list[EngineEvent]:
    """What request `number` gets: the answer of its rank, the last one where there are fewer."""
    best = found.search.best()
    beam = best[min(found.ranks[number], len(best) - 1)]
    scored = found.shown is not None
    told = [TokenEvent(number, one.token, one.logprob if scored else None, one.top) for one in beam.choices]
    return [*told, Ended(number, "stop" if beam.stopped else "length")]
