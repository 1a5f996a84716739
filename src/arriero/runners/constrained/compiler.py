"""MaskCompiler: plans to masks for one vocabulary; compiled grammars are kept. It never runs on the engine's thread."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import threading
from collections import OrderedDict
from collections.abc import Callable

import llguidance
import msgspec

from arriero.core.constraint import AnswerPlan, CallForm, CallRules, HeldTool
from arriero.core.errors import InvalidRequest, UnsupportedFeature
from arriero.core.tokenizer import Tokenizer
from arriero.runners.constrained.lark import Grammar
from arriero.runners.constrained.marker import Marker
from arriero.runners.constrained.mask import AnswerMask, Program
from arriero.runners.constrained.vocabulary import Vocabulary

MAX_PROGRAMS = 128
MAX_PLAN_BYTES = 8_000_000  # of all kept ones together
# llguidance's own advice is an option that nobody here can set.
_ONE_OF = re.compile(r"oneOf constraints are not supported\..*", re.DOTALL)
_ONE_OF_ADVICE = (
    "oneOf cannot be held where its branches cannot be told apart: use anyOf, or objects that all have a required "
    "property, with another constant in each"
)
_JSON = ("json_object", "json_schema")
_EXCERPT = re.compile(r"\n\s*\d+ \|")
# An optional property is four items of a row: this is room for as many as schema.py lets through.
_LIMITS = llguidance.LLParserLimits(max_grammar_size=100_000, max_items_in_row=10_000, verbose_errors=False)


class _GrammarError(Exception):
    """llguidance refuses a grammar; the text is its reason."""


class MaskCompiler:
    """Implements core.constraint.MaskMaker for the vocabulary of `tokenizer`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary: Vocabulary | None = None
        self._lock = threading.Lock()  # of the vocabulary, the caches and the matchers in them
        self._programs: OrderedDict[bytes, Program] = OrderedDict()  # by their plans
        self._markers: dict[str, Marker] = {}
        self.compiled = 0  # plans that were not in the cache

    def prepare(self) -> None:
        """Read the vocabulary, which takes the longest; any thread. ValueError if llguidance cannot read it."""
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = Vocabulary(self._tokenizer)

    def compile(self, plan: AnswerPlan) -> AnswerMask | None:
        """See core.constraint.MaskMaker."""
        if plan.constraint is None and plan.calls is None:
            return None
        try:
            self.prepare()
        except ValueError as error:  # a vocabulary that llguidance cannot read
            if plan.constraint is None and plan.calls is not None and not plan.calls.demanded:
                return None
            raise UnsupportedFeature(f"the model's answers cannot be held to a form: {error}") from None
        assert self._vocabulary is not None
        program = self._kept(plan)
        return None if program == Program() else AnswerMask(self._vocabulary, program)

    def _kept(self, plan: AnswerPlan) -> Program:
        """The plan's program, compiled if it is not kept; its matchers are the caller's own."""
        key = msgspec.msgpack.encode(plan)
        with self._lock:
            known = self._programs.get(key)
            if known is not None:
                self._programs.move_to_end(key)
                return known.copy()
        made = self._made(plan)
        with self._lock:
            self.compiled += 1
            self._programs[key] = made
            while len(self._programs) > MAX_PROGRAMS or sum(map(len, self._programs)) > MAX_PLAN_BYTES:
                self._programs.popitem(last=False)
            return made.copy()

    def _made(self, plan: AnswerPlan) -> Program:
        param = "tools" if plan.constraint is None else plan.constraint.param
        try:
            program = self._program(plan)
        except (_GrammarError, ValueError) as error:
            raise InvalidRequest(f"{param} cannot be used: {error}", param=param) from None
        if plan.thinking is None or program == Program():
            return program
        assert self._vocabulary is not None
        opens, closes = plan.thinking
        control = self._vocabulary.control_token(opens)
        return dataclasses.replace(
            program,
            opens_thinking=opens.encode(),
            opens_control=-1 if control is None else control,
            closes_thinking=self._marker(closes),
            in_thinking=plan.in_thinking,
        )

    def _program(self, plan: AnswerPlan) -> Program:
        """Compile with closed objects; where that cannot be, with open ones; then without the tools that cannot."""
        with contextlib.suppress(_GrammarError, ValueError):
            return self._with(plan, plan.calls, close=True)
        try:
            return self._with(plan, plan.calls, close=False)
        except (_GrammarError, ValueError):
            if plan.calls is None:
                raise
            return self._with(plan, self._holdable(plan.calls), close=False)

    def _with(self, plan: AnswerPlan, calls: CallRules | None, *, close: bool) -> Program:
        """The grammar of the whole answer (the constraint, calls, or either), or of what a call's marker opens."""
        constraint = plan.constraint

        def fill(new: Grammar) -> None:
            if constraint is not None:
                new.add_answer(constraint)
            if calls is not None:
                new.add_calls(calls)

        if calls is not None and constraint is None and not calls.required:
            trigger = self._trigger(calls.form)
            if not trigger:
                if calls.demanded:
                    raise _GrammarError("this model's calls have no mark that tells them from text while they begin")
                return Program()
            grammar = self._grammar("SPACE calls", lambda new: new.add_calls(calls, trigger), close)
            strict = any(tool.strict for tool in calls.tools)
            return Program(call=grammar, opens_call=self._marker(trigger), parallel=calls.parallel, strict=strict)
        either = calls is not None and constraint is not None and not calls.required
        start = "answer | calls" if either else "answer" if calls is None else "calls"
        answer = self._grammar(start, fill, close)
        later = None if plan.thinking is None else self._grammar(f"SPACE ({start})", fill, close)
        own_space = constraint is not None and constraint.kind not in _JSON
        return Program(answer=answer, later=later, own_space=own_space)

    def _holdable(self, calls: CallRules) -> CallRules:
        """The rules with schemas that compile; a lax tool's that does not is any object, a strict one's is an error."""
        return msgspec.structs.replace(calls, tools=tuple(self._holdable_tool(calls, tool) for tool in calls.tools))

    def _holdable_tool(self, calls: CallRules, tool: HeldTool) -> HeldTool:
        alone = msgspec.structs.replace(calls, tools=(tool,))
        try:
            self._grammar("calls", lambda new: new.add_calls(alone), close=False)
        except (_GrammarError, ValueError) as error:
            if tool.strict:
                message = f"the parameters of tool {tool.name!r} cannot be held: {error}"
                raise InvalidRequest(message, param="tools") from None
            return msgspec.structs.replace(tool, parameters={})
        return tool

    def _grammar(self, start: str, fill: Callable[[Grammar], None], close: bool) -> llguidance.LLMatcher:
        assert self._vocabulary is not None
        new = Grammar(start, self._vocabulary.spell, close=close)
        fill(new)
        return self._compiled(new.text)

    def _compiled(self, text: str) -> llguidance.LLMatcher:
        """_GrammarError if `text` is no grammar, or not one that can be followed."""
        assert self._vocabulary is not None
        made = llguidance.LLMatcher(self._vocabulary.ll, text, log_level=0, limits=_LIMITS)
        if made.is_error():
            raise _GrammarError(_reason(made.get_error()))
        made.compute_bitmask()  # the first mask takes the longest, and shows grammars that nothing matches
        if made.is_error():
            raise _GrammarError("nothing can match it")
        return made

    def _trigger(self, form: CallForm) -> str:
        """What the model says first of a call: its first control token, or the text up to the first white space.

        Empty where calls have no mark: nothing tells them from an answer that is JSON.
        """
        assert self._vocabulary is not None
        head = (form.before + form.opens).lstrip()
        if len(head) < 3:  # a bracket
            return ""
        first = self._vocabulary.spell(head)[0]
        if isinstance(first, int):
            return next(head[:end] for end in range(1, len(head) + 1) if self._vocabulary.spell(head[:end]) == [first])
        return first.split()[0]

    def _marker(self, text: str) -> Marker:
        assert self._vocabulary is not None
        with self._lock:
            if text not in self._markers:
                self._markers[text] = Marker(self._vocabulary, text)
            return self._markers[text]


def _reason(error: str) -> str:
    """llguidance's reason without the excerpt of our own grammar that it shows below."""
    reason = _EXCERPT.split(error)[0].strip()
    place, found, rest = reason.partition("): ")
    if found and place.startswith("at "):
        reason = rest
    return _ONE_OF.sub(_ONE_OF_ADVICE, reason.removeprefix("failed to compile JSON schema: "))
