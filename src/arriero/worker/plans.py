"""From a request to how its answer is held: the client's constraint and its tools, by the model's template."""

from __future__ import annotations

from functools import cached_property

from arriero.core.constraint import AnswerPlan, CallForm, CallRules, HeldTool, MemberForm
from arriero.core.errors import UnsupportedFeature
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.text.answer_tags import answer_tags
from arriero.text.go_template.parser import parse
from arriero.text.template_traits import tool_call_tag
from arriero.text.tool_calls import FAMILIES, Envelope, Family, choose
from arriero.worker.prompt import Prompt

_BODIES = {
    "parameters": "@NAME{between}MEMBERS",
    "json": '{{ "{name}" : NAME , "{arguments}" : ARGUMENTS }}',
    "list": '{{ "{name}" : NAME , "{arguments}" : ARGUMENTS }}',
    "named": "@NAME{between}ARGUMENTS",
}


def call_form(envelope: Envelope) -> CallForm | None:
    """The envelope of a model family as a grammar's form; None for notations that none is known of."""
    body = envelope.body
    if not body and envelope.shape in _BODIES:
        body = _BODIES[envelope.shape].format(
            name=envelope.name_key, arguments=envelope.arguments_key, between=envelope.between
        )
    if not body:
        return None
    opens, closes, value_closes = envelope.parameter
    text_closes = envelope.text_key_closes
    members = MemberForm(
        opens=opens,
        closes=closes,
        value_closes=value_closes,
        text_closes=text_closes,
        between=envelope.member_separator,
        values=envelope.values,
    )
    if envelope.shape == "list":
        before, after = envelope.before + envelope.opens, envelope.closes + envelope.after
        return CallForm(body=body, before=f"{before}[ ", between=" , ", after=f" ]{after}")
    return CallForm(
        body=body,
        opens=envelope.body_opens or envelope.opens,
        closes=envelope.closes,
        before=envelope.before,
        between=envelope.separator or " ",
        after=envelope.after,
        members=members if "MEMBERS" in body else None,
        thinks=envelope.thinks,
    )


class Plans:
    """Makes the plans for one loaded model; `jinja` is the template in use where it is no Go template.

    With `hold_calls`, a call that was opened is held to its tool's schema; a strict tool's always is.
    """

    def __init__(self, spec: ModelSpec, jinja: str | None, *, hold_calls: bool = True) -> None:
        self._spec, self._jinja, self._hold_calls = spec, jinja, hold_calls

    def plan(self, request: GenerateRequest, prompt: Prompt) -> AnswerPlan | None:
        """The plan, None where nothing is held. UnsupportedFeature for what the model's template cannot be held to."""
        calls = self._calls(request)
        if request.constraint is None and calls is None:
            return None
        constraint = None if request.must_call else request.constraint
        if calls is not None and calls.required and calls.form.thinks is not None:
            return AnswerPlan(calls=calls)  # its form says where the thinking is
        if self._family.splits_thinking and not request.raw and request.prompt_tokens is None:
            if not self._family.answer_opens:
                raise UnsupportedFeature(f"answers of {request.model} cannot be held to a form", param="model")
            thinking = ("", self._family.answer_opens)  # all that stands before the answer counts as thinking
            return AnswerPlan(constraint=constraint, calls=calls, thinking=thinking, in_thinking=True)
        tags = answer_tags(self._spec, request)
        thinks = bool(tags) and (prompt.opens_thinking or request.think is not False)
        return AnswerPlan(
            constraint=constraint,
            calls=calls,
            thinking=(tags.opens, tags.closes) if thinks else None,
            in_thinking=prompt.opens_thinking,
        )

    def thinking(self, request: GenerateRequest) -> tuple[str, str] | None:
        """The tags around the thinking that the answer may hold, None if it holds none."""
        tags = answer_tags(self._spec, request)
        return (tags.opens, tags.closes) if tags else None

    def _calls(self, request: GenerateRequest) -> CallRules | None:
        if not request.tools or request.raw or request.prompt_tokens is not None:
            return None
        names = request.callable_tools
        tools = [tool for tool in request.tools if names is None or tool.name in names]
        param = self._demand(request)
        if param is None and not self._hold_calls:
            return None
        form = self._form
        if self._family.splits_thinking and not request.must_call:
            form = None  # an answer's heads may say that it is no call
        if form is None:
            if param is None:
                return None
            raise UnsupportedFeature(
                f"how {request.model} writes tool calls cannot be held to a grammar, so {param!r} cannot be honoured",
                param=param,
            )
        held = tuple(HeldTool(name=tool.name, parameters=tool.parameters, strict=tool.strict) for tool in tools)
        return CallRules(
            form=form,
            tools=held,
            required=request.must_call,
            parallel=request.parallel_tool_calls,
            demanded=param is not None,
        )

    @staticmethod
    def _demand(request: GenerateRequest) -> str | None:
        """The field for which the request cannot do without a grammar of calls; None if it can."""
        if request.must_call or request.callable_tools is not None:
            return "tool_choice"
        if request.constraint is not None:
            return request.constraint.param
        return "tools" if any(tool.strict for tool in request.tools) else None

    @cached_property
    def _family(self) -> Family:
        return choose((self._spec.go_template if self._spec.uses_go_template else self._jinja) or "")

    @cached_property
    def _form(self) -> CallForm | None:
        if not self._spec.uses_go_template:
            return call_form(self._family.envelope)
        tag = tool_call_tag(parse(self._spec.go_template or ""))
        envelopes = (family.envelope for family in FAMILIES if family.writes is None)
        begins = (one for one in envelopes if (one.before + one.opens).strip() == tag)
        return next((form for form in map(call_form, begins) if form is not None and form.members is None), None)
