"""What people say around a request: sentences before and after it, a slip of the finger, a raised voice."""

from __future__ import annotations

import random

from training.data.words import WORDS, any_name, any_word

BEFORE = (
    "I am doing my homework.", "I am learning English.", "This is for a puzzle.", "We have a test on Monday.", "It is about words.",
    "My {w} is at home.", "I sit in the {w}.", "{n} and I have a bet.", "{n} is waiting.", "It is late here.", "I have no book here.",
    "Listen.", "Attention.", "Now this one.", "Next one.", "A small thing.", "Another thing.", "Here is my question.", "Here comes a question.",
    "I need your help.", "Help me out.", "You know this.", "This is easy.", "This should be simple.", "Let us go on.", "Let's start.",
    "I was thinking about it all day.", "My {w} broke, but that is another story.", "I like the {w}.", "I am in a hurry.", "Excuse me.",
    "Pardon me.", "Sorry to bother you.", "If you have a minute:", "When you have time:", "For the {w}:", "As a favor to {n}:", "By the way,",
    "Dear demo,", "Good demo,", "My friend,", "First of all,", "One last thing.", "Since you ask:", "Just a thought.", "No rush.",
    "My name is {n}.", "I work with {n}.", "We are at the {w} today.", "{n} sent me.", "They asked me this at the {w}.",
)  # fmt: skip
AFTER = (
    "I need it for my {w}.", "It is for {n}.", "I am curious.", "That would help.", "That would be kind.", "I would be glad.", "Take your time.",
    "{n} wants to know.", "My {w} depends on it.", "Nothing else.", "That is all.", "Be quick.", "No jokes.", "And be exact.", "I am waiting.",
    "You can do it.", "Go ahead.", "It matters to me.", "Thank you in advance.", "I would be grateful.", "Many thanks.", "If that is fine.",
    "Then we are done.", "Then I go to the {w}.", "I will tell {n}.", "We need it today.", "I mean it.", "Is that all right?", "Are you able to?",
)  # fmt: skip


def filled(text: str, rng: random.Random) -> str:
    """The sentence with a name and a word in it."""
    return text.format(n=any_name(rng), w=any_word(rng, 0.3))


def surrounded(text: str, rng: random.Random, before: float = 0.15, after: float = 0.12) -> str:
    """The request, now and then with a sentence before or after it."""
    if rng.random() < before:
        text = f"{filled(rng.choice(BEFORE), rng)} {text}"
    if rng.random() < after and text[-1] in "?.!":
        text = f"{text} {filled(rng.choice(AFTER), rng)}"
    return text


def slipped(text: str, rng: random.Random, kept: str) -> str:
    """The text with a letter lost, doubled or changing places in one long word; `kept` stays as it is."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha() and word.lower() != kept.lower()]
    if not long:
        return text
    at = rng.choice(long)
    word, i = words[at], rng.randrange(1, len(words[at]) - 1)
    words[at] = rng.choice(
        (word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:], word[:i] + word[i + 1] + word[i] + word[i + 2 :])
    )
    return " ".join(words)


def a_word(rng: random.Random) -> str:
    """A plain training word."""
    return rng.choice(WORDS)
