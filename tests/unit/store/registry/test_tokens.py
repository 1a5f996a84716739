"""Tokens: challenges, realms, signatures. Who got to see which credentials is asserted."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from arriero.store.registry.auth import Tokens, parse_challenge
from arriero.store.registry.errors import AccessDenied, Broken
from arriero.store.registry.http import Http
from arriero.store.registry.options import RegistryOptions
from arriero.store.registry.signing import public_key, sign
from tests.unit.store.registry.scripted_registry import ScriptedRegistry
from tests.unit.store.registry.test_client import manifest
from tests.unit.store.registry.test_signing import openssh

SEED = bytes(range(32))


def challenge(registry: ScriptedRegistry, realm: str = "") -> str:
    realm = realm or f"http://{registry.host}/token"
    return f'Bearer realm="{realm}",service="the service",scope="repository:n/m:pull"'


def guarded(registry: ScriptedRegistry, give: Callable[[web.Request], str], realm: str = "") -> None:
    """Make the registry demand the token `good` and `give` tokens."""

    async def before(request: web.Request) -> web.StreamResponse | None:
        if request.path == "/token":
            token = give(request)
            return web.json_response({"token": token}) if token else web.Response(status=401)
        if request.headers.get("Authorization") == "Bearer good":
            return None
        return web.Response(status=401, headers={"WWW-Authenticate": challenge(registry, realm)})

    registry.before = before


async def test_a_token_without_a_name(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))
    guarded(registry, lambda request: "good")
    assert await manifest(registry, options) == raw
    asked = next(one for one in registry.asked if one.path == "/token")
    assert asked.query == {"service": "the service", "scope": "repository:n/m:pull"}
    assert "Authorization" not in asked.headers


async def test_a_signed_challenge(registry: ScriptedRegistry, options: RegistryOptions, tmp_path: Path) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))
    key = tmp_path / "id_ed25519"
    key.write_text(openssh(SEED))
    before = key.stat().st_mtime_ns

    def give(request: web.Request) -> str:
        """As Ollama's token server checks it."""
        public, _, signature = request.headers.get("Authorization", "").partition(":")
        body = base64.b64encode(b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855").decode()
        message = f"GET,{request.url},{body}".encode()
        fresh = request.query.get("ts", "").isdigit() and len(request.query.get("nonce", "")) >= 16
        known = base64.b64decode(public).endswith(public_key(SEED)) if public else False
        return "good" if fresh and known and base64.b64decode(signature) == sign(SEED, message) else ""

    guarded(registry, give)
    assert await manifest(registry, dataclasses.replace(options, key=key)) == raw
    assert [one.path for one in registry.asked].count("/token") == 2
    assert key.stat().st_mtime_ns == before
    with pytest.raises(AccessDenied, match="wants a key, and there is none to sign with"):
        await manifest(registry, dataclasses.replace(options, key=tmp_path / "absent"))


async def test_a_token_that_does_not_help(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    guarded(registry, lambda request: "bad")
    with pytest.raises(AccessDenied, match=r"^unauthorized: access denied"):
        await manifest(registry, options)
    assert [one.path for one in registry.asked].count("/token") == 1


async def test_a_token_that_comes_in_pieces(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))
    guarded(registry, lambda request: "good")
    answered = registry.before
    assert answered is not None

    async def pieces(request: web.Request) -> web.StreamResponse | None:
        if request.path != "/token":
            return await answered(request)
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"tok', b'en":"go', b'od"}'):
            await response.write(piece)
            await asyncio.sleep(0.01)  # so that they are read one by one
        return response

    registry.before = pieces
    assert await manifest(registry, options) == raw
    assert [one.path for one in registry.asked].count("/token") == 1


async def test_a_token_that_would_add_headers_is_not_sent(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    guarded(registry, lambda request: "good\r\nX-More: 1")
    with pytest.raises(Broken, match="cannot be sent in a header"):
        await manifest(registry, options)


@pytest.mark.parametrize("realm", ["http://[::1", "http://127.0.0.1:99999/", "/token"])
async def test_a_realm_that_is_no_url(registry: ScriptedRegistry, options: RegistryOptions, realm: str) -> None:
    guarded(registry, lambda request: "good", realm=realm)
    with pytest.raises(AccessDenied):
        await manifest(registry, options)


@pytest.mark.parametrize("header", ["", "Basic realm=x", "Bearer", 'Bearer service="x"'])
async def test_challenges_that_cannot_be_met(registry: ScriptedRegistry, options: RegistryOptions, header: str) -> None:
    async def before(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": header} if header else {})

    registry.before = before
    with pytest.raises(AccessDenied):
        await manifest(registry, options)


async def test_the_realm_must_be_the_registrys(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    port = registry.host.partition(":")[2]
    guarded(registry, lambda request: "good", realm=f"http://localhost:{port}/token")
    with pytest.raises(AccessDenied, match=r"the realm localhost is not the registry 127\.0\.0\.1"):
        await manifest(registry, options)
    assert all(one.path != "/token" for one in registry.asked)


def test_parsing_challenges() -> None:
    text = 'bearer realm="https://r/t?a=b,c" , service=plain,scope="a b",x="\\"y"'
    assert parse_challenge(text) == {"realm": "https://r/t?a=b,c", "service": "plain", "scope": "a b", "x": '\\"y'}
    assert parse_challenge("Basic realm=x") == {}


async def test_hugging_faces_token_goes_to_hugging_face_over_https_alone(
    options: RegistryOptions, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("hf_secret\n")
    for given in (
        dataclasses.replace(options, hf_token="hf_secret"),
        dataclasses.replace(options, hf_token_file=file),
    ):
        async with Http(given) as http:
            tokens = Tokens(http, given, URL("https://hf.co/v2/u/r"))
            for url in ("https://hf.co/v2/u/r/manifests/x", "https://huggingface.co/v2/u/r/manifests/x"):
                assert tokens.headers(URL(url)) == {"Authorization": "Bearer hf_secret"}
            for url in (
                "http://hf.co/x",
                "https://cdn.hf.co/x",
                "https://hf.co.evil.example/x",
                "https://evil.example/",
            ):
                assert tokens.headers(URL(url)) == {}
            assert "HF_TOKEN" in tokens.hint()
    assert dataclasses.replace(options, hf_token_file=tmp_path / "absent").token_for_hf() == ""
