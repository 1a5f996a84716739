"""From a request to how its answer is held: the client's constraint, behind the thinking that the template allows."""

from __future__ import annotations

from arriero.core.constraint import AnswerPlan
from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest
from arriero.text.answer_tags import answer_tags
from arriero.worker.prompt import Prompt


class Plans:
    """Makes the plans for one loaded model."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def plan(self, request: GenerateRequest, prompt: Prompt) -> AnswerPlan | None:
        """The plan, None where nothing is held. UnsupportedFeature for what the model's template cannot be held to."""
        if request.constraint is None:
            return None
        tags = answer_tags(self._spec, request)
        thinks = bool(tags) and (prompt.opens_thinking or request.think is not False)
        return AnswerPlan(
            constraint=request.constraint,
            thinking=(tags.opens, tags.closes) if thinks else None,
            in_thinking=prompt.opens_thinking,
        )
