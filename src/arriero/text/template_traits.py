"""What a Go template shows of its model without being run: variables, abilities, thinking tags, tool-call tag.

The rules are Ollama's (reference: templates): clients and models rely on the same guesses. It executes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from arriero.text.go_template import nodes
from arriero.text.go_template.parser import parse


class ThinkingTags(NamedTuple):
    """What stands around a model's thinking; both empty where the template has none."""

    opens: str = ""
    closes: str = ""

    def __bool__(self) -> bool:
        return bool(self.opens and self.closes)


def variables(template: nodes.Template) -> frozenset[str]:
    """The names of all fields and variables that the template reads, lower case."""
    return frozenset(
        name.lower() for block in (template.root, *template.defined.values()) for name in _block_names(block)
    )


def _block_names(block: nodes.Block | None) -> Iterator[str]:
    for node in block.nodes if block is not None else ():
        if isinstance(node, (nodes.Action, nodes.Branch, nodes.Call)) and node.pipe is not None:
            yield from _pipe_names(node.pipe)
        if isinstance(node, nodes.Branch):
            yield from _block_names(node.body)
            yield from _block_names(node.orelse)


def _pipe_names(pipe: nodes.Pipe) -> Iterator[str]:
    for command in pipe.commands:
        for arg in command.args:
            if isinstance(arg, nodes.Pipe):
                yield from _pipe_names(arg)
            elif isinstance(arg, (nodes.Field, nodes.Variable)):
                yield from arg.names


def capabilities(source: str) -> tuple[str, ...]:
    """What the template can express besides plain turns: tools, insert, thinking. TemplateError if it is none."""
    template = parse(source)
    names = variables(template)
    found = [ability for variable, ability in (("tools", "tools"), ("suffix", "insert")) if variable in names]
    return (*found, "thinking") if thinking_tags(template) else tuple(found)


def has_tool_round_trip(source: str) -> bool:
    """Whether the template shows calls and their results, too."""
    marks = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
    return {"tools", "toolcalls"} <= variables(parse(source)) and any(mark in source for mark in marks)


def thinking_tags(template: nodes.Template) -> ThinkingTags:
    """The first and last text of the block around `.Thinking`, in a range over `.Messages`; the last such block's."""
    tags = ThinkingTags()
    for block in _thinking_blocks(template.root, False):
        first, last = block.nodes[0], block.nodes[-1]
        opens = first.text.strip() if isinstance(first, nodes.Text) else tags.opens
        closes = last.text.strip() if isinstance(last, nodes.Text) else tags.closes
        tags = ThinkingTags(opens, closes)
    return tags


def _thinking_blocks(block: nodes.Block, in_messages: bool) -> Iterator[nodes.Block]:
    """Each block that names `.Thinking` itself, as often as it does; `in_messages`: the nearest range is over them."""
    for node in block.nodes:
        if isinstance(node, (nodes.Action, nodes.Branch, nodes.Call)) and node.pipe is not None:
            inside = in_messages
            if isinstance(node, nodes.Branch) and node.kind == "range":
                inside = "Messages" in _leading_fields(node.pipe)
            if inside:
                yield from (block for name in _leading_fields(node.pipe) if name == "Thinking")
            if isinstance(node, nodes.Branch):
                yield from _thinking_blocks(node.body, inside)
                yield from _thinking_blocks(node.orelse or nodes.Block(()), inside)


def _leading_fields(pipe: nodes.Pipe) -> list[str]:
    """The first name of every field in a pipeline."""
    found = []
    for command in pipe.commands:
        for arg in command.args:
            if isinstance(arg, nodes.Pipe):
                found += _leading_fields(arg)
            elif isinstance(arg, nodes.Field):
                found.append(arg.names[0])
    return found


def tool_call_tag(template: nodes.Template) -> str:
    """What a call begins with: the first text in `if .ToolCalls`, up to a brace; the brace itself if there is none."""
    branch = _tool_calls_branch(template.root)
    text = None if branch is None else _first_text(branch.body)
    tag = "" if text is None else text.replace("\r\n", "\n").partition("{")[0].strip()
    return tag or "{"


def _tool_calls_branch(block: nodes.Block) -> nodes.Branch | None:
    for node in block.nodes:
        if not isinstance(node, nodes.Branch):
            continue
        if node.kind == "if" and any(
            isinstance(arg, nodes.Field) and "ToolCalls" in arg.names
            for command in node.pipe.commands
            for arg in command.args
        ):
            return node
        found = _tool_calls_branch(node.body)
        if found is None and node.orelse is not None:
            found = _tool_calls_branch(node.orelse)
        if found is not None:
            return found
    return None


def _first_text(block: nodes.Block) -> str | None:
    """The first text that is more than white space, looking into the first action's branches and no further."""
    for node in block.nodes:
        if isinstance(node, nodes.Text):
            if node.text.strip():
                return node.text
        elif isinstance(node, nodes.Branch):
            found = _first_text(node.body)
            return _first_text(node.orelse) if found is None and node.orelse is not None else found
        elif isinstance(node, nodes.Action):
            return None
    return None
