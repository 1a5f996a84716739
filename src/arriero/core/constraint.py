"""What an answer must look like: the client's constraint, how a model family writes calls, and both as one plan.

A plan is all that is needed to make a mask over tokens; who makes it knows no protocol and no template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

Kind = Literal["json_object", "json_schema", "regex", "choice", "grammar"]


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """What the whole answer must be.

    `schema` counts for json_schema, `choices` for choice, `source` for regex (Rust's syntax, from end to end) and
    grammar (Lark as llguidance reads it, or llama.cpp's GBNF). `param` is the client's name for it, for errors.
    """

    kind: Kind
    schema: Any = None
    source: str = ""
    choices: tuple[str, ...] = ()
    param: str = "format"


class ValueForm(msgspec.Struct, frozen=True, kw_only=True):
    """How the values of a call's arguments are written where they are neither JSON nor bare texts beside JSON.

    "python": Python's literals, and JSON. "marked": texts between the two marks of `text`, lists `[…,…]`, objects
    `{name:value,…}` with bare names in their order. "tags": bare texts up to the second mark of `text`, an object's
    members as the arguments are written, a list's as members called `item`.
    """

    kind: Literal["python", "marked", "tags"]
    text: tuple[str, str] = ("", "")
    item: str = ""


class MemberForm(msgspec.Struct, frozen=True, kw_only=True):
    """How a member of a call's arguments is written: `opens`, its name, `closes`, its value, `value_closes`.

    Texts stand bare, all else is JSON, unless `values` says otherwise; `text_closes` stands in for `closes` before
    texts, where that differs. With `values`, `between` stands between two members, and @KEY in `value_closes` for the
    member's name.
    """

    opens: str
    closes: str
    value_closes: str
    text_closes: str = ""
    between: str = ""
    values: ValueForm | None = None


class CallForm(msgspec.Struct, frozen=True, kw_only=True):
    """How a model family writes tool calls, as data for a grammar.

    All calls together are `before`, calls with `between` between two, `after`; a call is `opens`, `body`, `closes`. In
    `body`, @NAME stands for the tool's name, NAME for it as a JSON string, ARGUMENTS for the JSON object of arguments,
    MEMBERS for arguments written as `members` says, and @NUMBER for a number. White space is optional white space, but
    for a blank between a word and the next; control tokens may be written as text. An answer of nothing but calls may
    begin with thinking between the marks `thinks`.
    """

    body: str
    opens: str = ""
    closes: str = ""
    before: str = ""
    between: str = " "
    after: str = ""
    members: MemberForm | None = None
    thinks: tuple[str, str] | None = None


class HeldTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool whose calls are held to `parameters`; `strict`: a schema that cannot be held is an error."""

    name: str
    parameters: Any
    strict: bool = False


class CallRules(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls the answer may hold. `required`: it is nothing but calls; `parallel`: it may be more than one.

    `demanded`: where calls of this form cannot be held, the request is refused.
    """

    form: CallForm
    tools: tuple[HeldTool, ...]
    required: bool = False
    parallel: bool = True
    demanded: bool = False


class AnswerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How one answer is held.

    `thinking` are the tags around thinking, where the answer may hold some: it is free. `in_thinking`: the prompt ends
    inside of it. What follows is `constraint`, or calls by `calls`, or either where both are given. With `calls` that
    are not required and no constraint, the text is free up to a call's opening marker, and free again behind the call.
    """

    constraint: Constraint | None = None
    calls: CallRules | None = None
    thinking: tuple[str, str] | None = None
    in_thinking: bool = False


class TokenMask(Protocol):
    """One answer's constraint as a state over its tokens; it belongs to one sampler and one thread.

    It follows the tokens it is shown: more of them than last time, or fewer, it takes them up where it must.
    """

    def apply(self, logits: Any, tokens: Sequence[int], prompt_len: int) -> None:
        """Set what may not follow `tokens` to minus infinity; ConstraintFailed if nothing can be said any more."""

    def ends(self, tokens: Sequence[int], prompt_len: int, token: int) -> bool:
        """Whether nothing may follow once `token` stands behind `tokens`."""

    def carry(self) -> None:
        """Go on in a new sequence: what was answered so far is now a part of its prompt."""


class ConstraintFailed(Exception):
    """A mask cannot be computed: the grammar has become too complex. The text says what happened."""


class MaskMaker(Protocol):
    """Makes masks for one vocabulary. `compile` may take long; it may be called in several threads at once."""

    def compile(self, plan: AnswerPlan) -> TokenMask | None:
        """Return a fresh mask, None where the plan leaves all free; InvalidRequest says what is not supported."""
