"""One answer's repairs: from raw calls to calls of tools that were offered, and the account of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from arriero.core.request import ToolCall, ToolSpec
from arriero.text.tool_calls.repair import reading, schema
from arriero.text.tool_calls.repair.coerce import Coercion
from arriero.text.tool_calls.repair.names import nearest
from arriero.text.tool_calls.repair.reading import RawCall
from arriero.text.tool_calls.repair.tolerant import Unreadable

Mode = Literal["off", "warn", "retry", "reject"]
MODES: tuple[str, ...] = get_args(Mode)
_NO_VALUE = frozenset(["", "null", "None"])
"""What stands where a member in a notation without quotes has no value."""
MAX_FAILURE = 2000  # characters of what the model is told


class Repairer:
    """The tools of one request and what was mended in its answer.

    `mode` "off": a call counts as it was written, whatever its name; nothing is mended or checked. "warn": mended, and
    passed on also if it still breaks its schema. "retry", "reject": what still breaks it is refused; `failures` say
    why, in words for the model. `repairs` counts what was mended, by name; `outcomes` calls by how they ended.
    """

    def __init__(self, tools: Sequence[ToolSpec], mode: str = "warn", *, dedupe: bool = True) -> None:
        self.mode, self.dedupe = mode, dedupe
        self.tools: dict[str, ToolSpec] = {tool.name: tool for tool in tools}
        self.repairs: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()  # valid, repaired, invalid, lost, repeated
        self.failures: list[str] = []
        self._fitted = False  # the last call's arguments fit their schema as they were
        self._called: dict[str, ToolCall] = {}  # the first call of each tool
        self._seen: dict[str, set[bytes]] = {}  # the keys of all calls of a tool that was called twice

    @property
    def streams(self) -> bool:
        """Whether arguments may be told of before their call is whole: not where a call may yet be refused for them."""
        return self.mode in ("off", "warn")

    def told(self) -> tuple[str, ...]:
        """What the client hears of: the names of the repairs, and "invalid" where a call still breaks its schema."""
        return tuple(sorted([*self.repairs, *(["invalid"] if self.outcomes["invalid"] else [])]))

    def is_new(self, name: str) -> bool:
        """Whether a tool has this very name, and the answer no call of it yet, which this one might repeat."""
        return name in self.tools and (not self.dedupe or name not in self._called)

    def offered(self, name: str) -> bool:
        """Whether a tool is meant by this name."""
        return name in self.tools if self.mode == "off" else nearest(name, self.tools) is not None

    def read(self, text: str, *, cut: bool = False, perhaps: bool = False) -> list[str | ToolCall] | None:
        """The calls in a JSON text, and the words around them; None if it holds none that counts, and why is noted.

        `perhaps`: nothing marks it as a call: nothing is noted, and each must have an offered name, and arguments.
        """
        found: list[str | RawCall] = []
        notes: list[str] = []
        try:
            for one in self._values(text, cut):
                notes += one.repairs
                if one.is_text:
                    found.append(one.value)
                elif perhaps and not reading.is_explicit(one.value):
                    return None
                else:
                    found += reading.calls_of(one.value, self.offered)
        except Unreadable as error:
            if not perhaps:
                self.lose(f"The call could not be read: {error}.", text)
            return None
        if perhaps and not all(nearest(one.name, self.tools) for one in found if isinstance(one, RawCall)):
            return None
        return self.accept(found, notes, text)

    def named(self, name: str, text: str, *, cut: bool, whole: str) -> list[str | ToolCall] | None:
        """The call of `name` whose arguments `text` holds; `whole` is what is shown where it is none."""
        found: list[str | RawCall] = []
        notes: list[str] = []
        try:
            for one in self._values(text, cut) if text.strip() else ():
                notes += [note for note in one.repairs if note != "fence"]  # some families have it
                if one.is_text:
                    found.append(one.value)
                elif any(isinstance(earlier, RawCall) for earlier in found):
                    raise Unreadable("two objects where one is asked for")
                else:
                    found.append(RawCall(name, one.value))
        except Unreadable as error:
            self.lose(f"The arguments of {name[:100]} could not be read: {error}.", whole)
            return None
        if cut and not text.strip():
            self.lose("The call is cut off.", whole)
            return None
        return self.accept(found or [RawCall(name, {})], notes, whole)

    def accept(self, found: Sequence[str | RawCall], notes: Sequence[str], text: str) -> list[str | ToolCall] | None:
        """Make calls of what was read, all or none; `notes` name what reading mended. Repeats are left out."""
        made: list[str | ToolCall] = []
        mended = list(notes)
        calls = invalid = 0
        for one in found:
            if isinstance(one, str):
                made.append(one)
                continue
            call = self._call(one, mended, made)
            if isinstance(call, str):
                self.lose(call, text)
                return None
            wrong = "" if self._fitted else self._wrong(call)
            if wrong and (self.mode in ("retry", "reject") or (one.bare is None and "missing_value" in mended)):
                self.lose(wrong, text)
                return None
            invalid += bool(wrong)
            calls += 1
            made.append(call)
        for what in mended:
            self.repairs[what] += 1
        self.outcomes["invalid"] += invalid
        self.outcomes["repaired" if mended else "valid"] += calls - invalid
        return [one for one in made if isinstance(one, str) or not self._repeated(one)]

    def settle(self) -> None:
        """Nothing can be asked again: what breaks its schema is passed on from now on."""
        if self.mode == "retry":
            self.mode = "warn"

    def lose(self, why: str, text: str) -> None:
        """Note that what was meant as a call is none; it stays text."""
        self.outcomes["lost"] += 1
        self.failures.append(f"{why}\n{text[:MAX_FAILURE]}")

    def _values(self, text: str, cut: bool) -> Sequence[reading.Found]:
        if self.mode == "off":
            return [reading.Found(reading.strict(text.strip()))]
        return reading.values(text, cut=cut)

    def _call(self, raw: RawCall, mended: list[str], words: list[str | ToolCall]) -> ToolCall | str:
        """The call, or why it is none; to `words` come those that stood in its arguments."""
        name: str | None = raw.name
        if self.mode != "off":
            name = nearest(raw.name, self.tools)
            if name is None:
                return f"There is no tool named {raw.name[:100]!r}; there are: {', '.join(self.tools)}."
            if name != raw.name:
                mended.append("tool_name")
        if not name:
            return "The call names no tool."
        parameters = self._parameters(name)
        if raw.bare is not None:
            coercion = Coercion(parameters)
            known = self.properties(name)
            arguments: Any = {key: coercion.text(value, known.get(key, {})) for key, value in raw.bare}
            if self.mode != "off" and any(value in _NO_VALUE for value in arguments.values() if isinstance(value, str)):
                arguments = self._without_empty(arguments, parameters, known, mended)
        else:
            arguments = self._object(raw.arguments, mended, words, self.properties(name))
            if arguments is None:
                return f"The arguments of {name} must be a JSON object."
        if self.mode != "off":
            coercion = Coercion(parameters)
            arguments = coercion.arguments(arguments)
            mended += coercion.repairs
            self._fitted = coercion.fitted
        return ToolCall(name=name, arguments=arguments)

    def _without_empty(
        self, arguments: dict[str, Any], parameters: dict[str, Any], known: Mapping[str, Any], mended: list[str]
    ) -> dict[str, Any]:
        """Without the members that are no text, may be left out, and were given no value."""
        required = schema.required(parameters)
        left_out = {
            key
            for key, value in arguments.items()
            if isinstance(value, str)
            and value in _NO_VALUE
            and key not in required
            and schema.problems(value, known.get(key, {}), parameters)
        }
        mended += ["missing_value"] if left_out else []
        return {key: value for key, value in arguments.items() if key not in left_out}

    def properties(self, name: str) -> Mapping[str, Any]:
        """The members that the tool meant by `name` declares."""
        found = self._parameters(nearest(name, self.tools) or "").get("properties")
        return found if isinstance(found, dict) else {}

    def parameters(self, name: str) -> dict[str, Any]:
        """The schema of the tool meant by `name`; empty if none is."""
        return self._parameters(nearest(name, self.tools) or "")

    def _parameters(self, name: str) -> dict[str, Any]:
        tool = self.tools.get(name)
        return tool.parameters if tool is not None and isinstance(tool.parameters, dict) else {}

    def _object(
        self, arguments: Any, mended: list[str], words: list[str | ToolCall], known: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Arguments that are an object, or a text that is one (twice encoded, as some templates have it)."""
        for _ in range(3):
            if isinstance(arguments, dict):
                return arguments
            if arguments is None:
                return {}
            if isinstance(arguments, list) and len(arguments) == 1 and isinstance(arguments[0], dict):
                if self.mode == "off":
                    return None
                mended.append("list_to_scalar")
                return dict(arguments[0])
            if not isinstance(arguments, str):
                return None
            arguments = self._from_text(arguments, mended, words, known)
        return arguments if isinstance(arguments, dict) else None

    def _from_text(self, text: str, mended: list[str], words: list[str | ToolCall], known: Mapping[str, Any]) -> Any:
        """The one value that a text holds, perhaps in a fence or among words; False if it holds none, or several."""
        if not text.strip():
            return None
        try:
            found = self._values(text, cut=False)
        except Unreadable:
            return False
        values = [one.value for one in found if not one.is_text]
        if len(values) != 1:
            return False
        if len(found) > 1 and not (values[0] and isinstance(values[0], dict) and values[0].keys() <= known.keys()):
            return False  # among words only what is surely meant
        words += [one.value for one in found if one.is_text]
        mended += [note for one in found for note in one.repairs]
        return values[0]

    def _wrong(self, call: ToolCall) -> str:
        """What the call's schema says against it, in words for the model; empty if nothing."""
        if self.mode == "off":
            return ""
        parameters = self._parameters(call.name)
        if schema.fits_plainly(call.arguments, parameters):
            return ""
        found = schema.problems(call.arguments, parameters, parameters)
        return f"The arguments of {call.name} do not fit its schema: {'; '.join(found)}." if found else ""

    def _repeated(self, call: ToolCall) -> bool:
        """Whether the same call was made before in this answer; the first one is kept."""
        if not self.dedupe:
            return False
        first = self._called.setdefault(call.name, call)
        if first is call:  # most answers have no second one: only that makes keys needed
            return False
        seen = self._seen.setdefault(call.name, {_key(first)})
        key = _key(call)
        if key in seen:
            self.outcomes["repeated"] += 1
            return True
        seen.add(key)
        return False


def _key(call: ToolCall) -> bytes:
    """What two calls of a tool are the same by."""
    return msgspec.json.encode(call.arguments, order="sorted")
