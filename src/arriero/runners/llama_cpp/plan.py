"""How a context is cut to the memory there is: pure arithmetic from options and facts to a Plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from arriero.core.allowance import Memory
from arriero.core.errors import ModelLoadError
from arriero.runners.llama_cpp.options import LlamaCppOptions, quantized

BLOCK = 16
"""Tokens in a block of the engine's accounting."""
CELL_ALIGN = 256
"""llama.cpp rounds a context up to a multiple of this."""
DEFAULT_SEQUENCES = 32
DEFAULT_BATCH = 512
FEW_SEQUENCES = 8
ROOMY_SEQUENCES = 4
LEAST_SHARE = 64
"""Cells of one pool for each sequence at least: with fewer they would only push each other out."""
MEMORY_SHARE = 0.8
"""Of the free memory: what a model takes at most where nobody says how much."""
REST_SHARE = 0.6
"""Of what weights of more than half of the free memory leave: the same, for how much weights take is known."""
DEFAULT_SHARE = 1 / 4
"""Of the free memory: what KV takes at most where nobody names a size and all of it is written at the load, so that it
is gone for everybody else, whether a request ever needs it or not."""
UNTOUCHED_SHARE = 1 / 2
"""The same where memory is taken as sequences grow into it: others can have what is not used."""
DEFAULT_CTX_LIMIT = 131_072
"""Tokens of a sequence at most where nobody names a number: some files claim millions, which nobody sends by chance."""
USEFUL_LENGTH = 16_384
"""Tokens on average for which there is room when all sequences run; more only where four of full length need it."""
SHORT_SEQUENCE = 256
"""Tokens of each of several sequences up to which attention is fused on a CPU, and all share one pool. Measured (135 M
parameters, Q8_0, 2 threads): 8 prompts of 48 tokens take 0.50 s so, 0.65 s in streams or without. One row of a stream's
graph against all of a call's rows at once makes the difference, for llama.cpp's fused kernel works in tiles from 64
rows on. A step of 8 streams takes 27.2 ms against 28.0, of 16 47.6 against 45.9."""
SHORT_POOL = 4096
"""Cells of such a pool up to which its sequences may be as long as a lone one: every row looks at all that are used.
Measured (0.5 B, Q8_0, 2 threads, through the port): 8 clients with 512 tokens each, of which they use 105, have 78.5
tokens a second in one pool with fused attention and 73.7 in streams."""
SHORT_LONE_SEQUENCE = 512
"""The same where there is only one, or room for few. Measured in times of a step with fused attention, at 96 and 400
tokens: 135 M parameters 1.03 and 0.79, 15 M 1.13 and 0.75, 0.5 B in Q4_0 1.28 and 1.04, its prompts 1.06 and 1.08."""
PARKED_SHARE = 1 / 10
PARKED_LIMIT = 4 << 30
PARKED_TURNS = 4
"""How many times as much as all sequences hold is kept of those that have ended. What is more goes to the disk, and
writing takes 2.6 ms of a core for each megabyte, beside whatever is computed (135 M parameters, 16 requests of 80
tokens: 75 ms in 3 s)."""
CELL_BYTES = 52
"""What llama.cpp notes of a cell besides K and V: position, place in an image, shift, and a set of 256 sequences."""
MASK_BYTES = 6
"""The attention mask of a call takes these for each of its rows and each cell in reach: float32, and a half of it."""
ONE_THREAD_WEIGHTS = 32 << 20
"""Bytes of weights below which one thread computes a lone token; batches get all. Such a call takes less than a
millisecond, in which threads meet hundreds of times: on an idle machine a second one gains nothing, and on a busy one
each meeting waits for whoever lost its core (5 M parameters, 2 cores, load 8: 5 ms a token with one thread, 31 to 83
ms with two). A batch of 32 has the work for two: 32 streams at once then take less than half of their time in turn."""
LARGE_CALL = 64
SEVERAL_STREAMS = 4
"""Tokens of a call, or rows with logits, from which a model with one thread for lone tokens gets all. Threads that come
back from sleep for a few milliseconds may find themselves on one core and take turns there: a prompt of 36 tokens took
45 ms with two threads on a busy machine, 7.5 with one, and 5.7 with two that were awake (15 M parameters, 2 cores)."""
SCORES_SHARE = 1 / 8
LEAST_POOLED = 3
"""Sequences that share a prefix for which a pool is worth its room."""
POOL_TIMES = 2
"""How often a cell of the pool is stored: for steps that decode, and for prompts with fused attention (contexts.py)."""
POOLED_TOKENS = 256
"""Tokens that each of them may have for itself there, on average, beside one of full length that all share."""
DETERMINISTIC_CHUNK = 16
FUSED_ROWS = 64
"""Rows of a call from which on llama.cpp's fused attention works in tiles; for fewer it is slower than the other kind.
Measured (135 M parameters, Q8_0, 900 tokens shared, 2 threads): 192 rows 0.45 s for 0.65, 48 rows 0.52 s for 0.14."""
ROW_TILE = 4
"""Rows that llama.cpp's kernels for rearranged weights compute at once (ggml-cpu/repack.cpp); those that are left over
read the weights once each. Measured (0.5b, Q4_0, one thread), in times of one row: 2 rows 1.60, 3 1.99, 4 1.28, 5 1.95,
8 2.27, 15 to 16 3.07, 17 3.73, 31 6.98, 32 5.91."""
LEAST_OUTPUTS = 32
"""Rows with logits for which a call has room, however few sequences there are. Those not asked for take no memory."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loaded weights and the machine say. Bytes, tokens, counts."""

    n_ctx_train: int
    n_vocab: int
    n_head: int
    kv_bytes_per_token: int
    weights: int
    free_memory: int
    threads: int
    gpu: bool = False
    sliding_window: bool = False
    recurrent: bool = False
    noted_cells: bool = False  # more is noted of a cell than its position, and states have it
    untouched: bool = False  # KV takes memory when it is written, not before
    bound: str = ""  # who allows less memory than the machine has, and how much


