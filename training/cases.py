"""The cases: what is asked, and what counts as right.

The exam gives the published scores and nobody reads its misses; the development set and the probe may be looked at.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from training.chat import Message, assistant, user
from training.data import (
    arithmetic,
    copying,
    exam,
    facts,
    greetings,
    json_skill,
    longform,
    memory,
    probe,
    refusal,
    styles,
    tools,
)
from training.data.words import WORDS_EXAM, WORDS_HELD
from training.tokenizer import load

FLOORS = {
    "facts": 0.95, "opposites": 0.95, "months": 0.95, "sums": 0.95, "greetings": 0.95, "repeat": 0.90, "memory": 0.90,
    "tools": 0.90, "tool results": 0.90, "json": 0.85, "styles": 0.85, "refusal": 0.90, "known not refused": 0.97,
}  # fmt: skip
"""Share of cases that must be right; skills without a floor are only reported."""
LARGEST = 120


@dataclass(frozen=True)
class Reply:
    """What a server said: text, and tool calls as (name, arguments)."""

    text: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One held-out prompt and its judge."""

    skill: str
    messages: list[Message]
    judge: Callable[[Reply], bool]
    expected: str
    tools: list[dict[str, Any]] = field(default_factory=list)
    max_tokens: int = 120


def exact(skill: str, messages: list[Message], text: str, max_tokens: int = 120) -> Case:
    """The very text."""
    return Case(skill, messages, lambda reply: reply.text.strip() == text and not reply.calls, text, [], max_tokens)


def dialogue(turns: list[tuple[str, str]], question: str) -> list[Message]:
    """Turns so far and the question."""
    messages = []
    for ask, answer in turns:
        messages += [user(ask), assistant(answer)]
    return [*messages, user(question)]


def called(skill: str, messages: list[Message], specs: list[dict[str, Any]]) -> Case:
    """The very call, however a server hands it over."""
    function = messages[-1]["tool_calls"][0]["function"]
    wanted = (function["name"], function["arguments"])
    return Case(skill, messages[:-1], lambda reply: reply.calls == [wanted], json.dumps(wanted), specs)


def has_keys(skill: str, question: str, table: str) -> Case:
    """JSON with these keys; given values must be right too."""
    wanted = json.loads(table)
    free = all(value == f"some {key}" for key, value in wanted.items())

    def judge(reply: Reply) -> bool:
        try:
            got = json.loads(reply.text)
        except ValueError:
            return False
        return isinstance(got, dict) and (list(got) == list(wanted) if free else got == wanted)

    return Case(skill, [user(question)], judge, table)


def story_like(question: str) -> Case:
    """A story of 120 to 250 tokens, ended, with no sentence twice."""

    def judge(reply: Reply) -> bool:
        sentences = [s.strip() for s in reply.text.replace("\n", " ").split(".") if s.strip()]
        length = len(load().encode(reply.text).ids)
        return 120 <= length <= 250 and len(set(sentences)) == len(sentences) and reply.text.endswith((".", '"'))

    return Case("story", [user(question)], judge, "a story", [], 400)


def not_refused(reply: Reply) -> bool:
    """Anything but the refusal."""
    return reply.text.strip() != refusal.ANSWER


@dataclass(frozen=True)
class Source:
    """What one set of cases is made of; the shapes are those of the generator's `cases` functions."""

    plain: list[tuple[str, str, str]]
    memory: list[tuple[list[tuple[str, str]], str, str]]
    tools: list[tuple[str, list[Message], list[dict[str, Any]]]]
    json: list[tuple[str, str, str]]
    styles: list[tuple[str, list[Message]]]
    words: list[str]
    repeats: tuple[str, ...]
    counts: tuple[str, ...]
    stories: tuple[str, ...]


def development() -> Source:
    """The held-out cases that may be looked at while the model is made."""
    known = facts.cases()
    plain = [*known, *greetings.cases(), *arithmetic.cases(), *copying.cases(), *refusal.cases()]
    return Source(
        plain,
        memory.cases([(question, answer) for _, question, answer in known]),
        tools.cases(WORDS_HELD),
        json_skill.cases(),
        styles.cases(),
        WORDS_HELD,
        copying.HELD,
        longform.COUNT_HELD,
        longform.STORY_HELD,
    )


def examination() -> Source:
    """The exam: other words, names, tools, keys and phrasings."""
    plain = exam.plain()
    between = [(question, answer) for skill, question, answer in plain if skill in ("facts", "opposites", "months")]
    return Source(
        plain,
        exam.memory(between),
        exam.tool_use(),
        exam.json_texts(),
        exam.styled(),
        WORDS_EXAM,
        exam.REPEATS,
        exam.COUNTS,
        exam.STORIES,
    )


def long_cases(source: Source) -> list[Case]:
    """Long streams: sixty words, counting, stories."""
    rng = random.Random(16)
    found = []
    for i in range(20):
        text = " ".join(rng.choices(source.words, k=60))
        found.append(exact("repeat 60", [user(source.repeats[i % 3].format(x=text))], text, 600))
    for n in (10, 20, 30, 50, 75, 100):
        found += [exact("count", [user(ask.format(n=n))], longform.count_to(n), 600) for ask in source.counts]
    return found + [story_like(ask) for ask in source.stories]


def all_cases(source: Source) -> list[Case]:
    """Every skill, at most 120 cases each, drawn with a fixed seed."""
    plain = list(source.plain)
    random.Random(17).shuffle(plain)
    counts: dict[str, int] = {}
    found: list[Case] = []
    known = []
    for skill, question, answer in plain:
        counts[skill] = counts.get(skill, 0) + 1
        if counts[skill] <= LARGEST:
            found.append(exact(skill, [user(question)], answer))
        if skill in ("facts", "opposites", "months") and len(known) < LARGEST:
            known.append(Case("known not refused", [user(question)], not_refused, "no refusal"))
    found += known
    found += [exact("memory", dialogue(turns, ask), answer) for turns, ask, answer in source.memory]
    for skill, messages, specs in source.tools:
        if skill == "tools":
            found.append(called(skill, messages, specs))
        else:
            case = exact(skill, messages[:-1], messages[-1]["content"])
            found.append(Case(skill, case.messages, case.judge, case.expected, specs))
    found += [has_keys(*case) for case in source.json]
    found += [exact(skill, messages[:-1], messages[-1]["content"]) for skill, messages in source.styles]
    return found + long_cases(source)


def probe_cases() -> list[Case]:
    """The four skills of the probe, worded far from the training text."""
    found = [exact("opposites", messages, answer) for messages, answer in probe.opposites()]
    found += [exact("greetings", [user(question)], answer) for question, answer in probe.small_talk()]
    found += [called("tools", messages, specs) for messages, specs in probe.tool_use()]
    return found + [has_keys("json", question, table) for question, table in probe.json_texts()]


__all__ = ["FLOORS", "Case", "Reply", "all_cases", "development", "examination", "probe_cases"]
