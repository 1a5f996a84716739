"""Roster: every sequence that has not ended, where it stands, and its moves between line, slot and end.

It decides nothing about steps: the scheduler says who moves.
"""

from __future__ import annotations

from collections import Counter

from arriero.core.errors import DeadlineExceeded, ErrorInfo
from arriero.engine.claims import Claims
from arriero.engine.events import Ended
from arriero.engine.line import WaitingLine, rank_running
from arriero.engine.options import EngineOptions
from arriero.engine.sequence import Sequence, SequenceSpec, Status
from arriero.engine.shares import Shares
from arriero.engine.stats import EngineStats
from arriero.engine.storage import KVStorage, Match
from arriero.engine.tallies import Tallies

PATIENCE_ALONE = 4.0
"""How many times as long as beside others' streams a step may take in which only one tenant's long prompts advance:
somebody may come meanwhile. 256 tokens at least: chunks of that size cost no more than greater ones
(scheduler.LEAST_CHUNK)."""
PATIENCE_QUEUED = 2.0
"""The same where more of its prompts wait in line: a server that is busy is one to which others come. Measured (135 M
parameters, Q8_0, prompts of 256 tokens): chunks of 128 take 1.59 ms a token, of 256 1.57; behind a long prefix, with
fused attention, 2.04 and 1.79, which is why a lone prompt has the greater ones."""
LATE = "the deadline of the request passed before its answer began"


