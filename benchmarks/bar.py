"""The rows of the race: case, models, slots, and what arriero ÷ llama-server shall reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from arriero.client.bench.sizes import Size
from benchmarks.peer_settings import Need


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A generated model: `chain`, or the demo in a larger shape, whose answers mean something."""

    size: str
    kind: str
    padded: bool = False

    @property
    def name(self) -> str:
        """Also its file's name."""
        return f"{'padded-demo' if self.padded else 'chain'}-{self.size}-{self.kind}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `quick` is the model of the quick size, `full` that of the full one.

    `targets` are ratios by metric. An `alone` row has one server in memory at a time. `share` is how much of the time
    it may take, beside the others.
    """

    name: str
    case: str
    quick: BenchModel
    full: BenchModel
    slots: int
    targets: Mapping[str, float] = field(default_factory=dict)
    alone: bool = False
    share: float = 1.0


BIG8, BIG4 = BenchModel("0.5b", "q8_0"), BenchModel("0.5b", "q4_0")
MIDDLE8, MIDDLE4 = BenchModel("135m", "q8_0"), BenchModel("135m", "q4_0")
SMALL = BenchModel("15m", "q8_0")
TALKS4 = BenchModel("0.5b", "q4_0", padded=True)
TALKS = BenchModel("135m", "q8_0", padded=True)

ROWS = (
    Row("single 0.5b q8_0", "single", BIG8, BIG8, 1, {"decode": 0.97}, share=0.8),
    Row("8 clients", "sweep-8", MIDDLE8, BIG8, 8, {"output": 1.05}),
    Row("shared prefix", "shared-prefix", MIDDLE8, BIG8, 8, {"output": 3.0, "ttft_p99": 0.25}, share=1.8),
    Row("interference", "interference", MIDDLE8, BIG8, 2, {"worst_gap": 0.10}, share=1.5),
    Row("fairness", "fairness", MIDDLE8, BIG8, 21, {"ttft": 0.10}),
    Row("agents 8 on 4", "agents-8", TALKS, TALKS4, 4, {"total": 0.7}, share=1.5),
    Row("agents 4 on 4", "agents-4", TALKS, TALKS4, 4, {"total": 1.05}, share=1.2),
    Row("copying 0.5b q4_0", "copying", TALKS4, TALKS4, 1, {"decode": 1.5}, share=1.5),
    Row("16 clients", "sweep-16", MIDDLE8, BIG8, 16, {"output": 1.05}),
    Row("cold 0.5b", "cold", BIG8, BIG8, 1, {"first_token": 1.0}, share=0.8),
    Row("memory 0.5b", "memory", BIG8, BIG8, 8, {"pss": 1.25}, alone=True, share=1.5),
    Row("single 15m q8_0", "single", SMALL, SMALL, 1, {"decode": 0.85}, share=0.4),
    Row("single 0.5b q4_0", "single", BIG4, BIG4, 1, {"decode": 0.97}, share=0.8),
    Row("single 135m q4_0", "single", MIDDLE4, MIDDLE4, 1, share=0.4),
    Row("8 clients 0.5b q4_0", "sweep-8", BIG4, BIG4, 8, {"output": 1.05}, share=1.5),
    Row("cold 15m", "cold", SMALL, SMALL, 1, share=0.4),
)


def need(row: Row, size: Size, tokens_a_word: float) -> Need:
    """Slots and the context of each, rounded up generously: prompts are made of words."""
    words = {
        "single": size.own_words,
        "shared-prefix": size.shared_words + size.own_words,
        "copying": 3 * size.edited_words,
    }.get(row.case, size.own_words)
    answer = {
        "single": size.single_output,
        "shared-prefix": size.shared_output,
        "interference": size.arriving_tokens,
        "fairness": size.queued_tokens,
        "agents-8": size.system_tokens + size.turns * (size.turn_tokens + size.turn_output + 20),
        "agents-4": size.system_tokens + size.turns * (size.turn_tokens + size.turn_output + 20),
    }.get(row.case, size.sweep_output)
    tokens = 1.15 * (words * tokens_a_word + answer) + 128
    return Need(row.slots, -(-int(tokens) // 256) * 256)
