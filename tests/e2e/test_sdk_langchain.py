"""LangChain's own packages for Ollama and OpenAI, unmodified, against a real server: ask, stream, tools there and back.

`known` answers with known texts, so that round trips of tools can be told from luck; `demo` is what users try first.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.e2e.automaton import SAYS, TOLD
from tests.e2e.serving import Server

PACKAGES = ["langchain-ollama", "langchain-openai"]


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{city}: sunny, 21 degrees"


def chat(package: str, server: Server, model: str, **fields: Any) -> BaseChatModel:
    if package == "langchain-ollama":
        return ChatOllama(model=model, base_url=server.url, client_kwargs={"trust_env": False}, **fields)
    plain, plain_async = httpx.Client(trust_env=False), httpx.AsyncClient(trust_env=False)
    return ChatOpenAI(
        model=model,
        base_url=f"{server.url}/v1",
        api_key=SecretStr("unused"),
        http_client=plain,
        http_async_client=plain_async,
        max_retries=0,
        **fields,
    )


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("model", ["demo", "known"])
def test_ask(known_server: Server, package: str, model: str) -> None:
    asked = [SystemMessage("Be kind."), HumanMessage("Hello!")]
    answer = chat(package, known_server, model, temperature=0).invoke(asked)
    assert answer.text
    assert model != "known" or answer.text == SAYS
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.usage_metadata["output_tokens"] > 1
    reason = answer.response_metadata.get("done_reason") or answer.response_metadata["finish_reason"]
    assert reason == "stop"


@pytest.mark.parametrize("package", PACKAGES)
def test_stream(known_server: Server, package: str) -> None:
    model = chat(package, known_server, "demo", temperature=0)
    parts = list(model.stream("Count to 10."))
    assert len([part for part in parts if part.text]) > 2
    assert "".join(part.text for part in parts) == model.invoke("Count to 10.").text


@pytest.mark.parametrize("package", PACKAGES)
async def test_stream_asynchronously(known_server: Server, package: str) -> None:
    model = chat(package, known_server, "known")
    assert "".join([part.text async for part in model.astream("Hello!")]) == SAYS


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("stream", [False, True])
def test_tools_there_and_back(known_server: Server, package: str, stream: bool) -> None:
    model = chat(package, known_server, "known").bind_tools([get_weather])
    asked: list[Any] = [HumanMessage("What is the weather in Paris?")]
    answer: AIMessage
    if stream:
        whole: Any = None
        for part in model.stream(asked):
            assert isinstance(part, AIMessageChunk)
            whole = part if whole is None else whole + part
        answer = whole
    else:
        answer = model.invoke(asked)
    (call,) = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    assert call["id"]
    assert answer.text == ""
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage)
    assert result.content == "Paris: sunny, 21 degrees"
    assert model.invoke([*asked, answer, result]).text == TOLD


def test_the_demo_is_offered_tools(known_server: Server) -> None:
    """Whether so small a model calls is its own affair; what comes is one or the other."""
    for package in PACKAGES:
        model = chat(package, known_server, "demo", temperature=0).bind_tools([get_weather])
        answer = model.invoke("What is the weather in Paris?")
        assert answer.text or answer.tool_calls


def test_completions(known_server: Server) -> None:
    model = OllamaLLM(model="known", base_url=known_server.url, client_kwargs={"trust_env": False})
    assert model.invoke("Hello!") == SAYS
    assert "".join(model.stream("Hello!")) == SAYS


def test_options_reach_the_model(known_server: Server) -> None:
    """LangChain names them as Ollama does; a bound of three tokens ends the answer."""
    model = chat("langchain-ollama", known_server, "known", num_predict=3, num_ctx=4096, stop=["never"], seed=1)
    answer = model.invoke("Hello!")
    assert answer.response_metadata["done_reason"] == "length"
    assert SAYS.startswith(answer.text)
    with_limit = chat("langchain-openai", known_server, "known", max_tokens=3).invoke("Hello!")
    assert with_limit.response_metadata["finish_reason"] == "length"
    assert with_limit.text == answer.text


def test_an_unknown_model_is_said(known_server: Server) -> None:
    with pytest.raises(Exception, match="'nope' not found"):
        chat("langchain-ollama", known_server, "nope").invoke("Hello!")
    with pytest.raises(Exception, match="nope"):
        chat("langchain-openai", known_server, "nope").invoke("Hello!")