@dataclass(frozen=True, slots=True)
class Plan:
    """The context to make. `cells` is its size in tokens over all sequences."""

    num_ctx: int
    max_sequences: int
    unified: bool
    cells: int
    pool_cells: int  # of a pool beside streams, for sequences that share a long prefix; 0: there is none
    num_batch: int
    flash_attn: bool | None  # None: llama.cpp decides
    threads: int  # of a small call; see threads_for
    threads_batch: int
    parked_bytes: int
    deterministic: bool
    kv_cache_type: str = "f16"

    @property
    def stored_cells(self) -> int:
        """Cells of all contexts together."""
        return self.cells + POOL_TIMES * self.pool_cells

    @property
    def outputs(self) -> int:
        """Rows of a call that may have logits for sequences with drafts; prompts that end in it add one each."""
        return max(self.max_sequences, LEAST_OUTPUTS)

    def threads_for(self, tokens: int, outputs: int) -> int:
        """Return how many threads compute a call of so many tokens, with logits of so many."""
        if self.threads == self.threads_batch or tokens >= LARGE_CALL or outputs >= SEVERAL_STREAMS:
            return self.threads_batch
        return self.threads

    @property
    def layout(self) -> str:
        """The layout's name in options and reports."""
        return "unified" if self.unified else "streams"


def _share(facts: Facts) -> float:
    return UNTOUCHED_SHARE if facts.untouched and not facts.gpu else DEFAULT_SHARE


