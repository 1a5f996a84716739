"""Which tags stand around the thinking in an answer: for whoever splits the text, and for whoever constrains it."""

from __future__ import annotations

from arriero.core.errors import TemplateError
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.text.go_template.parser import parse
from arriero.text.jinja_traits import jinja_thinking_tags
from arriero.text.template_traits import ThinkingTags, thinking_tags
from arriero.text.thinking import CLOSE, OPEN


def answer_tags(spec: ModelSpec, request: GenerateRequest) -> ThinkingTags:
    """The tags by the model's template, or the request's; none where nothing is split."""
    if request.raw or request.prompt_tokens is not None or "thinking" not in spec.capabilities:
        return ThinkingTags()
    if not spec.uses_go_template and request.template is None:
        if spec.chat_template is None:
            return ThinkingTags(OPEN, CLOSE)
        return jinja_thinking_tags(spec.chat_template)
    if request.think is False:  # as Ollama has it: what then looks like thinking is answer
        return ThinkingTags()
    own = spec.go_template if spec.uses_go_template else None
    found = (_tags_of(source) for source in (request.template, own) if source is not None)
    return next((tags for tags in found if tags), ThinkingTags())


def _tags_of(source: str) -> ThinkingTags:
    try:
        return thinking_tags(parse(source))
    except TemplateError:  # the worker says so
        return ThinkingTags()
