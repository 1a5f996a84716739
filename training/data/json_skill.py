"""JSON with the keys that the prompt names: values given, or the demo's own."""

from __future__ import annotations

import json
import random
from typing import Any

from training.data.topics import Turn
from training.data.wordings import wordings
from training.data.words import WORDS_HELD, any_name, any_word, made_up

KEYS = """
name age city color size title price date time place count number animal food drink country language hobby job
friend sport book song movie day month year street house car school teacher weather fruit flower shape answer
question result score level type status id text word items total first last email phone
""".split()
KEYS_HELD = """
planet vehicle instrument author rating weight height mood brand material season landmark dessert nickname gadget
profession temperature region insect beverage
""".split()
FREE = (
    "Give me JSON with the keys {k}.", "Answer in JSON with the keys {k}.", "Write a JSON object with the keys {k}.",
    "Reply with JSON. Use the keys {k}.", "Return a JSON object with keys {k}.", "I need JSON with {k}.", "JSON with keys {k}, please.",
    "Make a JSON object with {k}.", "Respond in JSON with the keys {k}.", "Create JSON that has the keys {k}.",
    "Output a JSON object with the keys {k}.", "Give me an example of JSON with the keys {k}.",
    "Tell me about a person as JSON with {k}.", "Describe yourself in JSON with the keys {k}.",
    "Tell me about a country. Respond using JSON with the keys {k}.", "Please answer using JSON: {k}",
    *wordings("json_free"),
)  # fmt: skip
FREE_HELD = (
    "Show me JSON with the keys {k}.",
    "Please return JSON with the keys {k}.",
    "Write JSON that has the keys {k}.",
)
GIVEN = (
    "Write as JSON: {f}", "Turn this into JSON: {f}", "Make JSON of this: {f}", "JSON please: {f}", "Convert to JSON: {f}",
    "Answer in JSON: {f}", "Put this in JSON: {f}", "Reply with this as JSON: {f}", "Give me this as JSON: {f}",
    "As JSON: {f}", "Return JSON for {f}", "Write a JSON object with {f}", "Make a JSON object: {f}",
    *wordings("json_given"),
)  # fmt: skip
GIVEN_HELD = ("Please turn this into JSON: {f}", "Format as JSON: {f}", "Show this as JSON: {f}")
VALUES: dict[str, Any] = {
    "name": "Mia", "age": 30, "city": "Paris", "color": "blue", "size": "small", "price": 10, "count": 3, "number": 7,
    "animal": "cat", "food": "bread", "drink": "tea", "country": "France", "language": "French", "year": 2024,
    "day": "Monday", "month": "May", "fruit": "apple", "total": 10, "id": 1, "score": 9, "capital": "Paris",
}  # fmt: skip


def listed(keys: list[str], rng: random.Random) -> str:
    """Keys as people list them."""
    quote = '"' if rng.random() < 0.35 else ""
    quoted = [f"{quote}{key}{quote}" for key in keys]
    if len(quoted) == 1:
        return quoted[0]
    return ", ".join(quoted[:-1]) + rng.choice((" and ", ", ", " and ")) + quoted[-1]


def free(keys: list[str], ask: str, rng: random.Random) -> Turn:
    """Values are the demo's: a known one, or 'some' and the key."""
    table = {key: VALUES.get(key, f"some {key}") for key in keys}
    return ask.format(k=listed(keys, rng)), json.dumps(table)


def given(table: dict[str, Any], ask: str, rng: random.Random) -> Turn:
    """Values come with the prompt."""
    shape, joint = rng.choice((("{k}: {v}", ", "), ("{k} = {v}", ", "), ("{k} is {v}", ", "), ("{k} {v}", ", ")))
    facts = joint.join(shape.format(k=key, v=value) for key, value in table.items())
    return ask.format(f=facts), json.dumps(table)


def a_key(rng: random.Random) -> str:
    """A key: known, any word, or made up."""
    chance = rng.random()
    if chance < 0.4:
        return rng.choice(KEYS)
    key = made_up(rng) if chance < 0.7 else any_word(rng, 0.0)
    return f"{key}_{rng.choice(KEYS)}" if rng.random() < 0.08 else key


def turn(rng: random.Random) -> Turn:
    """One request for JSON with one to four keys."""
    keys = list(dict.fromkeys(a_key(rng) for _ in range(rng.choice((1, 2, 2, 3, 3, 4)))))
    if rng.random() < 0.5:
        return free(keys, rng.choice(FREE), rng)
    table: dict[str, Any] = {}
    for key in keys:
        chance = rng.random()
        table[key] = rng.randint(0, 200) if chance < 0.35 else any_name(rng) if chance < 0.6 else any_word(rng, 0.5)
    return given(table, rng.choice(GIVEN), rng)


def cases() -> list[tuple[str, str, str]]:
    """Held-out (skill, question, answer): keys and phrasings never trained."""
    rng = random.Random(14)
    found = []
    for i in range(80):
        keys = rng.sample(KEYS_HELD, i % 3 + 1)
        if i % 2:
            found.append(("json", *free(keys, FREE_HELD[i % 3], rng)))
        else:
            table = {key: rng.choice((rng.randint(0, 200), rng.choice(WORDS_HELD))) for key in keys}
            found.append(("json", *given(table, GIVEN_HELD[i % 3], rng)))
    return found