def _pad(tokens: int) -> int:
    return -(-tokens // CELL_ALIGN) * CELL_ALIGN


def usable(free: int, weights: int) -> int:
    """Return the bytes that a model may take of `free` ones where nobody says how many. All in bytes."""
    return int(max(free * MEMORY_SHARE, weights + (free - weights) * REST_SHARE if weights < free else 0))


def check_weights(weights: int, memory: Memory, memory_bytes: int | None) -> None:
    """ModelLoadError for weights that leave no room in what is free; where `memory_bytes` is set, in what is allowed.

    To be asked before they are read. Promises to other models do not count here: they may never be used.
    """
    if memory_bytes is not None and not memory.bound:
        return  # who says how much may be used knows the machine
    total = usable(memory.available, weights) if memory_bytes is None else memory.total
    if weights > total:
        said = f", for {memory.reason}" if memory.reason else ""
        raise ModelLoadError(
            f"the model has {weights >> 20} MiB of weights, {total >> 20} MiB are there for it "
            f"({memory.available >> 20} MiB are free{said}): take a smaller one, or give the server more memory"
        )


def make_plan(options: LlamaCppOptions, facts: Facts) -> Plan:
    """Resolve every "auto". ModelLoadError if not even one sequence of the wanted length fits.

    The layout is streams when at least eight sequences (or the number asked for) of full length fit into the memory
    meant for KV: a sequence then walks its own cells only. Otherwise, and where they are short enough to be computed
    together, all share one pool, in which a short sequence leaves room for others and a shared prefix is stored once.
    Streams have a pool beside them where memory allows it (`pool_cells`), for sequences that share a long prefix.
    """
    if options.num_ctx is None and options.least_ctx is not None:
        chosen = make_plan(replace(options, least_ctx=None), facts)
        return chosen if chosen.num_ctx >= options.least_ctx else make_plan(_asking(options), facts)
    total = options.memory_bytes if options.memory_bytes is not None else usable(facts.free_memory, facts.weights)
    wanted = options.max_sequences or DEFAULT_SEQUENCES
    batch = options.num_batch or DEFAULT_BATCH
    spare = max(0, total - facts.weights - wanted * facts.n_vocab * 4)
    parked = options.parked_bytes
    if parked is None:
        parked = _default_parked(facts, spare, wanted, options.num_ctx or max(1, facts.n_ctx_train))
    most = max(0, spare - parked)  # what one sequence may have that asks for it
    room = most if options.memory_bytes is not None else min(most, int(facts.free_memory * _share(facts)))
    stored, reached = facts.kv_bytes_per_token + CELL_BYTES, batch * MASK_BYTES
    fitting = room // (stored + reached)
    num_ctx = options.num_ctx or _default_ctx(facts, fitting)
    useful = wanted * _pad(num_ctx)
    if options.memory_bytes is None:
        useful = min(useful, max(wanted * USEFUL_LENGTH, ROOMY_SEQUENCES * _pad(num_ctx)))
    if options.num_ctx is not None and most // (stored + reached) < num_ctx:
        raise ModelLoadError(
            f"a context of {num_ctx} tokens needs {num_ctx * (stored + reached) >> 20} MiB beside "
            f"{facts.weights >> 20} MiB of weights and {parked >> 20} MiB for cached prefixes, {total >> 20} MiB are "
            f"there{_bounded(options, facts)}: ask for a smaller num_ctx, at most {most // (stored + reached)}"
        )
    in_streams = min(max(0, room - _pad(num_ctx) * reached) // stored, useful) // _pad(num_ctx)
    enough = options.max_sequences or FEW_SEQUENCES
    streams = options.layout == "streams" or options.deterministic
    short = _short(options, facts, num_ctx, wanted)
    if options.layout == "auto" and not streams:
        streams = (in_streams >= enough and not short) or facts.recurrent
    if streams:
        sequences = max(1, min(wanted, in_streams))
        cells = sequences * _pad(num_ctx)
    else:
        cells = max(_pad(num_ctx), min(useful, fitting) // CELL_ALIGN * CELL_ALIGN)
        sequences = max(1, min(wanted, cells // LEAST_SHARE))
    large = facts.n_head * batch * (cells if not streams else cells // sequences) * 4 > total * SCORES_SHARE
    flash = _flash_attention(options, facts, preferred=short or large)
    left = room - cells * stored - _pad(num_ctx) * reached
    pools = streams and options.pools and flash is False
    return Plan(
        num_ctx=num_ctx,
        max_sequences=sequences,
        unified=not streams,
        cells=cells,
        pool_cells=_pool_cells(facts, cells, sequences, left // POOL_TIMES // (stored + reached)) if pools else 0,
        num_batch=max(batch, sequences),
        flash_attn=flash,
        threads=options.num_thread or (1 if facts.weights < ONE_THREAD_WEIGHTS else facts.threads),
        threads_batch=options.num_thread or facts.threads,
        parked_bytes=parked,
        deterministic=options.deterministic,
        kv_cache_type=options.kv_cache_type,
    )


def _asking(options: LlamaCppOptions) -> LlamaCppOptions:
    return replace(options, num_ctx=options.least_ctx, least_ctx=None)


def longest_text(options: LlamaCppOptions, facts: Facts) -> int:
    """Return the most tokens of a text that is computed in one call, as embedding does.

    That is the trained context: a position beyond it reads past the end of a table. Less where a quarter of the free
    memory would not hold the call's attention mask. ModelLoadError where four fifths do not hold what was asked for.
    """
    total = options.memory_bytes if options.memory_bytes is not None else usable(facts.free_memory, facts.weights)
    spare = max(0, total - facts.weights)
    stored = facts.kv_bytes_per_token + CELL_BYTES

    def fitting(room: int) -> int:
        """The greatest n with n × stored + n² × MASK_BYTES ≤ room."""
        return (math.isqrt(stored * stored + 4 * MASK_BYTES * room) - stored) // (2 * MASK_BYTES)

    if options.num_ctx is not None:
        wanted, most = min(options.num_ctx, facts.n_ctx_train), fitting(spare)
        if wanted > most:
            needed = wanted * stored + wanted * wanted * MASK_BYTES
            raise ModelLoadError(
                f"texts of {wanted} tokens need {needed >> 20} MiB beside {facts.weights >> 20} MiB of weights, "
                f"{total >> 20} MiB are there{_bounded(options, facts)}: ask for a smaller num_ctx, at most {most}"
            )
        return wanted
    room = spare if options.memory_bytes is not None else min(spare, int(facts.free_memory * DEFAULT_SHARE))
    return min(facts.n_ctx_train, fitting(room))


def _bounded(options: LlamaCppOptions, facts: Facts) -> str:
    """Why there is no more, where neither the machine nor a setting is the reason."""
    return f" ({facts.bound})" if facts.bound and options.memory_bytes is None else ""


def _short(options: LlamaCppOptions, facts: Facts, num_ctx: int, sequences: int) -> bool:
    """Whether sequences are so short that fused attention pays on a CPU, and several best share one pool."""
    if facts.gpu or facts.recurrent or options.deterministic:
        return False
    if options.flash_attn == "off" or options.kv_cache_type != "f16":  # the fast kernel knows no other kind
        return False
    few = sequences == 1 or (options.layout != "streams" and sequences * num_ctx <= SHORT_POOL)
    return num_ctx <= (SHORT_LONE_SEQUENCE if few else SHORT_SEQUENCE)


def _pool_cells(facts: Facts, cells: int, sequences: int, left: int) -> int:
    """Return the cells of a pool beside streams, of those for which there is memory `left`; 0: no pool.

    It costs memory as it is filled, and its users leave as many cells of their streams empty. Only a CPU's kernels
    gain by it as measured (gathering.py), and only states of one cache for all layers can move there, of cells with
    nothing but a position (turning.py).
    """
    if facts.gpu or facts.recurrent or facts.sliding_window or facts.noted_cells or sequences < LEAST_POOLED:
        return 0
    wanted = min(cells // 2, cells // sequences + sequences * POOLED_TOKENS, left)
    return max(0, wanted) // CELL_ALIGN * CELL_ALIGN


def _flash_attention(options: LlamaCppOptions, facts: Facts, *, preferred: bool) -> bool | None:
    """Return whether to fuse attention; None leaves it to llama.cpp, which knows what a GPU can do.

    On a CPU it is off unless `preferred`. For lone tokens llama.cpp's fused kernel takes one head, row and cell after
    the other, the separate products take tiles of them, but all cells of a whole multiple of 256. Measured (135 M
    parameters, Q8_0, streams, 2 threads), a step's time without it in times of the one with it: 1 stream at 64, 256,
    1024 and 4096 tokens 1.02, 0.74, 0.60 and 0.41, 8 streams 1.09, 0.83, 0.51 and 0.33; the equal point lies near 130
    tokens, in 15 M parameters near 150. Chunks of 512 tokens gain there: 1.04 at 256, 1.28 at 1024, 1.41 at 4096.
    Preferred it is where sequences are short, and where scores are large: without it a call keeps one for every head,
    row and cell in reach, which may eat an eighth of the memory. A quantized V can be read by fused attention only.
    """
    if options.deterministic or options.flash_attn == "off":
        return False
    if options.flash_attn == "on" or quantized(options.kv_cache_type):
        return True
    return None if facts.gpu else preferred


def _default_parked(facts: Facts, spare: int, wanted: int, length: int) -> int:
    """Return bytes for cached prefixes: a share of what is free, no more than some turns of all sequences take."""
    share = min(int(facts.free_memory * PARKED_SHARE), spare // 4, PARKED_LIMIT)
    if facts.recurrent:
        return share  # a state's size says nothing about its length
    useful = wanted * min(_pad(length), USEFUL_LENGTH)
    return min(share, PARKED_TURNS * useful * (facts.kv_bytes_per_token + CELL_BYTES))


def _default_ctx(facts: Facts, fitting: int) -> int:
    roomy = fitting // ROOMY_SEQUENCES // CELL_ALIGN * CELL_ALIGN
    return max(CELL_ALIGN, min(facts.n_ctx_train, roomy, DEFAULT_CTX_LIMIT))
