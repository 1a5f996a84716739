"""The Jinja environment that chat templates run in: Hugging Face's dialect, sandboxed, its work metered.

Every loop turn, call, filter, operator and printed value passes a hook that counts it and looks at sizes (limits.py).
It knows nothing of messages or models.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TypeVar, cast

import jinja2
from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from arriero.core.errors import TemplateError
from arriero.text.limits import (
    MAX_BITS,
    MAX_CHARS,
    MAX_ITEMS,
    MAX_WIDTH,
    METHOD_CHECKS,
    LimitExceeded,
    TimeUp,
    bounded,
    check_format,
    check_join,
    check_replace,
    check_width,
    made,
    step,
    time_limit,
    weigh,
    weigh_compared,
)

# Filters whose work is one call into C, on all that they are given at once.
_WHOLE = frozenset("string join pprint sum sort unique groupby dictsort min max".split())
_COMPARING = frozenset("== eq equalto != ne > gt greaterthan >= ge < lt lessthan <= le in".split())


def _guard(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a filter: a step each time, no huge numbers as arguments, no huge values out."""

    @functools.wraps(original)  # keeps the marks by which Jinja passes context or environment
    def guarded(*args: Any, **kwargs: Any) -> Any:
        step()
        if name in _WHOLE:
            args = tuple(_listed(arg) for arg in args)
        for arg in (*args[1:], *kwargs.values()):
            if isinstance(arg, int) and abs(arg) > MAX_WIDTH and name != "default":
                raise LimitExceeded(f"a number over {MAX_WIDTH} given to the filter {name}")
        texts = [arg for arg in args if isinstance(arg, str)]
        if name in ("center", "indent") and texts:
            check_width(texts[0], *[arg for arg in args if arg is not texts[0]], *kwargs.values())
        elif name == "replace" and len(texts) == 3:
            check_replace(*texts)
        elif name == "format" and texts:
            check_format(texts[0], *args[1:], *kwargs.values())
        elif name in _WHOLE:
            for arg in args:
                weigh(arg)
            if name == "join" and len(texts) == 1:
                check_join(texts[0], *[arg for arg in args if isinstance(arg, (list, tuple))][:1])
        value = original(*args, **kwargs)
        if isinstance(value, (str, list, dict)):
            weigh(value)
            made(value)
        return value

    return guarded


def _listed(value: Any) -> Any:
    """A generator's items as a list, taken where a signal is heard."""
    return list(value) if isinstance(value, Iterator) else value


def _guard_test(original: Any) -> Callable[..., Any]:
    def guarded(*args: Any) -> Any:
        for arg in args:
            weigh_compared(arg)
        return original(*args)

    return guarded


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as Hugging Face's templates expect it: no HTML escapes, keys in the order they came."""
    if isinstance(indent, int) and indent > 16:
        raise LimitExceeded("an indentation over 16")
    # `tools | map(attribute="function") | tojson` hands over a generator; templates in use do that.
    plain = _listed(value)
    weigh(plain)
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    if indent is None:
        return encoder.encode(plain)
    pieces: list[str] = []
    size = 0
    for piece in encoder.iterencode(plain):  # deep inside, a line is more indentation than text
        size += len(piece)
        bounded(size)
        pieces.append(piece)
    return "".join(pieces)


def _concat(parts: Any) -> str:
    """`~`, with its sizes looked at first."""
    texts = []
    for part in parts:
        weigh(part)
        texts.append(str(part))
    bounded(sum(map(len, texts)))
    text = "".join(texts)
    made(text)
    return text


def _built(value: Any) -> Any:
    step()
    weigh(value)
    return value


def _sliced(value: Any) -> Any:
    step()
    made(value)
    return value


def _compared(value: Any) -> Any:
    weigh_compared(value)
    return value


def _searched(value: Any) -> Any:
    if not isinstance(value, dict):  # it is only asked for a key
        weigh_compared(value)
    return value


@pass_context  # asking for the context also keeps the compiler from folding constants
def _printed(context: Context, value: Any) -> Any:
    step()
    weigh(value)
    return value


def _each(items: Any) -> Iterator[Any]:
    for item in items:
        step()
        yield item


def _raise_exception(message: str) -> None:
    raise TemplateRefusal(str(message))


class TemplateRefusal(Exception):
    """The template called `raise_exception`: its own words on why it cannot render these messages."""


def _strftime_now(layout: str) -> str:
    check_format(layout)
    return datetime.now().strftime(layout)


