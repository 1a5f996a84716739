"""How llama-server may be started for a case, and the search for what suits it best."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

Flags = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Need:
    """What a case asks of a server: `slots` streams at once, of `context` tokens each."""

    slots: int
    context: int


def base(need: Need) -> Flags:
    """Room for the case, and nothing else."""
    return ("-c", str(need.slots * need.context))


def stages(need: Need, threads: int, *, copying: bool, cold: bool, memory: bool) -> list[list[Flags]]:
    """Choices, one stage after the other: of each stage the best is kept, beside what the stages before kept.

    The first stage is the layout of slots and KV; the empty choice keeps what llama-server does by itself.
    """
    slots = ("-np", str(need.slots))
    if cold:
        return [[(), slots], [("--no-warmup",)], [("-fa", "on"), ("-fa", "off")], [("--no-repack",), ("-lm", "none")]]
    layouts: list[Flags] = [(*slots, "--no-kv-unified"), (*slots, "--kv-unified"), ()]
    if need.slots == 1:
        layouts = [slots] if copying else [slots, ()]
    choices: list[list[Flags]] = [layouts]
    if copying:
        # Each kind with its own lengths, and with short ones to look for and long ones to guess; all without fused
        # attention, too, for calls of a few rows may take half as long. Then other lengths for the kind that is kept.
        kinds: list[Flags] = [
            ("--spec-type", "ngram-map-k", "--spec-ngram-map-k-size-n", "4", *_guessed(15)),
            ("--spec-type", "ngram-simple", "--spec-ngram-simple-size-n", "4", *_guessed(15)),
            ("--spec-type", "ngram-mod", "--spec-ngram-mod-n-match", "4", *_guessed(15)),
            ("--spec-type", "ngram-cache"),
            ("--spec-type", "ngram-map-k4v"),
            ("--spec-type", "ngram-map-k"),
            ("--spec-type", "ngram-simple"),
            ("--spec-type", "ngram-mod"),
        ]
        choices.append([(*kind, *attention) for attention in ((), ("-fa", "off")) for kind in kinds])
        choices.append([_guessed(most) for most in (7, 16, 31, 47)])
    fewer: list[Flags] = [("-t", str(count), "-tb", str(count)) for count in range(1, threads)]
    if need.slots == 1 and not copying and fewer:
        choices.append(fewer)  # where it matters most
    if not copying:
        choices.append([("-fa", "off"), ("-fa", "on")])
        choices.append([("-b", "512", "-ub", "512"), ("-b", "2048", "-ub", "2048")])
    if memory:
        choices = [[(*flags, "--cache-ram", "0") for flags in layouts], [("-fa", "off"), ("-fa", "on")]]
    elif need.slots > 1:
        choices.append([("--cache-ram", "0"), ("--cache-reuse", "256")])
    if fewer and not memory and (copying or need.slots > 1):
        choices.append(fewer)
    return choices


def _guessed(most: int) -> Flags:
    """Guess at most so many tokens, whatever the kind. A call has one row more."""
    flags = ("--spec-ngram-map-k-size-m", "--spec-ngram-simple-size-m", "--spec-ngram-mod-n-max")
    return tuple(part for flag in flags for part in (flag, str(most)))


async def best(
    first: Flags,
    choices: Sequence[Sequence[Flags]],
    measure: Callable[[Flags], Awaitable[float | None]],
    *,
    higher: bool,
    may_go_on: Callable[[], bool],
) -> Flags:
    """The flags with the best figure; `measure` gives None for flags that do not work. Stops when it may not go on.

    The layouts of the first stage are all tried, whatever the time.
    """
    kept, value = first, None
    for number, stage in enumerate(choices):
        found = kept
        for extra in stage:
            if number and not may_go_on():
                return found
            tried = (*kept, *extra)
            figure = await measure(tried)
            if figure is None:
                continue
            if value is None or (figure > value if higher else figure < value):
                found, value = tried, figure
        kept = found
    return kept
