"""Agent traces: conversations that grow turn by turn, four requests at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from arriero.client.bench.case import Bench, Unmeasured

AT_A_TIME = 4


async def converse_shared(bench: Bench) -> Mapping[str, float]:
    """8 conversations behind one system prompt."""
    return await _converse(bench, [bench.prompt("system", bench.size.system_tokens)] * 8)


async def converse_alone(bench: Bench) -> Mapping[str, float]:
    """4 conversations, each behind a system prompt of its own."""
    return await _converse(bench, [bench.prompt(f"system {n}", bench.size.system_tokens) for n in range(4)])


async def _converse(bench: Bench, systems: Sequence[str]) -> Mapping[str, float]:
    """Take the conversations in turns; each turn's prompt is all that was said, and new words (a tool's result)."""
    said = list(systems)
    waiting: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
    for number in range(len(systems)):
        waiting.put_nowait((number, 0))
    open_turns = len(systems) * bench.size.turns
    started = bench.asker.now()

    async def slot() -> None:
        nonlocal open_turns
        while open_turns > 0:
            number, turn = await waiting.get()
            if number < 0:
                return
            said[number] += f"\nuser: {bench.prompt(f'{number}/{turn}', bench.size.turn_tokens)}\nassistant:"
            answer = await bench.asker.ask(said[number], bench.size.turn_output, label=f"{number}/{turn}").whole()
            if answer.error:
                raise Unmeasured(f"a request failed: {answer.error}")
            said[number] += answer.text
            open_turns -= 1
            if turn + 1 < bench.size.turns:
                waiting.put_nowait((number, turn + 1))
            if open_turns == 0:
                for _ in range(AT_A_TIME):
                    waiting.put_nowait((-1, 0))

    await asyncio.gather(*(slot() for _ in range(AT_A_TIME)))
    total = bench.asker.now() - started
    bench.asker.finish()
    return {"total": total}
