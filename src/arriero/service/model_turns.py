"""What a Modelfile's SYSTEM and MESSAGE lines add to a request, whichever protocol it came by. Pure."""

from __future__ import annotations

import msgspec

from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message


def with_model_turns(spec: ModelSpec, request: GenerateRequest) -> GenerateRequest:
    """Put the model's messages before the request's, and its system prompt where the request brings none.

    As Ollama does: a conversation brings one if its first message is a system message; a prompt with `context` has
    the model's messages in it already, and one with a suffix is no conversation; raw prompts and token ids stay as they
    are.
    """
    if request.raw or request.prompt_tokens is not None:
        return request
    if request.messages is not None:
        own = bool(request.messages) and request.messages[0].role == "system"
        system = None if own else request.system or spec.system
        return msgspec.structs.replace(request, messages=(*spec.messages, *request.messages), system=system)
    system = request.system or spec.system
    if spec.messages and not request.context and not request.suffix:
        turns = (*spec.messages, Message(role="user", content=request.prompt or ""))
        return msgspec.structs.replace(request, messages=turns, prompt=None, system=system)
    return msgspec.structs.replace(request, system=system)
