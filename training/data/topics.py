"""What a question with one right answer is: phrasings to train on, phrasings held out, items."""

from __future__ import annotations

import random
from dataclasses import dataclass

Turn = tuple[str, str]


@dataclass(frozen=True)
class Topic:
    """Phrasings hold {x}; the answer holds {x} and {y}."""

    skill: str
    asks: tuple[str, ...]
    held: tuple[str, ...]
    answer: str
    items: tuple[tuple[str, str], ...]

    def turn(self, rng: random.Random) -> Turn:
        """A training question and its answer."""
        x, y = rng.choice(self.items)
        return disguise(rng.choice(self.asks).format(x=x), rng), filled(self.answer, x, y)

    def cases(self) -> list[Turn]:
        """Every item in every held-out phrasing."""
        return [(ask.format(x=x), filled(self.answer, x, y)) for ask in self.held for x, y in self.items]


def filled(answer: str, x: str, y: str) -> str:
    """The answer with x and y in it and a capital first letter."""
    text = answer.format(x=x, y=y)
    return text[0].upper() + text[1:]


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Items written as 'x=y; x=y'."""
    return tuple((x.strip(), y.strip()) for x, y in (item.split("=") for item in text.split(";") if item.strip()))


OPENERS = (
    "Can you tell me: {q}", "Could you tell me this: {q}", "Do you know: {q}", "Do you know this? {Q}", "Can you say: {q}",
    "Can you help me? {Q}", "Tell me: {q}", "Could you say: {q}",
    "Please tell me: {q}", "Tell me, {q}", "Hey, {q}", "Quick question: {q}", "I have a question. {Q}",
    "I would like to know: {q}", "One more thing: {q}", "And {q}", "Hi! {Q}", "Okay, {q}", "Now, {q}",
    "{Q} Answer in one sentence.", "{Q} Answer briefly.", "{Q} Be brief.", "{Q} Keep it short.", "{Q} In one sentence, please.",
    "Answer in one sentence: {q}", "Answer this question: {q}", "{Q} Explain briefly.", "Question: {Q}", "{Q} Be concise.",
    "{Q} Please answer.", "{Q} Thanks!", "{Q} I forgot.", "So, {q}", "Hello, {q}", "Please help me: {q}",
)  # fmt: skip


def disguise(question: str, rng: random.Random) -> str:
    """The question as people type it: often plain, sometimes with an opener, in lower case or unpunctuated."""
    chance = rng.random()
    if chance < 0.25:
        question = rng.choice(OPENERS).format(q=lowered(question), Q=question)
    if rng.random() < 0.08:
        question = question.rstrip("?.!")
    if rng.random() < 0.08:
        question = lowered(question)
    elif rng.random() < 0.04:
        question = question.lower()
    return question


def lowered(text: str) -> str:
    """The text with its first letter small, unless its first word is 'I'."""
    return text if text.split(" ")[0] in ("I", "I'm") else text[:1].lower() + text[1:]
