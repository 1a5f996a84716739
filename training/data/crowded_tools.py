"""Tool calls among up to five tools that share verbs and nouns, asked for in longer sentences."""

from __future__ import annotations

import random
from typing import Any

from training.chat import Dialogue, Message, assistant, call, system, user
from training.data import tools
from training.data.asides import surrounded
from training.data.topics import lowered
from training.data.wordings import wordings
from training.data.words import WORDS, any_name, any_word

ABOUT = (
    "{v} the {n}", "{v} a {n}", "{v} one {n} of the user", "can {v} the {n} for you", "to {v} the {n}", "use it to {v} a {n}", "will {v} the {n}",
    "this tool can {v} a {n}", "call it to {v} the {n}", "tool for the {n}: {v} it", "{v} any {n} that the user names", "with this you {v} the {n}",
    "the {n} tool: {v}", "{v} {n}", "when somebody wants to {v} the {n}", "for the {n}", "function to {v} {n}", "{v} the {n} and tell the result",
)  # fmt: skip
PARAM_ABOUT = (
    "the {p}", "which {p}", "a {p}", "{p} of the {n}", "the {p} of the {n}", "the {p} to take", "how the {p} is set", "the value of the {p}",
    "the {p} that is wanted", "here goes the {p}", "{p} for the {n}", "the wanted {p}", "any {p}", "{p}",
)  # fmt: skip
SHAPES = (
    *tools.TRAIN.given,
    "for the {p} {x}",
    "{p} to {x}",
    "{p} set to {x}",
    "a {p} {x}",
    "the {p} being {x}",
    "{p} will be {x}",
    "our {p} is {x}",
)
SYSTEMS = (
    "You are a helpful assistant.", "You have tools.", "Use the tools.", "Call a tool when it helps.", "You can call tools.",
    "You are an agent with tools.", "Help the user with the tools.", "Be helpful.",
)  # fmt: skip


def a_noun(rng: random.Random) -> str:
    """One word, or two with a bar between."""
    noun = tools.pick(WORDS, tools.TRAIN, rng)
    return f"{noun}_{tools.pick(WORDS, tools.TRAIN, rng)}" if rng.random() < 0.2 else noun


def named(verb: str, noun: str, rng: random.Random) -> str:
    """The tool's name in one of the usual forms."""
    chance = rng.random()
    camel = "".join(part.capitalize() for part in noun.split("_"))
    if chance < 0.6:
        return f"{verb}_{noun}"
    if chance < 0.75:
        return verb + camel
    if chance < 0.82:
        return f"{noun}_{verb}"
    if chance < 0.9:
        return f"{verb}_{rng.choice(('the', 'a', 'my', 'new', 'one', 'some'))}_{noun}"
    return rng.choice(
        (f"{verb}-{noun.replace('_', '-')}", verb.capitalize() + camel, f"{verb}_{noun}_tool", f"do_{verb}_{noun}")
    )


def a_tool(verb: str, noun: str, rng: random.Random) -> tools.Tool:
    """A tool with none to four parameters."""
    plain, schemas = noun.replace("_", " "), {}
    described = rng.random() < 0.45
    for _ in range(rng.choice((0, 0, 1, 1, 2, 2, 3, 3, 4))):
        name = tools.pick(tools.PARAMS if rng.random() < 0.6 else WORDS, tools.TRAIN, rng)
        if rng.random() < 0.15:
            name = f"{name}_{tools.pick(tools.PARAMS, tools.TRAIN, rng)}"
        if name in schemas:
            continue
        schema = tools.make_schema(tools.TRAIN, rng)
        if described and rng.random() < 0.8:
            schema["description"] = tools.sentence(
                rng.choice(PARAM_ABOUT).format(p=name.replace("_", " "), n=plain), rng
            )
        schemas[name] = schema
    about = tools.sentence(rng.choice(ABOUT).format(v=verb, n=plain), rng) if rng.random() < 0.8 else ""
    return tools.Tool(verb, noun, named(verb, noun, rng), schemas, about)


def crowd(rng: random.Random) -> list[tools.Tool]:
    """One to five tools; a later one often shares its verb or its noun with an earlier one."""
    found: list[tools.Tool] = []
    for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 4, 5))):
        verbs = WORDS if rng.random() < 0.35 else tools.VERBS
        verb, noun = tools.pick(verbs, tools.TRAIN, rng), a_noun(rng)
        if found and rng.random() < 0.3:
            like = rng.choice(found)
            verb, noun = rng.choice(((like.verb, noun), (verb, like.noun)))
        if any(tool.verb == verb and tool.noun == noun for tool in found):
            continue
        found.append(a_tool(verb, noun, rng))
    return found


def listed(parts: list[str], rng: random.Random) -> str:
    """The arguments one after the other."""
    joint = rng.choice((", ", ", ", " and ", "; "))
    last = rng.choice((" and ", joint, ", and "))
    return joint.join(parts[:-1]) + last + parts[-1] if len(parts) > 1 else "".join(parts)


def request(tool: tools.Tool, arguments: dict[str, Any], rng: random.Random) -> str:
    """What the user asks for."""
    shape, space = rng.choice(SHAPES), rng.choice((" ", "_"))
    parts = [shape.format(p=name.replace("_", space), x=tools.said(v, rng)) for name, v in arguments.items()]
    if rng.random() < 0.15:
        rng.shuffle(parts)
    args = listed(parts, rng)
    if arguments:
        ask = rng.choice((*wordings("tool_frames"), *tools.ASKS) if rng.random() < 0.3 else wordings("tool_frames"))
    else:
        ask = rng.choice((*wordings("tool_frames_bare"), *tools.BARE))
    noun, verb, args_first = tool.noun.replace("_", " "), tool.verb, args[:1].upper() + args[1:]
    text = ask.format(t=tool.name, v=verb, V=verb.capitalize(), n=noun, args=args, Args=args_first, o=any_name(rng))
    if not ask.startswith(("{t}", "{Args}")) and rng.random() < 0.08:
        text = lowered(text)
    return surrounded(text, rng, 0.12, 0.08)


def value(schema: dict[str, Any], rng: random.Random) -> Any:
    """A value that fits; strings of one to three words or names."""
    if "enum" not in schema and schema["type"] == "string" and rng.random() < 0.4:
        return " ".join(any_name(rng) if rng.random() < 0.4 else any_word(rng) for _ in range(rng.choice((1, 2, 2, 3))))
    return tools.make_value(schema, None, rng)


def dialogue(rng: random.Random) -> Dialogue:
    """A request and its call, now and then with the result."""
    offered = crowd(rng)
    tool = rng.choice(offered)
    arguments = {name: value(schema, rng) for name, schema in tool.schemas.items()}
    messages: list[Message] = [user(request(tool, arguments, rng)), call(tool.name, arguments)]
    if rng.random() < 0.35:
        given, spoken = tools.result(rng)
        messages += [{"role": "tool", "content": given}, assistant(spoken)]
    messages = [*tools.small_talk(rng, 0.08), *messages]
    if rng.random() < 0.12:
        messages = [system(rng.choice(SYSTEMS)), *messages]
    return Dialogue("tools", messages, [one.spec() for one in offered])
