"""SYSTEM and MESSAGE lines of a Modelfile: request > Modelfile > nothing."""

from __future__ import annotations

from arriero.core.model import ModelSpec
from arriero.core.request import GenerateRequest, Message
from arriero.service.model_turns import with_model_turns

HI, HO = Message(role="user", content="hi"), Message(role="assistant", content="ho")
ASK, RULE = Message(role="user", content="ask"), Message(role="system", content="rule")
PLAIN = ModelSpec(name="x:latest", path="/x", digest="d", size=1, modified_at=0.0)
MADE = ModelSpec(name="x:latest", path="/x", digest="d", size=1, modified_at=0.0, system="Be kind.", messages=(HI, HO))


def chat(*messages: Message) -> GenerateRequest:
    return GenerateRequest(model="x", messages=messages)


def test_messages_come_first_and_the_system_prompt_stands_in() -> None:
    made = with_model_turns(MADE, chat(ASK))
    assert (made.messages, made.system) == ((HI, HO, ASK), "Be kind.")


def test_a_conversations_own_system_message_wins() -> None:
    made = with_model_turns(MADE, chat(RULE, ASK))
    assert (made.messages, made.system) == ((HI, HO, RULE, ASK), None)


def test_prompts() -> None:
    made = with_model_turns(MADE, GenerateRequest(model="x", prompt="ask"))
    assert (made.messages, made.prompt, made.system) == ((HI, HO, ASK), None, "Be kind.")
    made = with_model_turns(MADE, GenerateRequest(model="x", prompt="ask", system="Mine."))
    assert (made.messages, made.system) == ((HI, HO, ASK), "Mine.")
    made = with_model_turns(MADE, GenerateRequest(model="x", prompt="ask", context=(1, 2)))
    assert (made.messages, made.prompt, made.system) == (None, "ask", "Be kind.")


def test_raw_prompts_and_tokens_stay_as_they_are() -> None:
    for request in (
        GenerateRequest(model="x", prompt="ask", raw=True),
        GenerateRequest(model="x", prompt_tokens=(1,), raw=True),
    ):
        assert with_model_turns(MADE, request) == request


def test_a_model_without_them_changes_nothing() -> None:
    for request in (chat(ASK), chat(RULE, ASK), GenerateRequest(model="x", prompt="ask", system="Mine.")):
        assert with_model_turns(PLAIN, request) == request
