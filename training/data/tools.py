"""Tool use: pick the tool that the request names, copy its arguments, then say the result.

Names of tools and parameters are put together from the word lists; what *_HELD lists hold is never trained.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from training.chat import Dialogue, Message, assistant, call, system, user
from training.data import facts, greetings
from training.data.topics import lowered
from training.data.wordings import wordings
from training.data.words import WORDS, any_name, any_word, made_up

VERBS = """
get set find make send show check open close start stop add remove list count read write search book order play
create update delete move copy print save load call plan turn convert measure clean paint draw bring cancel
""".split()
VERBS_HELD = "fetch query schedule notify launch archive inspect rename reserve upload translate compute".split()
NOUNS_HELD = """
invoice parcel ticket_queue playlist thermostat shipment calendar recipe inventory passport firewall receipt
reservation newsletter spreadsheet drone elevator sprinkler telescope voucher
""".split()
PARAMS = """
name city color size title text date time place count number amount level speed user item unit mode kind style
message subject room price country language format key value path file query topic day month year address email
""".split()
PARAMS_HELD = """
recipient destination priority quantity deadline category duration currency brightness nickname postcode volume
altitude severity vendor passenger flavor channel region capacity
""".split()
ENUMS = (
    ("celsius", "fahrenheit"), ("small", "medium", "large"), ("low", "high"), ("red", "green", "blue"), ("on", "off"),
    ("fast", "slow"), ("short", "long"), ("day", "week", "month"), ("north", "south", "east", "west"), ("json", "text"),
    ("hot", "cold", "warm"), ("open", "closed"), ("light", "dark"), ("first", "last"),
)  # fmt: skip
ENUMS_HELD = (("urgent", "normal"), ("metric", "imperial"), ("public", "private"), ("gold", "silver", "bronze"))
ABOUT = ("{v} the {n}", "{v} a {n}", "{v} some {n}", "{v} the {n} now", "tool to {v} a {n}", "this can {v} the {n}")
PARAM_ABOUT = ("the {p}", "the {p} to use", "{p} of the {n}", "which {p}", "a {p}", "the {p} of the {n}")
ASKS = (
    "Use {t} with {args}.", "Call {t} with {args}.", "Please {v} the {n} with {args}.", "{V} the {n} with {args}.",
    "Please {v} a {n}: {args}", "{V} the {n}: {args}", "{V} a {n} with {args}.", "Can you {v} the {n} with {args}?",
    "I want to {v} the {n}. {Args}.", "Run {t}: {args}", "Could you {v} a {n} with {args}?", "{V} the {n}, {args}",
    "Please call {t}: {args}", "Please use {t} with {args}.", "I need you to {v} the {n} with {args}.", "{t}: {args}",
    "Would you please {v} the {n} with {args}?", "I'd like you to {v} a {n} with {args}.", "Would you use {t} with {args}?", "I want you to {v} the {n} with {args}.", "Let us {v} the {n}: {args}",
    "We have to {v} the {n} with {args}.", "Could you run {t} with {args}?", "Now {v} a {n}: {args}", "Would you {v} my {n} with {args}?", "I would love to {v} a {n}: {args}", "Please start {t} with {args}.",
    *wordings("tool_asks"),
)  # fmt: skip
ASKS_HELD = ("Please run {t} with {args}.", "I would like to {v} the {n} with {args}.", "Would you {v} a {n}: {args}")
BARE = (
    "Use {t}.", "Call {t}.", "Please {v} the {n}.", "{V} the {n}.", "Can you {v} the {n}?", "{V} a {n}.", "Run {t}.",
    "I want to {v} the {n}.", "Please call {t}.", "Could you {v} the {n}?", "{V} the {n}, please.", "{V} the {n} now.",
    "Would you {v} a {n}?", "I would like you to {v} the {n}.", "Please use {t}.", "Would you please {v} the {n}?", "Now {v} the {n}.", "Please start {t}.", "I'd like to {v} a {n}.",
    *wordings("tool_bare"),
)  # fmt: skip
BARE_HELD = ("Please run {t}.", "I would like to {v} the {n}.", "Would you {v} the {n}?")
GIVEN = ("{p} {x}", "{p} {x}", "{p} = {x}", "{p}: {x}", "the {p} {x}", "{p} is {x}", "{p} set to {x}")
GIVEN_MORE = (
    "{p}={x}", "{p} -> {x}", "{p} - {x}", "{p} ({x})", "{p} as {x}", "{p} being {x}", "{p} equal to {x}",
    "{p} equals {x}", "{p} should be {x}", "{p} must be {x}", "{p} of {x}", "a {p} of {x}", "my {p} {x}", "my {p} is {x}",
    "the {p} is {x}", "the {p} as {x}", "the {p} set to {x}", "the {p} = {x}", "the {p}: {x}", "that {p} is {x}",
)  # fmt: skip
"""Shapes for training alone; none begins with the value, whose first letter must stay as it is."""
JOINTS = (", ", " and ", ", ")


@dataclass(frozen=True)
class Lexicon:
    """Where names of tools and parameters come from."""

    verbs: list[str]
    nouns: list[str]
    params: list[str]
    enums: tuple[tuple[str, ...], ...]
    asks: tuple[str, ...]
    bare: tuple[str, ...]
    invented: float
    given: tuple[str, ...] = GIVEN


TRAIN = Lexicon(VERBS, WORDS, PARAMS, ENUMS, ASKS, BARE, 0.5, (*GIVEN, *GIVEN, *GIVEN_MORE))
HELD = Lexicon(VERBS_HELD, NOUNS_HELD, PARAMS_HELD, ENUMS_HELD, ASKS_HELD, BARE_HELD, 0.0)


@dataclass(frozen=True)
class Tool:
    """A tool, its parameters' schemas, and how its name is put together."""

    verb: str
    noun: str
    name: str
    schemas: dict[str, dict[str, Any]]
    description: str

    def spec(self) -> dict[str, Any]:
        """The OpenAI form."""
        parameters = {"type": "object", "properties": self.schemas, "required": list(self.schemas)}
        function: dict[str, Any] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function | {"parameters": parameters}}


