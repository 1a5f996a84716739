"""Runs a parsed template over its data, with Go's semantics, errors and option missingkey=zero. Every node is a step.

Go writes what came before an error; here there is the whole text or an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from arriero.core.errors import TemplateError
from arriero.text.go_template import nodes
from arriero.text.go_template.evaluation import Evaluator, Variables
from arriero.text.go_template.printing import printable, sprint
from arriero.text.go_template.quoting import quote, to_bytes
from arriero.text.go_template.values import entry, is_true, item, unboxed
from arriero.text.limits import LimitExceeded, TimeUp, bounded, step, time_limit

MAX_CALLS = 100  # templates within templates
RENDER_S = 2.0

_Signal = Literal["break", "continue"] | None


def execute(template: nodes.Template, data: dict[str, Any], *, deadline_s: float = RENDER_S) -> str:
    """Return the text; TemplateError with Go's words, or when it takes too long or makes too much."""
    return guarded(lambda: run(template, data), deadline_s)


def guarded(work: Callable[[], str], deadline_s: float) -> str:
    """Bound the steps and the time of every `run` in `work` together; what they exceed is a TemplateError."""
    try:
        with time_limit(deadline_s):
            return work()
    except TimeUp:
        raise TemplateError(f"template: the template took longer than {deadline_s:g} s") from None
    except LimitExceeded as limit:
        raise TemplateError(f"template: the template was stopped: {limit}") from None
    except RecursionError:
        raise TemplateError("template: the template is nested too deep") from None
    except MemoryError:
        raise TemplateError("template: the template needs too much memory") from None
    except TemplateError:
        raise
    except Exception as error:  # a fault of ours must not end the worker
        raise TemplateError(f"template: the template failed: {type(error).__name__}: {error}") from error


def run(template: nodes.Template, data: dict[str, Any]) -> str:
    """Return the text; only inside `guarded`."""
    output = _Output()
    _Walker(template, "", output, Variables(data)).run(template.root, data)
    return output.text()


class _Output:
    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0

    def write(self, text: str) -> None:
        self._size += len(text)
        bounded(self._size)
        self._pieces.append(text)

    def text(self) -> str:
        text = "".join(self._pieces)
        try:
            text.encode()
        except UnicodeEncodeError:  # strings were cut within characters; what of them still fits together is one
            return to_bytes(text).decode("utf-8", "replace")
        return text


@dataclass(slots=True)
class _Walker:
    """Walks one template; a call of another has a walker of its own, which sees none of these variables."""

    template: nodes.Template
    name: str
    output: _Output
    variables: Variables
    depth: int = 0
    values: Evaluator = field(init=False)

    def __post_init__(self) -> None:
        self.values = Evaluator(self.template, self.name, self.variables)

    def run(self, block: nodes.Block, dot: Any) -> _Signal:
        """Walk a block; tell whether it ended in a break or continue."""
        for node in block.nodes:
            step()
            signal = self._node(node, dot)
            if signal is not None:
                return signal
        return None

    def _node(self, node: nodes.Node, dot: Any) -> _Signal:
        match node:
            case nodes.Text():
                self.output.write(node.text)
            case nodes.Action():
                value = self.values.pipeline(node.pipe, dot)
                if not node.pipe.declared:
                    self.output.write(value if isinstance(value, str) else sprint([printable(value)]))
            case nodes.Branch():
                mark = self.variables.mark()
                signal = self._range(node, dot) if node.kind == "range" else self._choice(node, dot)
                self.variables.release(mark)
                return signal
            case nodes.Jump():
                return node.kind
            case nodes.Call():
                self._call(node, dot)
        return None

    def _choice(self, node: nodes.Branch, dot: Any) -> _Signal:
        value = self.values.pipeline(node.pipe, dot)
        if is_true(value):
            return self.run(node.body, value if node.kind == "with" else dot)
        return None if node.orelse is None else self.run(node.orelse, dot)

    def _range(self, node: nodes.Branch, dot: Any) -> _Signal:
        over = unboxed(self.values.pipeline(node.pipe, dot))
        empty = True
        for key, value in self._turns(node, over):
            step()
            empty = False
            mark = self.variables.mark()
            self._turn(node.pipe, key, value)
            signal = self.run(node.body, value)
            self.variables.release(mark)
            if signal == "break":
                return None
        if empty and node.orelse is not None:
            return self.run(node.orelse, dot)
        return None

    def _turns(self, node: nodes.Branch, over: Any) -> Any:
        """What range goes through: pairs of key and value."""
        if isinstance(over, list):
            return ((index, item(over, index)) for index in range(len(over)))
        if isinstance(over, dict):
            return ((key, entry(over, key)) for key in sorted(over))
        if isinstance(over, int) and not isinstance(over, bool):
            if len(node.pipe.declared) > 1:
                self.values.fail(f"can't use {over} to iterate over more than one variable")
            return ((None, number) for number in range(over))
        if over is None:
            return ()
        return self.values.fail(f"range can't iterate over {sprint([over])}")

    def _turn(self, pipe: nodes.Pipe, key: Any, value: Any) -> None:
        names = [variable.names[0] for variable in pipe.declared]
        if not names:
            return
        values = [value] if len(names) == 1 else [key, value]
        for name, one in zip(names, values, strict=True):
            self.values.keep(name, one, assigns=pipe.assigns)

    def _call(self, node: nodes.Call, dot: Any) -> None:
        self.values.place = node
        block = self.template.root if node.name == "" else self.template.defined.get(node.name)
        if block is None:
            self.values.fail(f"template {quote(node.name)} not defined")
        if self.depth >= MAX_CALLS:
            self.values.fail(f"exceeded maximum template depth ({MAX_CALLS})")
        inner = None if node.pipe is None else self.values.pipeline(node.pipe, dot)
        walker = _Walker(self.template, node.name, self.output, Variables(inner), self.depth + 1)
        walker.run(block, inner)
