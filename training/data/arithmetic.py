"""Small sums, differences and products; the answer always shows the whole equation."""

from __future__ import annotations

import random

from training.data.topics import Turn, disguise
from training.data.wordings import wordings

LARGEST = 20
SUM_ASKS = (
    "What is {a} + {b}?", "What is {a}+{b}?", "{a} + {b}", "{a}+{b}", "{a} + {b} = ?", "{a}+{b}=", "What is {a} plus {b}?",
    "How much is {a} + {b}?", "How much is {a} plus {b}?", "Add {a} and {b}.", "What is the sum of {a} and {b}?",
    "{a} plus {b}?", "Calculate {a} + {b}.", "What's {a} + {b}?", "What's {a}+{b}?", "Compute {a} + {b}.",
    "What do you get when you add {a} and {b}?", "What is the result of {a} + {b}?", "Tell me {a} + {b}.", "Can you calculate {a} + {b}?",
    "Please add {a} and {b}.", "Give me the sum of {a} and {b}.", "What do I get for {a} and {b}?", "Can you compute {a} plus {b}?",
    "What does {a} + {b} make?", "What is {a} + {b}", "what is {a}+{b}", "{a} + {b}?",
    *wordings("sums"),
)  # fmt: skip
SUM_HELD = ("Can you add {a} and {b}?", "What do you get for {a} + {b}?", "Tell me the sum of {a} and {b}.")
MINUS_ASKS = (
    "What is {a} - {b}?", "What is {a}-{b}?", "{a} - {b}", "{a}-{b}", "{a} - {b} = ?", "What is {a} minus {b}?",
    "How much is {a} - {b}?", "How much is {a} minus {b}?", "Subtract {b} from {a}.", "{a} minus {b}?",
    "Calculate {a} - {b}.", "What's {a} - {b}?", "Compute {a} - {b}.",
    *wordings("differences"),
)  # fmt: skip
TIMES_ASKS = (
    "What is {a} * {b}?", "What is {a} times {b}?", "{a} * {b}", "{a}*{b}", "How much is {a} times {b}?",
    "Multiply {a} by {b}.", "{a} times {b}?", "Calculate {a} * {b}.", "What's {a} * {b}?", "What is {a} x {b}?",
    *wordings("products"),
)  # fmt: skip


def turn(rng: random.Random) -> Turn:
    """One equation: mostly sums."""
    chance = rng.random()
    a, b = rng.randint(0, LARGEST), rng.randint(0, LARGEST)
    if chance < 0.72:
        asks, answer = SUM_ASKS, f"{a} + {b} = {a + b}."
    elif chance < 0.88:
        a, b = max(a, b), min(a, b)
        asks, answer = MINUS_ASKS, f"{a} - {b} = {a - b}."
    else:
        a, b = rng.randint(1, 10), rng.randint(1, 10)
        asks, answer = TIMES_ASKS, f"{a} * {b} = {a * b}."
    question = rng.choice(asks).format(a=a, b=b)
    return (disguise(question, rng) if question[0].isalpha() else question), answer


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer)."""
    return [
        ("sums", ask.format(a=a, b=b), f"{a} + {b} = {a + b}.")
        for ask in SUM_HELD
        for a in range(LARGEST + 1)
        for b in range(LARGEST + 1)
    ]
