"""Target: a server to measure, and which of the APIs to ask it in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from arriero.client.address import parse
from arriero.client.detect import ServerSpeaker
from arriero.client.http import Http
from arriero.core.errors import ArrieroError, InvalidRequest

Api = Literal["openai", "ollama"]

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<rest>.+)")


@dataclass(frozen=True, slots=True)
class Target:
    """A server. `model` is the name it is asked for; `kind` and `version` are what it says of itself."""

    name: str
    url: str
    model: str = ""
    api: Api = "openai"
    kind: str = ""
    version: str = ""
    api_key: str | None = None


def parse_target(text: str, model: str, api_key: str | None) -> Target:
    """Read `[NAME=]URL[#MODEL]`; InvalidRequest if that is no address."""
    named = _NAMED.fullmatch(text)
    name, rest = (named["name"], named["rest"]) if named and "://" not in named["name"] else ("", text)
    url, _, own = rest.partition("#")
    address = parse(url)
    if address.path.endswith("/v1"):
        address = replace(address, path=address.path.removesuffix("/v1"))
    return Target(name=name or f"{address.host}:{address.port}", url=address.url, model=own or model, api_key=api_key)


async def asked(target: Target) -> Target:
    """Fill in the kind, the version and, where none was named, the model; InvalidRequest where there is none."""
    speaker = ServerSpeaker(parse(target.url), api_key=target.api_key)
    try:
        info = await speaker.server()
        model = target.model
        if not model:
            known = await speaker.models()
            if not known:
                raise InvalidRequest(f"{target.name} has no model: name one with --model", param="model")
            model = known[0].name
    finally:
        await speaker.close()
    version = info.version or await _build(target)
    api: Api = "ollama" if info.kind == "ollama" else "openai"
    return replace(target, kind=info.kind, version=version, model=model, api=api)


class _Props(msgspec.Struct):
    build_info: str = ""


async def _build(target: Target) -> str:
    """What llama-server says of its build; other servers say nothing."""
    http = Http(parse(target.url), api_key=target.api_key, timeout=10)
    try:
        return msgspec.json.decode(await http.json("GET", "/props"), type=_Props).build_info
    except (ArrieroError, msgspec.DecodeError):
        return ""
    finally:
        await http.close()
