"""A model's own Go template: messages, or a prompt with its suffix, to the prompt's text, as Ollama does it.

Source: template/template.go of Ollama 0.33. Templates that name `.Messages` get the whole conversation; older ones run
once a turn with `.System`, `.Prompt` and `.Response`, the last time up to `.Response`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from arriero.core.request import Message, ToolSpec
from arriero.text.go_template import nodes
from arriero.text.go_template.execution import RENDER_S, execute, guarded, run
from arriero.text.go_template.parser import parse
from arriero.text.limits import bounded
from arriero.text.ollama_values import message_values, tool_values
from arriero.text.template_traits import ThinkingTags, capabilities, thinking_tags, variables
from arriero.text.turns import merged

_PARTS = {"system": "System", "user": "Prompt", "assistant": "Response"}
_RESPONSE = nodes.Field(0, ("Response",))
_RESPONSE_ACTION = nodes.Action(0, nodes.Pipe(0, (), False, (nodes.Command(0, (_RESPONSE,)),)))


def collate(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """All system texts as one, and the messages with neighbours of one role merged; tools' results stay apart."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    return system, merged(messages)


class OllamaTemplate:
    """A parsed template. TemplateError, with Go's text, if `source` is none."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._template = parse(source)
        self._variables = variables(self._template)
        if not self._variables & {"messages", "response"}:
            root = nodes.Block((*self._template.root.nodes, _RESPONSE_ACTION))
            self._template = nodes.Template(source, root, self._template.defined)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the template offers: tools, insert, thinking."""
        return capabilities(self.source)

    @cached_property
    def thinking_tags(self) -> ThinkingTags:
        """What stands around thinking."""
        return thinking_tags(self._template)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] | None = None,
        *,
        think: bool | str | None = None,
        deadline_s: float = RENDER_S,
    ) -> str:
        """Return the prompt's text; TemplateError when the template fails, makes too much or takes too long.

        `think` None leaves `.IsThinkSet` false; True means the level medium, as Ollama has it.
        """
        thinking = _thinking(think)

        def work() -> str:
            system, turns = collate(messages)
            if "messages" not in self._variables:
                return self._turn_by_turn(turns, thinking)
            told = {"System": system, "Messages": message_values(turns), "Tools": tool_values(tools), "Response": ""}
            return run(self._template, {**told, **thinking})

        return guarded(work, deadline_s)

    def fill(self, prompt: str, suffix: str, *, think: bool | str | None = None, deadline_s: float = RENDER_S) -> str:
        """Return the text that asks for what stands between `prompt` and `suffix`."""
        if not prompt or not suffix:  # Ollama then renders no messages at all
            return self.render([], think=think, deadline_s=deadline_s)
        data = {"Prompt": prompt, "Suffix": suffix, "Response": "", **_thinking(think)}
        return execute(self._template, data, deadline_s=deadline_s)

    def _turn_by_turn(self, messages: Sequence[Message], thinking: dict[str, Any]) -> str:
        pieces: list[str] = []
        size = 0
        turn = {"System": "", "Prompt": "", "Response": ""}

        def go_on(template: nodes.Template) -> None:
            nonlocal size
            pieces.append(run(template, {**turn, **thinking}))
            size += len(pieces[-1])
            bounded(size)
            turn.update(System="", Prompt="", Response="")

        for message in messages:
            begins = {"system": ("Prompt", "Response"), "user": ("Response",)}.get(message.role, ())
            if any(turn[part] for part in begins):
                go_on(self._template)
            part = _PARTS.get(message.role)
            if part is not None:
                turn[part] = message.content
        go_on(self._until_response)
        return "".join(pieces)

    @cached_property
    def _until_response(self) -> nodes.Template:
        """The template without what comes behind its first `.Response`: the model goes on there."""
        return nodes.Template(self.source, _Cut().block(self._template.root), self._template.defined)


def _thinking(think: bool | str | None) -> dict[str, Any]:
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


class _Cut:
    """Copies nodes in order until a field named `.Response` was met, and nothing after it."""

    def __init__(self) -> None:
        self._met = False

    def block(self, block: nodes.Block) -> nodes.Block:
        kept = (self._node(node) for node in block.nodes)
        return nodes.Block(tuple(node for node in kept if node is not None))

    def _node(self, node: nodes.Node) -> nodes.Node | None:
        if self._met:
            return None
        if isinstance(node, nodes.Branch):  # its own pipeline is not looked at
            body = self.block(node.body)
            orelse = None if node.orelse is None or self._met else self.block(node.orelse)
            return nodes.Branch(node.position, node.kind, node.pipe, body, orelse)
        if isinstance(node, nodes.Action):
            pipe = self._pipe(node.pipe)
            return None if pipe is None else nodes.Action(node.position, pipe)
        return node

    def _pipe(self, pipe: nodes.Pipe) -> nodes.Pipe | None:
        commands = []
        for command in pipe.commands:
            args = tuple(kept for arg in command.args if (kept := self._operand(arg)) is not None)
            if not args:
                return None
            commands.append(nodes.Command(command.position, args))
        return nodes.Pipe(pipe.position, pipe.declared, pipe.assigns, tuple(commands))

    def _operand(self, operand: nodes.Operand) -> nodes.Operand | None:
        if isinstance(operand, nodes.Field) and "Response" in operand.names:
            self._met = True
            return operand
        if self._met:
            return None
        return self._pipe(operand) if isinstance(operand, nodes.Pipe) else operand
