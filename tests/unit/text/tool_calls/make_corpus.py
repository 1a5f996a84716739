"""Makes corpus.json: valid calls of all families, broken by seeded mutations and by hand, with what must come of each.

Run `python -m tests.unit.text.tool_calls.make_corpus` to write it again; a test says when it is stale.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arriero.core.request import ToolCall
from arriero.text.tool_calls import FAMILIES, Family
from tests.unit.text.tool_calls.corpus_tools import CALLS, TRICKY

FILE = Path(__file__).with_name("corpus.json")
HAND_MADE = FILE.with_name("hand_made.json")  # what models were seen to write, and traps for a careless repair
SEED = 20261120
PER_FAMILY = 22  # mutated calls of each family

Case = dict[str, Any]
Mutation = Callable[[str, random.Random], "str | None"]
"""A JSON text and chance: the broken text; None where it cannot be broken this way."""


def case(family: str, kind: str, how: str, text: str, calls: list[ToolCall], *, cut: bool = False) -> Case:
    """One entry. `kind`: valid, repairable or unrepairable; of the last, no call may come."""
    expected = [{"name": call.name, "arguments": call.arguments} for call in calls]
    return {"family": family, "kind": kind, "how": how, "text": text, "calls": expected} | (
        {"cut": True} if cut else {}
    )


# --- mutations of JSON ---


def trailing_comma(text: str, chance: random.Random) -> str | None:
    places = [found.start() for found in re.finditer(r"(?<=[\w\"}\]])[}\]]", text)]
    return _insert(text, chance.choice(places), ",") if places else None


def single_quotes(text: str, chance: random.Random) -> str | None:
    return None if "'" in text or "\\" in text else text.replace('"', "'")


def unquoted_keys(text: str, chance: random.Random) -> str | None:
    return re.sub(r'"(\w+)"(?=:)', r"\1", text)


def python_literals(text: str, chance: random.Random) -> str | None:
    made = re.sub(r"(?<=:)(true|false|null)\b", lambda word: {"t": "True", "f": "False", "n": "None"}[word[0][0]], text)
    return made if made != text else None


def missing_closers(text: str, chance: random.Random) -> str | None:
    closers = len(text) - len(text.rstrip("}]"))
    return text[: -chance.randint(1, closers)]


def extra_closer(text: str, chance: random.Random) -> str | None:
    return text + "}"


def fenced(text: str, chance: random.Random) -> str | None:
    return f"```json\n{text}\n```"


def commented(text: str, chance: random.Random) -> str | None:
    place = text.index(",") + 1 if "," in text else 1
    return _insert(text, place, chance.choice([" // as asked\n ", " /* as asked */ "]))


def smart_quotes(text: str, chance: random.Random) -> str | None:
    return None if "\\" in text else re.sub(r'"([^"]*)"', r"“\1”", text)


def missing_comma(text: str, chance: random.Random) -> str | None:
    places = [found.start() for found in re.finditer(r',(?=")', text)]
    if not places:
        return None
    place = chance.choice(places)
    return text[:place] + " " + text[place + 1 :]


def raw_line_break(text: str, chance: random.Random) -> str | None:
    return text.replace("\\n", "\n") if "\\n" in text else None


def byte_order_mark(text: str, chance: random.Random) -> str | None:
    return "\ufeff" + text


def missing_quote(text: str, chance: random.Random) -> str | None:
    places = [found.start() for found in re.finditer(r'(?<=\w)"(?=,"\w+":)', text)]
    if not places:
        return None
    place = chance.choice(places)
    return text[:place] + text[place + 1 :]


JSON_MUTATIONS: dict[str, Mutation] = {
    made.__name__: made
    for made in (
        trailing_comma,
        single_quotes,
        unquoted_keys,
        python_literals,
        missing_closers,
        extra_closer,
        fenced,
        commented,
        smart_quotes,
        missing_comma,
        raw_line_break,
        byte_order_mark,
        missing_quote,
    )
}


# --- mutations of a call: another value is written than is meant ---


def other_name(call: ToolCall, chance: random.Random) -> ToolCall | None:
    """The same name in another notation, or with a slip."""
    one, two = call.name.split("_")
    name = chance.choice(
        [f"{one}{two.title()}", f"{one}-{two}", call.name.upper(), f"{one}_{two}s", f"functions.{call.name}"]
    )
    return ToolCall(name=name, arguments=call.arguments)


def texts_for_values(call: ToolCall, chance: random.Random) -> ToolCall | None:
    """Numbers and truth values as texts."""
    made = {
        key: json.dumps(value) if isinstance(value, (bool, int, float)) else value
        for key, value in call.arguments.items()
    }
    return ToolCall(name=call.name, arguments=made) if made != call.arguments else None


def other_case(call: ToolCall, chance: random.Random) -> ToolCall | None:
    """An enum's value in capitals."""
    unit = call.arguments.get("unit")
    return ToolCall(name=call.name, arguments={**call.arguments, "unit": unit.upper()}) if unit else None


