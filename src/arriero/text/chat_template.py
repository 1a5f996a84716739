"""A model's chat template: messages and tools in, the prompt's text out. Renders in Hugging Face's Jinja dialect.

It knows no tokenizer: whether the text already begins with the BOS token is the caller's business.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import jinja2
import msgspec

from arriero.core.errors import TemplateError
from arriero.core.request import Message, ToolCall, ToolSpec
from arriero.text.jinja_traits import jinja_thinking_tags, thinks_in_channels
from arriero.text.limits import MAX_CHARS, LimitExceeded
from arriero.text.plain_schemas import plain_tool
from arriero.text.sandbox import BoundedEnvironment, TemplateRefusal, guarded
from arriero.text.told_tools import call_text, example_call, with_tools_told
from arriero.text.tool_calls import choose
from arriero.text.turns import (
    beside_results,
    calls_in_text,
    leading,
    merged,
    one_call_a_turn,
    one_system,
    paired,
    results_in_words,
    said_by_user,
    thought_before_calls,
    with_short_ids,
    without_system,
)

MAX_SOURCE = 1024 * 1024  # characters; the largest template seen in the wild has 30 thousand
COMPILE_S = 2.0
RENDER_S = 2.0

# For a GGUF without a template: ChatML, which most instruction-tuned models since 2023 at least recognise. It has no
# tools and no thinking, so neither is offered for such a model.
FALLBACK_CHATML = """\
{%- for message in messages -%}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""

# Templates name a turn's earlier thinking in one of these ways; a key is given only to templates that read it.
_THINKING_KEYS = ("reasoning_content", "reasoning", "thinking")
_PROBE = "arriero_probe"


class _CallStyle(NamedTuple):
    """How an assistant turn with calls is handed to a template."""

    arguments_as_text: bool = False
    empty_is_none: bool = False


_CALL_STYLES = (_CallStyle(), _CallStyle(True), _CallStyle(False, True), _CallStyle(True, True))


def capabilities_of(source: str) -> tuple[str, ...]:
    """Return what a template can express besides plain turns, by Ollama's rule and more tags: "tools", "thinking"."""
    found = []
    if "tools" in source or "tool_call" in source:
        found.append("tools")
    if jinja_thinking_tags(source) or thinks_in_channels(source):
        found.append("thinking")
    return tuple(found)


