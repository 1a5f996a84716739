"""A parsed template as a tree of frozen nodes. `str(node)` is Go's way of writing it, which errors quote.

`position` counts characters from the beginning of the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from arriero.text.go_template.quoting import quote, to_bytes


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text between actions, already trimmed."""

    position: int
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field:
    """`.A.B`"""

    position: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable:
    """`$`, `$x` or `$x.A.B`; the first name keeps its dollar sign."""

    position: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Chain:
    """Fields of something else: `(pipeline).A.B`."""

    position: int
    of: Operand
    names: tuple[str, ...]

    def __str__(self) -> str:
        of = f"({self.of})" if isinstance(self.of, Pipe) else str(self.of)
        return of + "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A function's name."""

    position: int
    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Dot:
    """`.`"""

    position: int

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil:
    """`nil`"""

    position: int

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; `source` is how it was written, `value` a str, bool, int or float."""

    position: int
    source: str
    value: str | bool | int | float

    def __str__(self) -> str:
        return self.source


@dataclass(frozen=True, slots=True)
class Command:
    """An operand, or a function with its arguments."""

    position: int
    args: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(frozen=True, slots=True)
class Pipe:
    """Commands that feed each other, and the variables that take the result."""

    position: int
    declared: tuple[Variable, ...]
    assigns: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        names = ", ".join(map(str, self.declared))
        target = f"{names} {'=' if self.assigns else ':='} " if self.declared else ""
        return target + " | ".join(map(str, self.commands))


@dataclass(frozen=True, slots=True)
class Action:
    """`{{pipeline}}`"""

    position: int
    pipe: Pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes one after another: a body."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))


@dataclass(frozen=True, slots=True)
class Branch:
    """`if`, `with` or `range`, with what comes behind its `else`."""

    position: int
    kind: Literal["if", "with", "range"]
    pipe: Pipe
    body: Block
    orelse: Block | None

    def __str__(self) -> str:
        orelse = "" if self.orelse is None else f"{{{{else}}}}{self.orelse}"
        return f"{{{{{self.kind} {self.pipe}}}}}{self.body}{orelse}{{{{end}}}}"


@dataclass(frozen=True, slots=True)
class Jump:
    """`break` or `continue`."""

    position: int
    kind: Literal["break", "continue"]

    def __str__(self) -> str:
        return f"{{{{{self.kind}}}}}"


@dataclass(frozen=True, slots=True)
class Call:
    """`{{template "name" pipeline}}`; a block is a definition and a call."""

    position: int
    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        return f"{{{{template {quote(self.name)}{'' if self.pipe is None else f' {self.pipe}'}}}}}"


Operand = Field | Variable | Chain | Identifier | Dot | Nil | Constant | Pipe
Node = Text | Action | Branch | Jump | Call


@dataclass(frozen=True, slots=True)
class Template:
    """A whole template: its root, the templates that it defines, and its source."""

    source: str
    root: Block
    defined: Mapping[str, Block]

    def location(self, position: int) -> str:
        """Line, and byte in the line, as Go's errors tell them."""
        before = self.source[:position]
        start = before.rfind("\n") + 1
        return f":{before.count(chr(10)) + 1}:{len(to_bytes(before[start:]))}"