def other_member_names(call: ToolCall, chance: random.Random) -> ToolCall | None:
    """Members with a capital."""
    return ToolCall(name=call.name, arguments={key.title(): value for key, value in call.arguments.items()})


def lists_as_text(call: ToolCall, chance: random.Random) -> ToolCall | None:
    """Objects and lists as JSON texts."""
    made = {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
        for key, value in call.arguments.items()
    }
    return ToolCall(name=call.name, arguments=made) if made != call.arguments else None


CALL_MUTATIONS = (other_name, texts_for_values, other_case, other_member_names, lists_as_text)


def _insert(text: str, place: int, what: str) -> str:
    return text[:place] + what + text[place:]


def _json_part(family: Family, call: ToolCall) -> tuple[str, str, str] | None:
    """What stands before, in, and behind the JSON of a call; None where the notation has none."""
    text = family.write([call])
    if family.envelope.shape not in ("json", "list", "named") and family.name != "apertus":
        return None
    start = text.index("[{") if family.envelope.shape == "list" or family.name == "apertus" else text.index("{")
    end = max(text.rindex("}"), text.rindex("]") if text[start] == "[" else 0) + 1
    tail = text[end:]
    if tail.strip() and "]" in tail[:1]:
        end += 1
    return text[:start], text[start:end], text[end:]


def mutated(family: Family, chance: random.Random) -> list[Case]:
    """Broken calls of one family, each broken in one way."""
    found: list[Case] = []
    seen: set[str] = set()
    attempts = 0
    while len(found) < PER_FAMILY and attempts < 40 * PER_FAMILY:
        attempts += 1
        call = chance.choice(CALLS)
        if family.name == "minimax_m3" and None in call.arguments.values():
            continue  # its notation has no null
        if chance.random() < 0.7 and (parts := _json_part(family, call)) is not None:
            how, mutate = chance.choice(list(JSON_MUTATIONS.items()))
            before, body, after = parts
            broken = mutate(body, chance)
            if how == "fenced" and (not after.strip() or "```" in before or family.name == "harmony"):
                continue  # its fence would be the answer's, or is notation
            text = None if broken is None else before + broken + after
        else:
            mutate_call = chance.choice(CALL_MUTATIONS)
            how = mutate_call.__name__
            changed = mutate_call(call, chance)
            text = None if changed is None else family.write([changed])
            if how == "texts_for_values" and family.envelope.shape in ("parameters",):
                continue  # bare values are texts anyway
        if text is None or text in seen or text == family.write([call]):
            continue
        seen.add(text)
        found.append(case(family.name, "repairable", how, text, [call]))
    return found


def without_end(family: Family) -> list[Case]:
    """The last marker left out, as many models do; and the whole call cut off by length."""
    text = family.write(CALLS[:1])
    closes = (family.envelope.closes + family.envelope.after).rstrip()
    found = []
    if closes and family.name not in ("command_r_plus", "deepseek_fenced"):
        found.append(case(family.name, "repairable", "missing_end", text[: -len(closes)], CALLS[:1]))
    cut = text[: text.rindex("celsius") + 3]
    found.append(case(family.name, "unrepairable", "cut_off", cut, [], cut=True))
    found.append(
        case(
            family.name,
            "unrepairable",
            "unknown_tool",
            family.write([ToolCall(name="format_disk", arguments={"city": "Paris"})]),
            [],
        )
    )
    return found


def corpus() -> list[Case]:
    """All entries, in a fixed order."""
    chance = random.Random(SEED)
    found: list[Case] = []
    for family in FAMILIES:
        found += [case(family.name, "valid", "as_written", family.write([call]), [call]) for call in CALLS[:3]]
        found += [case(family.name, "valid", "tricky", family.write([call]), [call]) for call in TRICKY]
        found.append(case(family.name, "valid", "two_calls", family.write(CALLS[2:4]), CALLS[2:4]))
        found += mutated(family, chance)
        found += without_end(family)
    return found + list(json.loads(HAND_MADE.read_text(encoding="utf-8")))


def written() -> str:
    """The file's text: an entry a line."""
    return "[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in corpus()) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
    print(len(corpus()), "entries")