# Jinja's compiler adds these to each call inside a loop or block; Context.call takes them off again.
_COMPILER_KEYS = ("_loop_vars", "_block_vars")


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}` marks training targets; here it is its body."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own declaration is like this

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Hugging Face's environment for chat templates, metered."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        # Folding constants would do a template's work while compiling it, where nothing meters it.
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,
            finalize=_printed,
            extensions=[_Generation, loopcontrols],
        )
        self.filters = {name: _guard(name, function) for name, function in self.filters.items()}
        self.filters.update(tojson=_guard("tojson", _tojson), _concat=_concat, _each=_each, _built=_built)
        self.filters.update(_sliced=_sliced, _compared=_compared, _searched=_searched)
        self.tests.update({name: _guard_test(self.tests[name]) for name in _COMPARING})
        del self.globals["lipsum"]
        self.globals["raise_exception"] = _raise_exception
        self.globals["strftime_now"] = _strftime_now
        self.concat = self._join  # type: ignore[method-assign]  # jinja2 calls what the instance has

    def _join(self, parts: Any) -> str:
        texts = list(parts)
        bounded(sum(map(len, texts)))
        text = "".join(texts)
        made(text)
        return text

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        metered: nodes.Template = _Metered().visit(tree)
        return metered

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Beside what is always safe, let lists grow and shrink: Kimi K2's template keeps a queue of call ids so.

        Whoever renders hands over copies where it matters; `append` is a call, and calls are counted.
        """
        if isinstance(obj, list) and attr in ("append", "pop"):
            return True
        if attr in ("encode", "to_bytes"):  # bytes have none of the hooks that texts have, and nobody prints them
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuse a result that is too large before it is made."""
        step()
        if operator == "%" and isinstance(left, str):
            check_format(left, *(right if isinstance(right, tuple) else (right,)))
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * max(right, 0) > MAX_BITS:
                raise LimitExceeded("a power of more than a thousand digits")
        elif operator == "*":
            if isinstance(left, int) and isinstance(right, int):
                weigh(left)
                weigh(right)
            for many, times in ((left, right), (right, left)):
                if isinstance(many, (str, list, tuple)) and isinstance(times, int):
                    bound = MAX_CHARS if isinstance(many, str) else MAX_ITEMS
                    if len(many) * times > bound:
                        raise LimitExceeded(f"a repetition of more than {bound}")
        elif operator == "+" and isinstance(left, str) and isinstance(right, str):
            bounded(len(left) + len(right))
        value = super().call_binop(context, operator, left, right)
        if isinstance(value, (list, tuple)) and len(value) > MAX_ITEMS:
            raise LimitExceeded(f"a list of more than {MAX_ITEMS} items")
        made(value)
        return value

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Count the call, and look at what a text's method is about to make."""
        step()
        text = getattr(__obj, "__self__", None)
        if text is None:  # the sandbox wraps str.format; its name and owner are kept by update_wrapper
            text = getattr(getattr(__obj, "__wrapped__", None), "__self__", None)
        name = getattr(__obj, "__name__", "")
        check = METHOD_CHECKS.get(name)
        if check is not None and isinstance(text, str):
            args = tuple(_listed(arg) for arg in args)
            check(text, *args, **{key: value for key, value in kwargs.items() if key not in _COMPILER_KEYS})
        elif name in ("count", "index") and isinstance(text, (list, tuple)):
            weigh_compared(text)
            weigh_compared(args)
        value = super().call(__context, __obj, *args, **kwargs)
        if isinstance(value, (str, list, dict)):
            weigh(value)
            made(value)
        return value


def _is_plain(node: nodes.Node) -> bool:
    if isinstance(node, (nodes.List, nodes.Tuple)):
        return all(map(_is_plain, node.items))
    return isinstance(node, nodes.Const)


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


class _Metered(NodeTransformer):
    """Sends loops, `~` and nested literals through the hooks, for which the sandbox itself has none."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        self.generic_visit(node)
        node.iter = _through("_each", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        parts = nodes.Tuple(node.nodes, "load", lineno=node.lineno)
        return _through("_concat", parts)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        return _through("_sliced", node) if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        if len(node.ops) == 1 and any(map(_is_plain, (node.expr, *(operand.expr for operand in node.ops)))):
            return node  # what is compared with a plain value is compared at once
        node.expr = _through("_compared", node.expr)
        for operand in node.ops:
            operand.expr = _through("_searched" if operand.op in ("in", "notin") else "_compared", operand.expr)
        return node

    def visit_List(self, node: nodes.List) -> nodes.Node:
        return self._literal(node, node.items)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        return self._literal(node, node.items) if node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        return self._literal(node, [pair.value for pair in node.items])

    def _literal(self, node: nodes.Expr, inner: list[nodes.Expr]) -> nodes.Node:
        self.generic_visit(node)
        # A list that holds a variable may hold itself, doubled, in the next turn: weigh what is not plain.
        return node if all(isinstance(item, nodes.Const) for item in inner) else _through("_built", node)


_T = TypeVar("_T")


def guarded(work: Callable[[], _T], deadline_s: float) -> _T:
    """Run `work` under the deadline; whatever goes wrong in a template is a TemplateError."""
    try:
        with time_limit(deadline_s):
            return work()
    except TimeUp:
        raise TemplateError(f"the chat template took longer than {deadline_s:g} s") from None
    except TemplateRefusal as refusal:
        raise TemplateError(f"the chat template refuses these messages: {refusal}") from None
    except LimitExceeded as limit:
        raise TemplateError(f"the chat template was stopped: {limit}") from None
    except SecurityError as security:
        raise TemplateError(f"the chat template tried what it may not: {security}") from None
    except jinja2.TemplateSyntaxError as syntax:
        raise TemplateError(f"the chat template does not compile: line {syntax.lineno}: {syntax}") from None
    except RecursionError:
        raise TemplateError("the chat template is nested too deep") from None
    except MemoryError:
        raise TemplateError("the chat template needs too much memory") from None
    except Exception as error:  # a template can raise whatever Python's operators raise
        raise TemplateError(f"the chat template failed: {type(error).__name__}: {error}") from error
