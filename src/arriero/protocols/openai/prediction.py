"""OpenAI's `prediction`: text that the answer is expected to repeat, so that it can come sooner."""

from __future__ import annotations

from typing import Any

from arriero.core.errors import InvalidRequest

_PARTS = "'prediction.content' must be a string or a list of text parts"


def read_prediction(given: Any) -> str | None:
    """Return the predicted text, None where nothing is `given`. InvalidRequest for what is no prediction."""
    if given is None:
        return None
    if not isinstance(given, dict) or given.get("type") != "content":
        raise InvalidRequest("'prediction' must be an object with the type 'content'", param="prediction")
    content = given.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(_PARTS, param="prediction.content")
    texts: list[str] = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise InvalidRequest(_PARTS, param="prediction.content")
        texts.append(part["text"])
    return "".join(texts)
