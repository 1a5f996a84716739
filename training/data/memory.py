"""Remembering what the user said: a name, and a few other things, over several turns."""

from __future__ import annotations

import random
from collections.abc import Callable

from training.data.topics import Turn, disguise
from training.data.wordings import wordings
from training.data.words import NAMES_HELD, WORDS_HELD, any_name, any_word

TELL_NAME = (
    "My name is {x}.", "I am {x}.", "I'm {x}.", "Hello, my name is {x}.", "Hi, I am {x}.", "Hi! My name is {x}.",
    "Hello, I'm {x}.", "You can call me {x}.", "Call me {x}.", "People call me {x}.", "My name is {x}. What is yours?",
    "Hello! I am {x}.", "My name's {x}.", "my name is {x}", "I am called {x}.", "This is {x}.", "Hey, I'm {x}!",
    "My name is {x}. Please remember it.", "Remember my name: {x}", "Please remember that my name is {x}.",
    *wordings("tell_name"),
)  # fmt: skip
TELL_NAME_HELD = ("Good day, my name is {x}.", "Hey! I am {x}.", "Please call me {x}.")
ASK_NAME = (
    "What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Tell me my name.", "what is my name",
    "What was my name?", "Say my name.", "Do you know my name?", "How am I called?", "What did I say my name was?",
    "Please tell me my name.", "And what is my name?", "Do you know who I am?", "So, what is my name?",
    *wordings("ask_name"),
)  # fmt: skip
ASK_NAME_HELD = ("Can you tell me my name?", "Now, what is my name?", "Do you still know my name?")
THINGS = (
    ("My favorite color is {x}.", "What is my favorite color?", "Your favorite color is {x}."),
    ("I live in {x}.", "Where do I live?", "You live in {x}."),
    ("My dog is called {x}.", "What is my dog called?", "Your dog is called {x}."),
    ("My cat is called {x}.", "What is my cat called?", "Your cat is called {x}."),
    ("My favorite food is {x}.", "What is my favorite food?", "Your favorite food is {x}."),
    ("My favorite animal is the {x}.", "What is my favorite animal?", "Your favorite animal is the {x}."),
    ("The secret word is {x}.", "What is the secret word?", "The secret word is {x}."),
    ("The password is {x}.", "What is the password?", "The password is {x}."),
    ("Remember the word {x}.", "Which word should you remember?", "The word is {x}."),
    ("Remember the number {n}.", "Which number should you remember?", "The number is {n}."),
    ("My lucky number is {n}.", "What is my lucky number?", "Your lucky number is {n}."),
    ("I am {n} years old.", "How old am I?", "You are {n} years old."),
)
NOTED = "I will remember that."
UNTOLD = "You did not tell me your name."
Filler = Callable[[random.Random], Turn]


def name_turns(rng: random.Random, filler: Filler) -> list[Turn]:
    """A name told, up to three other turns, the name asked."""
    name = any_name(rng, 0.6)
    told = (rng.choice(TELL_NAME).format(x=name), f"Nice to meet you, {name}!")
    asked = (disguise(rng.choice(ASK_NAME), rng), f"Your name is {name}.")
    between = [filler(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3)))]
    before = [filler(rng)] if rng.random() < 0.15 else []
    after = [(rng.choice(ASK_NAME), asked[1])] if rng.random() < 0.1 else []
    return [*before, told, *between, asked, *after]


def thing_turns(rng: random.Random, filler: Filler) -> list[Turn]:
    """One or two other things told, then one asked."""
    turns = []
    for tell, ask, answer in rng.sample(THINGS, rng.choice((1, 1, 2))):
        word = any_name(rng) if "live in" in tell or "called" in tell else any_word(rng, 0.5)
        number = rng.randint(1, 99) if rng.random() < 0.8 else rng.randint(100, 9999)
        turns.append((tell.format(x=word, n=number), ask, answer.format(x=word, n=number)))
    told = [(tell, NOTED) for tell, _, _ in turns]
    _, ask, answer = rng.choice(turns)
    return [*told, *[filler(rng) for _ in range(rng.choice((0, 0, 1, 2)))], (ask, answer)]


def untold_turns(rng: random.Random, filler: Filler) -> list[Turn]:
    """The name asked though never told."""
    return [*[filler(rng) for _ in range(rng.choice((0, 0, 1)))], (rng.choice(ASK_NAME), UNTOLD)]


def turns(rng: random.Random, filler: Filler) -> list[Turn]:
    """One remembering dialogue."""
    chance = rng.random()
    if chance < 0.62:
        return name_turns(rng, filler)
    return thing_turns(rng, filler) if chance < 0.93 else untold_turns(rng, filler)


def cases(between: list[Turn]) -> list[tuple[list[Turn], str, str]]:
    """Held-out (turns so far, question, answer): a name over three turns, with a known turn between."""
    rng = random.Random(12)
    found = []
    for i in range(90):
        name = NAMES_HELD[i % len(NAMES_HELD)] if i < 72 else rng.choice(WORDS_HELD).capitalize()
        told = (TELL_NAME_HELD[i % 3].format(x=name), f"Nice to meet you, {name}!")
        ask = ASK_NAME_HELD[(i // 3) % 3]
        found.append(([told, rng.choice(between)], ask, f"Your name is {name}."))
    return found