class Roster:
    """All live sequences: running, in line, or in the claims' waiting room, over one KV storage."""

    def __init__(self, options: EngineOptions, storage: KVStorage, stats: EngineStats) -> None:
        self._storage = storage
        self._stats = stats
        self.live: dict[int, Sequence] = {}
        self.tallies = Tallies()
        self.shares = Shares(options.tenant_weights)
        self.line = WaitingLine(self.shares, options.ageing)
        self.running: list[Sequence] = []  # as `rank_running` sorts them: the last one is preempted first
        self.claims = Claims()
        self.admitted = 0  # turns that were given
        self.stalled: int | None = None  # the first in line that found no room; tried again when somebody leaves
        self._ageing = options.ageing
        self._new: dict[int, Sequence] = {}  # nobody has told yet when they came; they join the line then
        self._dated: dict[int, Sequence] = {}  # with a deadline, and nothing drawn yet
        self._unranked = False  # whether somebody has left since

    def waiting(self) -> Counter[int]:
        """Sequences that have not ended and hold no slot, by the priority they came with."""
        return Counter(s.spec.priority for s in self.live.values() if s.status is Status.WAITING)

    def enter(self, sequence: Sequence) -> None:
        """Take a new sequence in; it stands nowhere yet."""
        self._stats.added += 1
        self.tallies.enter(sequence)
        self.live[sequence.id] = sequence
        self.shares.enter(sequence.spec.tenant)

    def queue(self, sequence: Sequence) -> None:
        """Let a sequence that has entered wait in line, from the next step on."""
        self._new[sequence.id] = sequence
        if sequence.spec.deadline is not None:
            self._dated[sequence.id] = sequence

    def begin_step(self, now: float) -> list[Ended]:
        """Put who came since the last step in line, end who is late, and restore the order of those that run.

        `now` in seconds. Returns what is to be told.
        """
        for sequence in self._new.values():
            sequence.came(now, self._ageing)
            self.line.add(sequence)
        self._new = {}
        self._dated = {number: sequence for number, sequence in self._dated.items() if not sequence.num_output}
        late = [s for s in self._dated.values() if s.spec.deadline is not None and s.spec.deadline <= now]
        ended = [self.end(sequence, "error", ErrorInfo(DeadlineExceeded.code, LATE)) for sequence in late]
        if self._unranked:
            rank_running(self.running, self.shares)
            self._unranked = False
        return ended

    def admit(self, sequence: Sequence, rank: int, match: Match, reserve: int) -> bool:
        """Move the first in line into a slot, with `match` of it cached; False, and it is stalled, without room."""
        if not self._storage.admit(sequence, match, reserve):
            self.stalled = sequence.id
            return False
        self.line.remove(sequence)
        self.admitted += 1
        sequence.rank = max(rank, sequence.rank)
        self.running.append(sequence)
        rank_running(self.running, self.shares)
        self._stats.recomputed_tokens += max(0, sequence.high_water - sequence.num_computed)
        return True

    def patience(self) -> float:
        """How many requests wait for their first token for each that streams, of the tenant with the fewest.

        At least 1. Whoever waits, waits as the streams do: a burst of prompts is over sooner in long steps, and its
        first streams would only fill steps badly. But neither a tenant's streams nor its first tokens wait longer for
        others.
        """
        silent, streams = Counter[str](), Counter[str]()
        for sequence in self.live.values():
            (streams if sequence.num_output else silent)[sequence.spec.tenant] += 1
        if len(silent) > 1:
            return 1.0
        return max(1.0, min((silent[tenant] / count for tenant, count in streams.items()), default=1.0))

    def patience_alone(self) -> float:
        """The same for a step without streams: more, as long as nobody waits for another tenant's prompts."""
        if len({s.spec.tenant for s in self.live.values()}) > 1:
            return 1.0
        return PATIENCE_QUEUED if len(self.line) > 1 else PATIENCE_ALONE

    def ahead(self, spec: SequenceSpec) -> int:
        """Return how many of those that wait have their turn before one that came now, as far as can be told.

        Higher classes do, of its own tenant's class all, and of each other tenant's one a turn.
        """
        waiting = Counter[str]()
        before = 0
        for sequence in self.live.values():
            if sequence.status is Status.WAITING:
                before += sequence.spec.priority > spec.priority
                waiting[sequence.spec.tenant] += sequence.spec.priority == spec.priority
        mine = waiting.pop(spec.tenant, 0)
        served = self.shares.expected(spec.tenant)
        return before + mine + sum(min(n, mine + (self.shares.served(t) < served)) for t, n in waiting.items())

    def defer(self, sequence: Sequence, key: bytes) -> None:
        """Take a sequence out of the line until the claim on `key` ends."""
        self.line.remove(sequence)
        self.claims.wait(sequence, key)
        self._stats.deferrals += 1

    def preempt(self, sequence: Sequence, *, swap: bool) -> None:
        """Take a running sequence's room; it waits again. With `swap`, what it has computed stays if it can."""
        self._leave(sequence, keep=True, swap=swap)
        sequence.preempt()
        self.line.add(sequence)
        self._stats.preemptions += 1

    def retry(self, sequence: Sequence) -> None:
        """Its restored KV is not there: it waits again and computes everything itself."""
        self._leave(sequence, keep=False)
        high_water = sequence.high_water
        sequence.preempt()
        sequence.high_water = high_water  # what was not restored was not computed
        sequence.use_cache = False
        self.line.add(sequence)

    def end(self, sequence: Sequence, reason: str, error: ErrorInfo | None = None) -> Ended:
        """End a sequence, in whatever state; return what is to be told."""
        if sequence.status is Status.RUNNING:
            self._leave(sequence, keep=error is None)
        elif self._new.pop(sequence.id, None) is None and not self.claims.withdraw(sequence):
            self.line.remove(sequence)
            self._storage.forget_swap(sequence)
            if self.stalled == sequence.id:
                self.stalled = None
        self._dated.pop(sequence.id, None)
        sequence.finish()
        del self.live[sequence.id]
        self.shares.leave(sequence.spec.tenant)
        self.tallies.end(sequence, reason, failed=error is not None)
        if reason == "abort":
            self._stats.aborts += 1
        elif error is not None:
            self._stats.failed += 1
        else:
            self._stats.finished += 1
        return Ended(sequence.id, reason, error, sequence.drafted, sequence.accepted)

    def wake(self, sequences: list[Sequence]) -> None:
        """Put those whose claim has ended back in line."""
        for sequence in sequences:
            self.line.add(sequence)

    def _leave(self, sequence: Sequence, *, keep: bool, swap: bool = False) -> None:
        """Take a running sequence out of its slot."""
        self.running.remove(sequence)
        self._unranked = True
        if not (swap and self._storage.swap_out(sequence)):
            self._storage.release(sequence, keep=keep)
        self.wake(self.claims.cancel(sequence.id))
        self.stalled = None

    def check(self, max_running: int) -> None:
        """Raise AssertionError if lists, claims and storage contradict each other."""
        self._storage.check(self.running)
        self.claims.check(self.running)
        assert len(self.running) <= max_running, "more sequences run than may"
        self.line.check()
        self.shares.check(Counter(s.spec.tenant for s in self.live.values()))
        waiting = len(self.live) - len(self.running)
        assert waiting == len(self._new) + len(self.line) + self.claims.num_waiting, "a waiting sequence is lost"
        assert self._dated.keys() <= self.live.keys(), "somebody who ended has a deadline"
        assert [s.order for s in self.running] == sorted(s.order for s in self.running), "out of order"
        for items, status in ((self.running, Status.RUNNING), (self.line, Status.WAITING)):
            assert all(s.status is status and self.live.get(s.id) is s for s in items), "a wrong status"
