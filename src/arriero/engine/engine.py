"""Engine: add, abort, step. One runner, one storage, one scheduler; called from one thread."""

from __future__ import annotations

from dataclasses import replace

from arriero.core.errors import ArrieroError, ErrorInfo
from arriero.core.runner import Drafter, Runner
from arriero.engine.chain import TokenChain
from arriero.engine.events import EngineEvent
from arriero.engine.options import EngineOptions
from arriero.engine.paged import PagedStorage
from arriero.engine.queue_times import QueuePlace
from arriero.engine.run_ahead import TellEarly
from arriero.engine.scheduler import Scheduler
from arriero.engine.sequence import SequenceSpec
from arriero.engine.slots import SequenceStorage
from arriero.engine.stats import EngineStats
from arriero.engine.storage import KVStorage


class Engine:
    """Runs sequences of token ids on `runner`. Each one added ends with exactly one Ended."""

    def __init__(self, runner: Runner, options: EngineOptions | None = None, drafter: Drafter | None = None) -> None:
        """ValueError if the options and the runner's abilities exclude each other.

        `drafter` guesses where a text itself says nothing of what comes.
        """
        options = options or EngineOptions()
        info = runner.info
        self._runner = runner
        self._block_size = info.block_size
        self._stats = EngineStats()
        self._storage: KVStorage = (
            PagedStorage(info, prefix_cache=options.prefix_cache)
            if info.storage == "paged"
            else SequenceStorage(info, prefix_cache=options.prefix_cache)
        )
        self._scheduler = Scheduler(info, options, self._storage, self._stats, drafter)

    @property
    def has_work(self) -> bool:
        """Whether `step` would do or tell anything."""
        return self._scheduler.has_work

    @property
    def gather_seconds(self) -> float:
        """How long the next step may wait for more prompts that could begin with it."""
        return self._scheduler.gather_seconds

    @property
    def capacity(self) -> int:
        """Tokens that one sequence can hold, prompt and answer."""
        return self._scheduler.capacity

    def tell_early(self, tell: TellEarly) -> None:
        """Let steps follow one another without a plan where nothing could change; `tell` gets what they draw at once.

        Without this each step is planned, and `step` returns all that it draws.
        """
        self._scheduler.tell_early = tell

    def add(self, spec: SequenceSpec) -> None:
        """Queue a sequence. ValueError for an id in use or no tokens; one too long ends with an error in `step`."""
        self._scheduler.add(spec)

    def place(self, spec: SequenceSpec) -> QueuePlace:
        """Where `spec` would stand in line if it were added now."""
        return self._scheduler.place(spec)

    def abort(self, sequence_id: int, waited: int = 0) -> bool:
        """End a sequence, waiting or running, with the reason "abort"; its blocks are free before the next step.

        `waited` says how many steps ended since the wish arrived; it is counted.
        """
        known = self._scheduler.end(sequence_id, "abort")
        if known:
            self._stats.abort_steps += waited
            self._stats.abort_steps_most = max(self._stats.abort_steps_most, waited)
        return known

    def finish(self, sequence_id: int, reason: str) -> bool:
        """End a sequence well, with `reason`: what reads its text saw a stop string."""
        return self._scheduler.end(sequence_id, reason)

    def forget_end(self, sequence_id: int) -> None:
        """Do not keep what a sequence that has just ended computed: nobody goes on from there."""
        self._storage.forget_end(sequence_id)

    def step(self, now: float) -> list[EngineEvent]:
        """Compute one batch and return what happened. `now` in seconds of a monotonic clock."""
        batch = self._scheduler.schedule(now)
        if batch is None:
            return self._scheduler.drain()
        try:
            output = self._runner.execute(batch)
        except Exception as error:  # whatever a runner raises must end only the sequences it was working on
            return self._scheduler.fail(_info(error))
        return self._scheduler.commit(output, now)

    def tidy(self) -> bool:
        """Let the runner do some milliseconds' worth of what can wait for a quiet moment; say whether there is more."""
        return self._runner.tidy()

    def match_length(self, tokens: list[int], salt: bytes = b"") -> int:
        """Return how many leading tokens of a prompt are cached now. No side effect."""
        limit = self._storage.rules.usable(len(tokens))
        if not limit:
            return 0
        chain = TokenChain(tokens, self._block_size, salt)
        match = self._storage.match(chain, limit)
        return match.blocks * self._block_size + match.tail

    def common_length(self, spec: SequenceSpec) -> int:
        """Return how many leading tokens of a prompt are those of something cached, usable or not. Walks everything."""
        return self._storage.common(TokenChain(spec.tokens, self._block_size, spec.cache_salt))

    def stats(self) -> EngineStats:
        """Return all counters and gauges as they are now."""
        gauges, counters = self._storage.gauges(), self._storage.counters()
        waiting, queue = self._scheduler.waiting(), self._scheduler.place()
        return replace(
            self._stats,
            runner=dict(self._stats.runner),
            swaps=counters.swaps,
            parks=counters.parks,
            failed_parks=counters.failed_parks,
            restores=counters.restores,
            failed_restores=counters.failed_restores,
            evictions=counters.evictions,
            spills=counters.spills,
            failed_spills=counters.failed_spills,
            spill_evictions=counters.spill_evictions,
            spill_restores=counters.spill_restores,
            failed_spill_restores=counters.failed_spill_restores,
            blocks_total=gauges.total_blocks,
            blocks_active=gauges.active_blocks,
            blocks_cached=gauges.cached_blocks,
            blocks_free=gauges.free_blocks,
            cells_unused=self._scheduler.cells_unused,
            waiting=waiting.total(),
            waiting_low=sum(count for priority, count in waiting.items() if priority < 0),
            waiting_normal=waiting[0],
            waiting_high=sum(count for priority, count in waiting.items() if priority > 0),
            running=self._scheduler.num_running,
            queue_seconds=-1.0 if queue.seconds is None else queue.seconds,
            swapped=gauges.swapped,
            parked_states=gauges.parked_states,
            parked_blocks=gauges.parked_blocks,
            parked_bytes=gauges.parked_bytes,
            spilled_states=gauges.spilled_states,
            spilled_bytes=gauges.spilled_bytes,
        )

    def stats_by_model(self) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
        """Return the counters and gauges of sequences by the model that they were asked of (`SequenceSpec.model`)."""
        return self._scheduler.by_model()

    def spill_all(self) -> None:
        """Have all that is parked leave memory with the next step, after which the runner is closed."""
        self._storage.spill_all()

    def check(self) -> None:
        """Raise AssertionError if any accounting contradicts itself. Walks everything."""
        self._scheduler.check()


def _info(error: Exception) -> ErrorInfo:
    if isinstance(error, ArrieroError):
        return error.info()
    return ErrorInfo("internal", f"the runner failed: {type(error).__name__}: {error}")
