"""What a question with one right answer is: phrasings to train on, phrasings held out, items."""

from __future__ import annotations

import random
import re
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
        question = put(rng.choice(self.asks), x)
        return disguise(question[0].upper() + question[1:], rng), filled(self.answer, x, y)

    def cases(self) -> list[Turn]:
        """Every item in every held-out phrasing."""
        return [(ask.format(x=x), filled(self.answer, x, y)) for ask in self.held for x, y in self.items]


def put(ask: str, x: str) -> str:
    """The phrasing with x in it; a plural takes the apostrophe alone."""
    return ask.format(x=x).replace("s's", "s'")


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


SAME = (
    (r"^Which\b", ("What",)), (r"^What (?!is\b|are\b|does\b|do\b|was\b|has\b)", ("Which ",)), (r"^What is\b", ("What's", "Which is", "Tell me")),
    (r"^What's\b", ("What is",)), (r"^Tell me\b", ("Can you tell me", "Could you tell me", "Please tell me", "Say", "I want to know", "Let me know", "Do you know", "Explain")),
    (r"^Name\b", ("Please name", "Can you name", "Say", "Give me", "Tell me")), (r"^Do you know\b", ("Can you tell me", "Would you know", "Tell me", "Could you say")),
    (r"^Can you\b", ("Could you", "Would you", "Please")), (r"^Explain\b", ("Please explain", "Could you explain", "Tell me")),
    (r"^Give me\b", ("I need", "Show me", "Tell me", "Please give me")), (r"^How many (\w+) does (.+) have\?$", (r"Tell me how many \1 \2 has.", r"How many \1 are in \2?", r"Would you know how many \1 \2 has?", r"Say how many \1 \2 has.")),
    (r"\bbiggest\b", ("largest",)), (r"\blargest\b", ("biggest",)), (r"\bcalled\b", ("named",)), (r"\bbaby\b", ("young",)), (r"\bnoise\b", ("sound",)),
    (r"\bsound\b", ("noise",)), (r"\bcolor\b", ("colour",)), (r"\bis the (\w+) of\b", (r"would be the \1 of",)), (r"^Who\b", ("Tell me who", "Can you say who", "Who was it that", "Do you recall who")),
    (r"^Why (is|are|does|do) ", ("How come ", "Explain: why is ", "Can you tell me why ")), (r"^(Where|When|How) ", (r"Tell me: \g<0>", r"Say, \g<0>", r"And \g<0>")),
)  # fmt: skip
"""Patterns and what may stand in their place without another meaning: people word one question in many ways."""
SMALL = {"the", "a", "of", "is", "do", "does", "me", "in", "are", "to", "has"}
ASKING = {"what", "which", "please", "tell", "can", "could", "you", "know", "name", "give", "say", "what's", "would"}
SIDES = set(
    "before after follows following followed precedes preceding preceded next previous last earlier later when then than "
    "ends begins starts over follow precede between minus less from subtract away left take follower".split()
)


def reworded(question: str, rng: random.Random) -> str:
    """The question in other words: one replacement, and now and then a small word lost."""
    pattern, others = rng.choice(SAME)
    if re.search(pattern, question):
        question = re.sub(pattern, rng.choice(others), question, count=1)
    if rng.random() < 0.15:
        words = question.split(" ")
        at = rng.randrange(len(words))
        if words[at].lower() in SMALL and len(words) > 3:
            question = " ".join(words[:at] + words[at + 1 :])
    return question


def shaken(question: str, rng: random.Random) -> str:
    """The question with small words lost and neighbours changing places: what is asked must not hang on them.

    Words that tell a side (before, after), figures and what stands in quotes stay where they are.
    """
    end = question[-1] if question[-1] in "?.!" else ""
    words = question.removesuffix(end).split(" ")
    kept = [word for word in words if word.lower() not in SMALL | ASKING or rng.random() < 0.7]
    words = kept if len(kept) > 1 else words
    fixed = any(re.search(r"\d|[\"+*:-]", word) or word.lower() in SIDES for word in words)
    if not fixed and len(words) > 2:
        if rng.random() < 0.3:
            at = rng.randrange(1, len(words))
            words = words[at:] + words[:at]
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            at = rng.randrange(len(words) - 1)
            words[at : at + 2] = words[at + 1], words[at]
    text = " ".join(words) + end
    return text[0].upper() + text[1:] if rng.random() < 0.7 else text


def disguise(question: str, rng: random.Random) -> str:
    """The question as people type it: often plain, sometimes reworded, with an opener, in lower case or unpunctuated."""
    for _ in range(rng.choice((0, 2, 5))):
        question = reworded(question, rng)
    if rng.random() < 0.2:
        question = shaken(question, rng)
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
