"""Which of a model's templates is used: its own Go template, or the Jinja of its GGUF. Pure; the rule is Ollama's."""

from __future__ import annotations

import logging

import msgspec

from arriero.core.errors import TemplateError
from arriero.core.model import ModelSpec
from arriero.text.go_template.parser import parse
from arriero.text.template_traits import capabilities, has_tool_round_trip

log = logging.getLogger(__name__)
_FROM_TEMPLATES = ("tools", "insert", "thinking")
_ROLE_IS_TOOL = (
    *(f"role{close} == {mark}tool{mark}" for close in ("']", '"]') for mark in ("'", '"')),
    "message.role == 'tool'",
    'message.role == "tool"',
)


def choose_template(spec: ModelSpec, forced: bool | None = None) -> ModelSpec:
    """Return `spec` with the choice made, and with the capabilities that follow from it.

    A model's own template wins, unless the GGUF's can do more, or round trips of tools that it cannot. A model whose
    config names a renderer or parser of Ollama's was made for those; the GGUF's template comes nearest to them.
    `forced` (OLLAMA_GO_TEMPLATE) True or False leaves no choice where there is a Go template.
    """
    if spec.go_template is None:
        return spec
    try:
        offered = capabilities(spec.go_template)
    except TemplateError as error:
        log.warning("the template of model %s is no Go template: %s", spec.name, error.message)
        # Without another one, requests say what is wrong with it.
        return msgspec.structs.replace(spec, uses_go_template=not spec.chat_template)
    if not _uses_go(spec, offered, forced):
        return msgspec.structs.replace(spec, uses_go_template=False)
    kept = (one for one in spec.capabilities if one not in _FROM_TEMPLATES)
    return msgspec.structs.replace(spec, uses_go_template=True, capabilities=(*kept, *offered))


def check_template(source: str) -> None:
    """TemplateError with the text that Ollama's create has for a template that is none."""
    try:
        parse(source)
    except TemplateError as error:
        raise TemplateError(f"template error: {error.message}") from None


def _uses_go(spec: ModelSpec, offered: tuple[str, ...], forced: bool | None) -> bool:
    if forced is not None:
        return forced
    if not spec.chat_template:
        return True
    if spec.renderer or spec.parser:
        return False
    jinjas = [one for one in spec.capabilities if one in _FROM_TEMPLATES]
    jinja_round_trip, go_round_trip = _jinja_round_trip(spec.chat_template), has_tool_round_trip(spec.go_template or "")
    if len(jinjas) > len(offered):
        return go_round_trip and not jinja_round_trip
    same_with_tools = sorted(jinjas) == sorted(offered) and "tools" in offered
    return not (same_with_tools and jinja_round_trip and not go_round_trip)


def _jinja_round_trip(source: str) -> bool:
    """Whether a Jinja template shows calls and their results, too."""
    calls = "tool_calls" in source or "assistant_tool_call" in source
    results = ("tool_response", "tool_results", "ipython", *_ROLE_IS_TOOL)
    return calls and any(mark in source for mark in results)