def joined(verb: str, noun: str, rng: random.Random) -> str:
    """verb_noun, verbNoun, or noun_verb, snake case most often."""
    chance = rng.random()
    if chance < 0.8:
        return f"{verb}_{noun}"
    return verb + noun.capitalize() if chance < 0.9 else f"{noun}_{verb}"


def sentence(text: str, rng: random.Random) -> str:
    """A description in one of the usual dresses."""
    text = text if rng.random() < 0.2 else text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.6 else "")


def pick(known: list[str], lexicon: Lexicon, rng: random.Random) -> str:
    """A word of the lexicon, or a made-up one."""
    return made_up(rng) if rng.random() < lexicon.invented else rng.choice(known)


def make_tool(lexicon: Lexicon, rng: random.Random) -> Tool:
    """A tool with none to three parameters."""
    verbs = WORDS if lexicon.invented and rng.random() < 0.3 else lexicon.verbs
    verb, noun = pick(verbs, lexicon, rng), pick(lexicon.nouns, lexicon, rng)
    plain = noun.replace("_", " ")
    names: list[str] = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 2, 3, 3))):
        name = pick(lexicon.params, lexicon, rng)
        if rng.random() < 0.12:
            name = f"{name}_{pick(lexicon.params, lexicon, rng)}"
        if name not in names:
            names.append(name)
    described = rng.random() < 0.4
    schemas = {}
    for name in names:
        schema = make_schema(lexicon, rng)
        if described:
            text = rng.choice(PARAM_ABOUT).format(p=name.replace("_", " "), n=plain)
            schema["description"] = sentence(text, rng)
        schemas[name] = schema
    about = sentence(rng.choice(ABOUT).format(v=verb, n=plain), rng) if rng.random() < 0.85 else ""
    return Tool(verb, noun, joined(verb, noun, rng), schemas, about)


def make_schema(lexicon: Lexicon, rng: random.Random) -> dict[str, Any]:
    """String, integer, number, boolean or enum."""
    chance = rng.random()
    if chance < 0.45:
        return {"type": "string"}
    if chance < 0.66:
        return {"type": "integer"}
    if chance < 0.7:
        return {"type": "number"}
    if chance < 0.82:
        return {"type": "boolean"}
    return {"type": "string", "enum": list(rng.choice(lexicon.enums))}


def make_value(schema: dict[str, Any], words: list[str] | None, rng: random.Random) -> Any:
    """A value that fits; with `words`, strings come from these alone."""
    if "enum" in schema:
        return rng.choice(schema["enum"])
    match schema["type"]:
        case "integer":
            return rng.choice((rng.randint(0, 20), rng.randint(0, 100), rng.randint(0, 9999)))
        case "number":
            return rng.choice((rng.randint(0, 99), rng.randint(0, 999) / 10))
        case "boolean":
            return rng.random() < 0.5
    if words:
        return " ".join(rng.sample(words, rng.choice((1, 1, 2))))
    chance = rng.random()
    if chance < 0.4:
        return any_name(rng)
    if chance < 0.5:
        return f"{any_name(rng)} {any_name(rng)}"
    return " ".join(any_word(rng, 0.5) for _ in range(rng.choice((1, 1, 2, 3))))


