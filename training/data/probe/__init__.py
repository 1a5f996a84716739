"""The probe: a third held-out set for four skills, worded far from the training text; its misses may be read.

It showed what the development set could not: which forms of a question, and not which words, the demo misses.
"""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

from training.chat import Message, assistant, call, system, user
from training.data import facts, greetings, json_skill, tools
from training.data.topics import filled
from training.data.wordings import wordings
from training.data.words import NAMES_HELD, WORDS_HELD

ITEMS = dict(facts.flipped(facts.OPPOSITE_PAIRS))
ANSWER = "The opposite of {x} is {y}."
EACH = 8
"""Words that each form of a question for an opposite is asked with."""
VERBS = "borrow lock mix paste record sweep weigh verify attach dispatch subscribe calculate".split()
NOUNS = """
backpack bicycle voicemail thesis bookmark mattress gearbox hotel_room webcam charger painting laundry wallpaper
tax_form printer
""".split()
PARAMS = "owner width depth target label pace account zone reason angle budget rank start_date guest_count".split()
ENUMS = (("dry", "damp", "soaked"), ("weekly", "monthly"), ("left", "right", "center"), ("admin", "guest"))
ABOUT = (
    "Lets you {v} any {n}.", "Call this when the user wants to {v} a {n}", "A helper that will {v} the given {n}.",
    "Used to {v} one {n} or more.", "",
)  # fmt: skip
PARAM_ABOUT = ("The {p} that the {n} should have", "What the {p} is", "Gives the {p}.", "Name or value of the {p}")
KEYS = """
firstName last_name zipCode birthday teamSize director-name isbn genre ingredient orbit dialect engine hobby_1 salary
motto species horsepower e-mail founder anthem chapter
""".split()
SHAPES = (
    ("{k}: {v}", ", "), ("{k} = {v}", ", "), ("{k} is {v}", ", "), ("{k} {v}", ", "), ("{k}={v}", ", "), ("{k}: {v}", "; "),
    ("the {k} is {v}", " and "), ("{k} - {v}", ", "), ("{v} as {k}", ", "), ("{k}: {v}", "\n"),
)  # fmt: skip


@cache
def lines(name: str) -> tuple[str, ...]:
    """The lines of one list of this folder."""
    return tuple(Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").splitlines())


def opposite(form: str, x: str) -> tuple[str, str]:
    """The question for x in this form and its answer."""
    return form.format(x=x, X=x.capitalize(), XX=x.upper()), filled(ANSWER, x, ITEMS[x])


def opposites() -> list[tuple[list[Message], str]]:
    """Each form with some words, then some under a system prompt and some in a second turn."""
    rng = random.Random(5)
    found: list[tuple[list[Message], str]] = []
    for form in lines("opposites"):
        given = [word for word in ITEMS if not form.lower().startswith((f"{word} is to", f"{word} and small"))]
        for x in rng.sample(given, EACH):
            question, answer = opposite(form, x)
            found.append(([user(question)], answer))
    for i, x in enumerate(rng.sample(list(ITEMS), 40)):
        question, answer = opposite(lines("opposites")[i % 20], x)
        before = opposite("What is the opposite of {x}?", rng.choice(list(ITEMS)))
        turn = [user(before[0]), assistant(before[1])]
        found.append(([system(lines("systems")[i % 4]), user(question)], answer))
        found.append(([*turn, user(question)], answer))
        found.append(([*turn, user(f"And of {x}?")], answer))
    return found


def small_talk() -> list[tuple[str, str]]:
    """Questions and answers of small talk."""
    found = []
    for line in lines("greetings"):
        answer, asks = line.split(" <- ")
        found += [(ask, answer) for ask in asks.split(" | ")]
    return found


def a_tool(lexicon: tools.Lexicon, rng: random.Random) -> tools.Tool:
    """A tool described in other words than training's."""
    verb, noun = rng.choice(lexicon.verbs), rng.choice(lexicon.nouns)
    plain, schemas = noun.replace("_", " "), {}
    for name in rng.sample(lexicon.params, rng.choice((0, 1, 1, 2, 2, 3))):
        schemas[name] = tools.make_schema(lexicon, rng)
        if rng.random() < 0.4:
            schemas[name]["description"] = rng.choice(PARAM_ABOUT).format(p=name.replace("_", " "), n=plain)
    camel = verb + "".join(part.capitalize() for part in noun.split("_"))
    name = rng.choice((f"{verb}_{noun}", f"{verb}_{noun}", f"{verb}_{noun}", camel, f"{verb}_the_{noun}"))
    return tools.Tool(verb, noun, name, schemas, rng.choice(ABOUT).format(v=verb, n=plain))


def tool_use(count: int = 150) -> list[tuple[list[Message], list[dict[str, Any]]]]:
    """Messages that end with the expected call, among one to four tools."""
    rng = random.Random(8)
    lexicon = tools.Lexicon(VERBS, NOUNS, PARAMS, ENUMS, lines("tool_asks"), lines("tool_bare"), 0.0)
    found = []
    for _ in range(count):
        offered = list({tool.name: tool for tool in (a_tool(lexicon, rng) for _ in range(rng.randint(1, 4)))}.values())
        tool = rng.choice(offered)
        words = WORDS_HELD if rng.random() < 0.6 else NAMES_HELD
        arguments = {name: tools.make_value(schema, words, rng) for name, schema in tool.schemas.items()}
        messages = [user(tools.request(tool, arguments, lexicon, rng)), call(tool.name, arguments)]
        found.append((messages, [one.spec() for one in offered]))
    return found


def json_texts(count: int = 75) -> list[tuple[str, str]]:
    """Questions and the JSON that they ask for, without values and with."""
    rng = random.Random(9)
    found = []
    for i in range(count):
        keys = rng.sample(KEYS, i % 4 + 1)
        found.append(json_skill.free(keys, lines("json_free")[i % 15], rng))
        table = {key: rng.choice((rng.randint(0, 200), rng.choice(WORDS_HELD), rng.choice(NAMES_HELD))) for key in keys}
        shape, joint = rng.choice(SHAPES)
        facts_given = joint.join(shape.format(k=key, v=value) for key, value in table.items())
        first = facts_given[0].upper() + facts_given[1:] if shape.startswith("the") else facts_given
        found.append((lines("json_given")[i % 15].format(f=facts_given, F=first), json.dumps(table)))
    return found


def questions() -> list[str]:
    """What no training dialogue may hold."""
    return [messages[-1]["content"] for messages, _ in opposites()] + [ask for ask, _ in small_talk()]


TRAINED = {
    "opposites": ("opposites", "opposite_forms"),
    "json_free": ("json_free", "json_frames"),
    "json_given": ("json_given", "json_filled_frames"),
    "tool_asks": ("tool_asks", "tool_frames"),
    "tool_bare": ("tool_bare", "tool_frames_bare"),
}  # fmt: skip
"""The probe's lists, and the lists of training phrasings that must not word a thing alike."""


def worded_alike() -> list[str]:
    """Phrasings that stand here and in the training text."""
    found = [ask for ask, _ in small_talk() if any(ask in talk.asks for talk in greetings.TALK)]
    for name, others in TRAINED.items():
        trained = {plainly(line) for other in others for line in wordings(other)}
        found += [line for line in lines(name) if plainly(line) in trained]
    return found


def plainly(line: str) -> str:
    """A phrasing without what differs from list to list."""
    return line.lower().replace("{x}", "{w}")
