"""JSON asked for in longer sentences, with keys in every usual spelling and facts in every usual shape."""

from __future__ import annotations

import json
import random
from typing import Any

from training.data import json_skill
from training.data.asides import surrounded
from training.data.topics import Turn
from training.data.wordings import wordings
from training.data.words import any_name, any_word, made_up

JOINTS = (", ", ", ", ", ", "; ", " and ", "\n", " / ", " | ", ". ", ", and ")
SHAPES = (
    "{k}: {v}", "{k}: {v}", "{k}: {v}", "{k} = {v}", "{k}={v}", "{k} is {v}", "{k} is {v}", "{k} {v}", "{k} - {v}", "{k} -> {v}", "{k}:{v}",
    "the {k} is {v}", "the {k} {v}", "the {k}: {v}", "the {k} = {v}", "my {k} is {v}", "a {k} of {v}", "{k} of {v}", "{k} ({v})", "{k} as {v}",
    "{k} equals {v}", "{k} should be {v}", "{k} must be {v}", "{k} will be {v}", "{k} has the value {v}", "{k} set to {v}", "{k} => {v}",
    "{v} for {k}", "{v} is the {k}", "{v} for the {k}", "- {k}: {v}", "* {k}: {v}", '"{k}": {v}', '"{k}" is {v}', '{k}: "{v}"', "{k} = '{v}'",
)  # fmt: skip


def a_key(rng: random.Random) -> str:
    """A key as programmers spell them."""
    first = json_skill.a_key(rng)
    second = rng.choice(json_skill.KEYS) if rng.random() < 0.5 else made_up(rng)
    chance = rng.random()
    if chance < 0.55:
        return first
    if chance < 0.68:
        return f"{first}_{second}"
    if chance < 0.78:
        return first + second.capitalize()
    if chance < 0.86:
        return f"{first}-{second}"
    if chance < 0.91:
        return f"{first}_{rng.randint(1, 9)}"
    return first.capitalize() if chance < 0.95 else f"{first}{rng.randint(1, 99)}"


def a_value(rng: random.Random) -> Any:
    """A number, a name, a word or two words."""
    chance = rng.random()
    if chance < 0.3:
        return rng.randint(0, rng.choice((9, 200, 200, 5000)))
    if chance < 0.5:
        return any_name(rng)
    return any_word(rng, 0.5) if chance < 0.85 else f"{any_word(rng, 0.5)} {any_word(rng, 0.5)}"


def listed(keys: list[str], rng: random.Random) -> str:
    """Keys as people list them."""
    quote = rng.choice(("", "", "", "", '"', '"', "'", "`"))
    parts = [f"{quote}{key}{quote}" for key in keys]
    if len(parts) == 1:
        return parts[0]
    joint = rng.choice((", ", ", ", ", ", "; ", " and ", " / ", "\n- "))
    if joint == "\n- ":
        return joint + joint.join(parts)
    return joint.join(parts[:-1]) + rng.choice((" and ", ", and ", joint, joint, " as well as ")) + parts[-1]


def turn(rng: random.Random) -> Turn:
    """One request for JSON with one to five keys."""
    keys = list(dict.fromkeys(a_key(rng) for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 4, 5)))))
    names = {"n": any_name(rng), "w": any_word(rng, 0.3)}
    if rng.random() < 0.45:
        text = rng.choice(wordings("json_frames") if rng.random() < 0.7 else json_skill.FREE)
        table: dict[str, Any] = {key: json_skill.VALUES.get(key, f"some {key}") for key in keys}
        return surrounded(text.format(k=listed(keys, rng), **names), rng, 0.1, 0.08), json.dumps(table)
    table = {key: a_value(rng) for key in keys}
    shape, joint = rng.choice(SHAPES), rng.choice(JOINTS)
    if shape[-1] in "\"'":
        table = {key: str(value) for key, value in table.items()}
    facts = joint.join(shape.format(k=key, v=value) for key, value in table.items())
    if shape[0] in "-*":
        facts = "\n" + "\n".join(shape.format(k=key, v=value) for key, value in table.items())
    elif len(keys) > 1 and joint == ", " and rng.random() < 0.3:
        facts = " and ".join(facts.rsplit(", ", 1))
    text = rng.choice(wordings("json_filled_frames") if rng.random() < 0.7 else json_skill.GIVEN)
    return surrounded(text.format(f=facts, **names), rng, 0.1, 0.08), json.dumps(table)
