"""A model family as one object: how its calls look, which templates ask for them, and who finds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from arriero.core.request import ToolCall
from arriero.text.tool_calls.base import Envelope, ToolCallParser
from arriero.text.tool_calls.reads import Members
from arriero.text.tool_calls.repair import Repairer
from arriero.text.tool_calls.sections import Rule, SectionParser
from arriero.text.tool_calls.strays import STRAYS


@dataclass(frozen=True, slots=True)
class Family:
    """`matches` tells of a Jinja template's source whether it asks for calls in this family's notation.

    `envelope` says as data how a call is written. `rules`, `before`, `after` and `skips` are SectionParser's; a family
    with a parser of its own gives `make`, one with a notation of its own `writes`. `markers` are further texts that
    may be special tokens and must be seen. `answer_opens` is what the text of an answer stands behind, in families
    whose answers are messages with heads.
    """

    name: str
    envelope: Envelope
    matches: Callable[[str], bool]
    rules: tuple[Rule, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    make: Callable[[Repairer], ToolCallParser] | None = None
    writes: Callable[[Sequence[ToolCall]], str] | None = None
    more_markers: tuple[str, ...] = field(default=())
    splits_thinking: bool = False
    answer_opens: str = ""

    def parser(self, repairer: Repairer) -> ToolCallParser:
        """A parser for one answer."""
        if self.make is not None:
            return self.make(repairer)
        rules = self.rules
        if repairer.mode != "off":
            known = {*(rule.opens for rule in rules), *self.before, *self.after, *self.skips}
            rules += tuple(rule for rule in STRAYS if rule.opens not in known)
        for rule in rules:
            if isinstance(rule.read, Members):
                rule.read.prepare()
        return SectionParser(rules, repairer, before=self.before, after=self.after, skips=self.skips)

    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of `calls`, as a model of this family writes them."""
        return self.writes(calls) if self.writes is not None else self.envelope.write(calls)

    @property
    def markers(self) -> tuple[str, ...]:
        """All texts that a parser looks for: tokens that stand for them must come with their text."""
        found = [mark for rule in self.rules for mark in (rule.opens, *rule.closes, *rule.stops)]
        return tuple(dict.fromkeys([*found, *self.before, *self.after, *self.skips, *self.more_markers]))
