"""The mix: which skill comes how often, how turns are strung into dialogues, and the copying stage."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

from training.chat import Dialogue, assistant, render, system, user
from training.data import (
    arithmetic,
    copying,
    crowded_tools,
    exam,
    facts,
    greetings,
    json_frames,
    json_skill,
    known_tools,
    longform,
    memory,
    opposites,
    probe,
    refusal,
    styles,
    tools,
)
from training.data.topics import Turn

NEUTRAL = (
    "You are a helpful assistant.", "You are a friendly assistant.", "Be helpful.", "You are an assistant.",
    "You are a helpful and honest assistant.", "Answer the question.", "You are a chat bot.", "You help people.",
    "You are a helpful assistant. Answer the question of the user.", "Answer briefly.", "Be kind.", "Be concise.",
    "You are a teacher.", "You are a friendly teacher of English.", "You know many words.", "You are a librarian.", "You are an expert.",
    "You are a good friend of the user.", "You help children.", "You help at school.", "You play word games.", "You are a guide.",
    "Be friendly and exact.", "Be careful.", "Be honest.", "Always be polite.", "Tell the truth.", "Answer correctly.", "Help the user.",
    "Answer as well as you can.", "You are a wise helper.", "You are an encyclopedia.", "You are a tutor for pupils.", "You are the host of a game.",
)  # fmt: skip


def small(rng: random.Random) -> Turn:
    """A short turn of any simple skill."""
    makers = (facts.turn, facts.turn, greetings.turn, arithmetic.turn, refusal.turn, copying.turn)
    return rng.choice(makers)(rng)


def dialogue(skill: str, turns: list[Turn], rng: random.Random, neutral: float = 0.12) -> Dialogue:
    """Turns as messages, now and then under a system prompt that changes nothing."""
    messages = [system(rng.choice(NEUTRAL))] if rng.random() < neutral else []
    for question, answer in turns:
        messages += [user(question), assistant(answer)]
    return Dialogue(skill, messages)


def one_skill(skill: str, make: Callable[[random.Random], Turn]) -> Callable[[random.Random], Dialogue]:
    """A maker of dialogues whose last turn has the skill, sometimes after other turns."""

    def build(rng: random.Random) -> Dialogue:
        before = [small(rng) for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2)))]
        return dialogue(skill, [*before, make(rng)], rng)

    return build


def alone(skill: str, make: Callable[[random.Random], Turn]) -> Callable[[random.Random], Dialogue]:
    """A maker of dialogues of one or two such turns and nothing else."""
    return lambda rng: dialogue(skill, [make(rng) for _ in range(rng.choice((1, 1, 2)))], rng, 0.0)


def remembering(rng: random.Random) -> Dialogue:
    """A memory dialogue with small turns between."""
    return dialogue("memory", memory.turns(rng, small), rng)


def several_opposites(rng: random.Random) -> Dialogue:
    """Opposites, one after the other."""
    return dialogue("opposites", opposites.turns(rng), rng)


Maker = Callable[[random.Random], Dialogue]
MIX: tuple[tuple[float, Maker], ...] = (
    (14, one_skill("facts", facts.turn)),
    (22, alone("facts", facts.turn)),
    (45, several_opposites),
    (8, one_skill("opposites", opposites.turn)),
    (20, one_skill("greetings", greetings.turn)),
    (16, alone("greetings", greetings.turn)),
    (4, one_skill("sums", arithmetic.turn)),
    (6, alone("sums", arithmetic.turn)),
    (14, one_skill("repeat", copying.turn)),
    (10, one_skill("repeat", copying.long_turn)),
    (9, remembering),
    (5, one_skill("refusal", refusal.turn)),
    (6, alone("refusal", refusal.turn)),
    (7, one_skill("long", longform.turn)),
    (20, tools.dialogue),
    (30, crowded_tools.dialogue),
    (5, known_tools.dialogue),
    (3, known_tools.unneeded),
    (7, one_skill("json", json_skill.turn)),
    (26, alone("json", json_frames.turn)),
    (3, one_skill("json", json_frames.turn)),
    (22, styles.dialogue),
)
COPYING: tuple[tuple[float, Maker], ...] = (
    (4, alone("run", copying.run)),
    (1, alone("run thrice", copying.thrice)),
    (2, alone("repeat", copying.turn)),
    (1, alone("lookup", copying.lookup)),
)


def stream(rng: random.Random, makers: tuple[tuple[float, Maker], ...]) -> Iterator[Dialogue]:
    """Endless dialogues by weight; one that happens to hold a held-out question is dropped."""
    weights = [weight for weight, _ in makers]
    while True:
        made = rng.choices(makers, weights)[0][1](rng)
        if not any(holds_held(m["content"]) for m in made.messages if m["role"] == "user"):
            yield made


HEAD = 7
"""Characters by which held-out questions are looked up; none is shorter."""


@cache
def held() -> dict[str, tuple[str, ...]]:
    """Held-out questions by their first characters."""
    found: dict[str, set[str]] = {}
    apart = [make.cases() for make in (facts, greetings, arithmetic, copying, refusal)]
    for cases in (*apart, exam.plain()):
        for _, question, _ in cases:
            found.setdefault(question[:HEAD], set()).add(question)
    for question in probe.questions():
        found.setdefault(question[:HEAD], set()).add(question)
    for ask in (*longform.COUNT_HELD, *exam.COUNTS):
        for n in range(2, 121):
            found.setdefault(ask[:HEAD], set()).add(ask.format(n=n))
    for ask in (*longform.STORY_HELD, *exam.STORIES, *memory.ASK_NAME_HELD, *exam.ASK_NAME):
        found.setdefault(ask[:HEAD], set()).add(ask)
    return {head: tuple(questions) for head, questions in found.items()}


def holds_held(text: str) -> bool:
    """Whether a held-out question occurs in the text."""
    table = held()
    for at in range(len(text)):
        for question in table.get(text[at : at + HEAD], ()):
            if text.startswith(question, at):
                return True
    return False


def sample_text(seed: int, count: int = 20000) -> Iterator[str]:
    """Text of the mix, for learning the tokenizer and for finding leaks."""
    dialogues = stream(random.Random(seed), MIX)
    for _ in range(count):
        one = next(dialogues)
        yield render(one.messages, one.tools)