def said(value: Any, rng: random.Random) -> str:
    """The value as a person writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and rng.random() < 0.3:
        return f'"{value}"'
    return str(value)


def request(tool: Tool, arguments: dict[str, Any], lexicon: Lexicon, rng: random.Random) -> str:
    """What the user asks for."""
    shape = rng.choice(lexicon.given)
    parts = [shape.format(p=name.replace("_", rng.choice((" ", "_"))), x=said(v, rng)) for name, v in arguments.items()]
    joint = rng.choice(JOINTS)
    args = (
        joint.join(parts[:-1]) + (" and " if rng.random() < 0.5 else joint) + parts[-1]
        if len(parts) > 1
        else "".join(parts)
    )
    ask = rng.choice(lexicon.asks if arguments else lexicon.bare)
    noun, verb = tool.noun.replace("_", " "), tool.verb
    text = ask.format(t=tool.name, v=verb, V=verb.capitalize(), n=noun, args=args, Args=args[:1].upper() + args[1:])
    return lowered(text) if rng.random() < 0.05 and not ask.startswith("{t}") else text


def result(rng: random.Random, words: list[str] | None = None) -> tuple[str, str]:
    """What a tool gives back, and how the assistant says it."""
    word = (lambda: rng.choice(words)) if words else (lambda: any_word(rng, 0.5))
    chance = rng.random()
    if chance < 0.3:
        text = " ".join(word() for _ in range(rng.randint(1, 5)))
        return text, f"The result is {text}."
    if chance < 0.5:
        text = f"{rng.randint(0, 999)}" + (f" {word()}" if rng.random() < 0.6 else "")
        return text, f"The result is {text}."
    if chance < 0.6:
        return (text := rng.choice(("ok", "done", "true", "false", "failed", "sent"))), f"The result is {text}."
    table: dict[str, Any] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        table[word()] = rng.randint(0, 999) if rng.random() < 0.45 else word()
    return json.dumps(table), f"The result is {', '.join(f'{k} {v}' for k, v in table.items())}."


def rounds(lexicon: Lexicon, rng: random.Random, words: list[str] | None = None) -> tuple[list[Message], list[Tool]]:
    """A request, its call, the tool's result and the answer, among one to three tools."""
    tools = [make_tool(lexicon, rng) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))]
    if len({tool.name for tool in tools}) < len(tools):
        tools = tools[:1]
    tool = rng.choice(tools)
    arguments = {name: make_value(schema, words, rng) for name, schema in tool.schemas.items()}
    given, spoken = result(rng, words)
    messages = [
        user(request(tool, arguments, lexicon, rng)),
        call(tool.name, arguments),
        {"role": "tool", "content": given},
        assistant(spoken),
    ]
    return messages, tools


def dialogue(rng: random.Random) -> Dialogue:
    """A training dialogue with a tool call, mostly with its result."""
    messages, tools = rounds(TRAIN, rng)
    messages = messages[:2] if rng.random() < 0.15 else [*messages, *small_talk(rng, 0.15)]
    messages = [*small_talk(rng, 0.15), *messages]
    if rng.random() < 0.15:
        messages = [system("You are a helpful assistant."), *messages]
    return Dialogue("tools", messages, [tool.spec() for tool in tools])


def small_talk(rng: random.Random, chance: float) -> list[Message]:
    """Now and then a turn that needs no tool."""
    if rng.random() >= chance:
        return []
    ask, answer = rng.choice((greetings.turn, facts.turn))(rng)
    return [user(ask), assistant(answer)]


def offered(rng: random.Random) -> list[dict[str, Any]]:
    """Tools to lie beside a dialogue that does not need them."""
    return [make_tool(TRAIN, rng).spec() for _ in range(rng.choice((1, 1, 2)))]


def cases(words: list[str]) -> list[tuple[str, list[Message], list[dict[str, Any]]]]:
    """Held-out (skill, messages ending with the expected answer, tools): calls, then results."""
    rng = random.Random(13)
    found = []
    for i in range(160):
        messages, tools = rounds(HELD, rng, words)
        specs = [tool.spec() for tool in tools]
        found.append(("tools", messages[:2], specs) if i < 90 else ("tool results", messages, specs))
    return found