class ChatTemplate:
    """A compiled chat template.

    `source` is the Jinja text of the GGUF's `tokenizer.chat_template`, None for the ChatML fallback. TemplateError if
    it is too long or does not compile.
    """

    def __init__(self, source: str | None, *, bos_token: str = "", eos_token: str = "") -> None:
        self.source = FALLBACK_CHATML if source is None else source
        self._bos_token = bos_token
        self._eos_token = eos_token
        if len(self.source) > MAX_SOURCE:
            raise TemplateError(f"the chat template has more than {MAX_SOURCE} characters")
        self._template = guarded(lambda: BoundedEnvironment().from_string(self.source), COMPILE_S)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the template offers: "tools", "thinking"."""
        return capabilities_of(self.source)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        add_generation_prompt: bool = True,
        think: bool | str | None = None,
        extra: Mapping[str, Any] | None = None,
        deadline_s: float = RENDER_S,
    ) -> str:
        """Return the prompt's text.

        `think` None leaves the template its own default; a level (low, medium, high, max) also sets
        `reasoning_effort`. `extra` are further variables; they win over all but messages and tools. TemplateError
        when the template refuses the messages (with its own words), fails, makes more than MAX_CHARS characters, or
        takes longer than `deadline_s` seconds.
        """
        own = {**self._variables(tools, add_generation_prompt), **self._thinking(think)}
        variables = {**own, **(extra or {}), "tools": own["tools"]}
        variables.pop("messages", None)

        def attempt(turns: Sequence[Message]) -> str:
            style = _CALL_STYLES[0]
            if any(turn.tool_calls or turn.role == "tool" for turn in turns):
                turns, style = paired(turns), self._call_style
                turns = with_short_ids(turns) if self._wants_short_ids else turns
                turns = one_call_a_turn(turns) if self._takes_one_call else turns
                turns = turns if self._knows_tools else results_in_words(turns)
                if "tool_calls" not in self.source:  # some have a place for results alone
                    turns = calls_in_text(turns, choose(self.source).write)
            rendered = [self._turn(turn, style) for turn in turns]
            try:
                return self._run(rendered, variables)
            except (TypeError, jinja2.UndefinedError, RecursionError):
                # Some templates go through `tools` without asking whether there are any (Hermes 2 Pro's), or fail at
                # schemas with anything but plain types (Command-R+'s).
                plain = [_tool(plain_tool(tool)) for tool in tools]
                if plain == own["tools"]:
                    raise
                return self._run(rendered, {**variables, "tools": plain})

        def run() -> str:
            asked = messages
            if tools and not self._shows_tools:
                asked = with_tools_told(messages, own["tools"], self._call_example(tools[0]))
            refused: TemplateRefusal | None = None
            for turns in self._ways(asked):
                try:
                    return attempt(turns)
                except TemplateRefusal as refusal:
                    refused = refusal if turns is asked else refused
            if refused is not None:
                raise refused
            return attempt(asked)  # to say what the template says of what was asked

        return guarded(run, deadline_s)

    def _ways(self, messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
        """The conversation in the ways to try, until the template refuses one no more."""
        led = leading(messages)
        given = messages if len(messages) < 2 or messages[1].role != "system" else self._systems_kept(messages)
        if all(turn.role != "user" for turn in given) and self._drops_lone_system:
            given = [msgspec.structs.replace(turn, role="user") if turn.role == "system" else turn for turn in given]
        if led or self._keeps_later_system:
            yield given
        if not led:
            given = said_by_user(given)
            yield given
        # Gemma and others know no system role: its text then opens the first user turn.
        moved = without_system(given)
        if moved is not None:
            yield moved
        # harmony's template has one place for both.
        thought = thought_before_calls(given)
        if thought != given:
            yield thought
        # Mistral's and others want turns to alternate.
        joined = merged(given)
        if len(joined) < len(given):
            yield joined
            moved = without_system(joined)
            if moved is not None:
                yield moved
        beside = beside_results(joined)
        if len(beside) < len(joined):
            yield beside

    def _systems_kept(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages, with the system turns at their beginning as one for templates that would show one of them."""
        return messages if messages[0].role != "system" or self._keeps_each_system else one_system(messages)

    def _variables(self, tools: Sequence[ToolSpec], add_generation_prompt: bool) -> dict[str, Any]:
        given = [_tool(tool) for tool in tools]
        variables: dict[str, Any] = {
            "tools": given or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            "bos_token": self._bos_token,
            "eos_token": self._eos_token,
        }
        if "functions" in self.source:  # Firefunction's names for the same
            variables["functions"] = json.dumps([tool["function"] for tool in given], ensure_ascii=False)
            variables["datetime"] = datetime.now(UTC).strftime("%b %d %Y %H:%M:%S GMT")
        return variables

    def _run(self, messages: list[dict[str, Any]], variables: dict[str, Any]) -> str:
        pieces: list[str] = []
        size = 0
        context = {"messages": messages, **variables}
        if ".append(" in self.source or ".pop(" in self.source:  # lists may be changed: not the caller's
            context = copy.deepcopy(context)
        for piece in self._template.generate(context):
            size += len(piece)
            if size > MAX_CHARS:
                raise LimitExceeded(f"a prompt of more than {MAX_CHARS} characters")
            pieces.append(piece)
        text = "".join(pieces)
        return text if text.isascii() else text.encode("utf-8", "replace").decode()  # half a UTF-16 pair is no text

    def _turn(self, message: Message, style: _CallStyle) -> dict[str, Any]:
        in_parts = message.content and message.role in self._roles_in_parts
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if in_parts:
            turn["content"] = _parts(message.content)
        if message.thinking:
            turn.update(dict.fromkeys(self._thinking_keys, message.thinking))
        if message.tool_calls:
            turn["tool_calls"] = [self._call(call, style.arguments_as_text) for call in message.tool_calls]
            if style.empty_is_none and not message.content:
                turn["content"] = None
        if message.tool_name is not None:
            turn["name"] = message.tool_name
        if message.tool_call_id is not None:
            turn["tool_call_id"] = message.tool_call_id
        return turn

    def _thinking(self, think: bool | str | None) -> dict[str, Any]:
        if think is None:
            return {}
        # Qwen and most others read enable_thinking, DeepSeek and Granite thinking, gpt-oss reasoning_effort.
        wanted: dict[str, Any] = {"enable_thinking": bool(think), "thinking": bool(think)}
        if isinstance(think, str):
            wanted["reasoning_effort"] = "high" if think == "max" and "max" not in self.source else think
        return wanted

    @cached_property
    def _thinking_keys(self) -> tuple[str, ...]:
        def read(key: str) -> bool:
            return re.search(rf"""(\.|['"]){key}\b""", self.source) is not None

        return tuple(key for key in _THINKING_KEYS if read(key))

    @cached_property
    def _keeps_later_system(self) -> bool:
        """Whether the template writes a system turn in the middle where it stands. Many leave it out without a word."""
        return self._keeps(("system", "user", "assistant", "user", "system", "user"), 4)

    @cached_property
    def _drops_lone_system(self) -> bool:
        """Whether the template leaves out a system turn without a user's, and does not refuse it (Mistral Nemo's)."""
        return _PROBE not in (self._probed([{"role": "system", "content": _PROBE}]) or _PROBE)

    @cached_property
    def _keeps_each_system(self) -> bool:
        """Whether the template writes each of several system turns at the beginning, not only the first or last."""
        return self._keeps(("system", "system", "user"), 3)

    def _keeps(self, roles: Sequence[str], last: int) -> bool:
        """Whether turns of these roles are written where they stand, the last ones at least."""
        said = [f"{_PROBE}_{number}" for number in range(len(roles))]
        turns = [Message(role=role, content=content) for role, content in zip(roles, said, strict=True)]
        shown = self._probed([self._turn(turn, _CALL_STYLES[0]) for turn in turns])
        places = [shown.find(content) for content in said[-last:]]
        return -1 not in places and places == sorted(places)

    @cached_property
    def _roles_in_parts(self) -> frozenset[str]:
        """The roles whose texts the template shows only as parts of a content (SmolVLM's); bare ones would be lost."""
        if "content" not in self.source or "type" not in self.source:
            return frozenset()
        roles: dict[str, str] = dict.fromkeys(("user", "system", "assistant", "tool"), "text")

        def shown(role: str) -> bool:
            before = {"user": (), "system": ()}.get(role, ("user",))
            after = () if role in ("user", "tool") else ("user",)
            turns = [
                {"role": one, "content": _parts(text) if roles[one] == "parts" else text}
                for one, text in [*((one, "q") for one in before), (role, _PROBE), *((one, "q") for one in after)]
            ]
            return _PROBE in self._probed(turns)

        for role in roles:
            if not shown(role):
                roles[role] = "parts"
                if not shown(role):
                    roles[role] = "text"
        return frozenset(role for role, how in roles.items() if how == "parts")

    def _probed(self, turns: list[dict[str, Any]], tools: Sequence[ToolSpec] = (), *, asks: bool = True) -> str:
        """What the template makes of a conversation of ours; nothing where it does not take it."""
        try:
            return self._run(turns, self._variables(tools, asks))
        except LimitExceeded:
            raise
        except Exception:  # a template raises what it likes: then it has no place for such turns
            return ""

    def _call(self, call: ToolCall, arguments_as_text: bool) -> dict[str, Any]:
        arguments: Any = call.arguments
        if call.unread:
            arguments = call.unread if arguments_as_text or self._takes_text else {"arguments": call.unread}
        elif arguments_as_text:
            arguments = json.dumps(call.arguments, ensure_ascii=False)
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}

    @cached_property
    def _takes_text(self) -> bool:
        """Whether a template that wants an object shows a text in its place as well; some refuse it, some fail."""
        return self._shows_call(self._call_style, f"{_PROBE} {{", text=True)

    @cached_property
    def _call_style(self) -> _CallStyle:
        """How the template wants calls, found by rendering one in each way.

        Templates that print the arguments as they are need JSON text (an object would come out in Python's
        notation); those that go through them, or through `tojson`, need the object (a text would be quoted twice).
        DeepSeek R1's distillates look at the calls only where the content is none.
        """
        return next((style for style in _CALL_STYLES if self._shows_call(style, _PROBE)), _CALL_STYLES[0])

    @cached_property
    def _shows_calls(self) -> bool:
        """Whether the template writes the calls of a turn."""
        return self._shows_call(self._call_style, _PROBE)

    @cached_property
    def _takes_one_call(self) -> bool:
        """Whether the template refuses several calls in a turn (Llama 3's), or shows one of them (harmony's)."""
        return self._shows_calls and not self._shows_call(self._call_style, _PROBE, beside=f"{_PROBE}_too")

    @cached_property
    def _knows_tools(self) -> bool:
        """Whether the template has a place for calls or for results; those for models without tools do not."""
        call = Message(role="assistant", tool_calls=(ToolCall(name="probe", arguments={}, id="call00000"),))
        result = Message(role="tool", content=_PROBE, tool_name="probe", tool_call_id="call00000")
        turns = [self._turn(turn, self._call_style) for turn in (Message(role="user", content="q"), call, result)]
        return self._shows_calls or _PROBE in self._probed(turns)

    @cached_property
    def _wants_short_ids(self) -> bool:
        """Whether the template takes calls only with ids that are shorter than what servers make (Mistral's)."""
        return self._shows_calls and not self._shows_call(self._call_style, _PROBE, call_id=f"call_{'0' * 24}")

    @cached_property
    def _shows_tools(self) -> bool:
        """Whether the template tells its model of tools. It is taken to where it can show no call either."""
        parameter = {"type": "string", "description": _PROBE}
        tool = ToolSpec(name=_PROBE, parameters={"type": "object", "properties": {_PROBE: parameter}})
        asked = [{"role": "user", "content": "question"}]
        shown = [self._probed(turns, (tool,)) for turns in (asked, [{"role": "system", "content": "be kind"}, *asked])]
        return any(_PROBE in text for text in shown) or not all(shown) or not self._shows_calls

    def _call_example(self, tool: ToolSpec) -> str:
        asked = [self._turn(Message(role="user", content="question"), self._call_style)]
        call = self._turn(Message(role="assistant", tool_calls=(example_call(tool),)), self._call_style)
        before, beginning = (self._probed(asked, asks=asks) for asks in (False, True))
        return call_text(before, beginning, self._probed([*asked, call], asks=False), self._eos_token)

    def _shows_call(
        self, style: _CallStyle, probe: str, *, text: bool = False, call_id: str = "call00000", beside: str = ""
    ) -> bool:
        """Whether a call with `probe`, a member's name or the text of all arguments, is shown as JSON has it.

        `beside`: a member's name in a second call of the same turn, which is to be shown, too.
        """
        calls = [ToolCall(name="probe", arguments={probe: "value"}, id=call_id)]
        calls += [ToolCall(name="probe", arguments={beside: "value"}, id="call00001")] if beside else []
        turns = [
            Message(role="user", content="question"),
            Message(role="assistant", tool_calls=tuple(calls)),
            *(Message(role="tool", content="answer", tool_name="probe", tool_call_id=call.id) for call in calls),
        ]
        messages = [self._turn(turn, style) for turn in turns]
        if text:
            messages[1]["tool_calls"][0]["function"]["arguments"] = probe
        tools = (ToolSpec(name="probe", parameters={"type": "object", "properties": {}}),)
        shown = self._probed(messages, tools, asks=False)
        return probe in shown and beside in shown and f"'{probe}'" not in shown


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _tool(tool: ToolSpec) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
