"""The registry protocol: manifests, redirects, refusals, proxies."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from aiohttp import web
from yarl import URL

from arriero.core.errors import RegistryError
from arriero.store.manifests import MANIFEST_TYPE
from arriero.store.registry.client import Registry
from arriero.store.registry.errors import Broken, NotAllowed, NotThere, Refused, Unreachable
from arriero.store.registry.http import Http, proxy_for, wait_of
from arriero.store.registry.options import RegistryOptions, user_agent
from arriero.store.registry.reference import Repository, parse_remote
from tests.unit.store.registry.scripted_registry import ScriptedRegistry

SEED = bytes(range(32))


def named(text: str) -> Repository:
    found = parse_remote(text, insecure=True)
    assert isinstance(found, Repository)
    return found


async def manifest(registry: ScriptedRegistry, options: RegistryOptions, name: str = "n/m", **more: bool) -> bytes:
    async with Registry(named(f"{registry.host}/{name}"), options, **{"insecure": True, **more}) as client:
        return await client.manifest()


async def test_a_manifest_as_it_is(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))
    assert await manifest(registry, options) == raw
    asked = registry.asked[0]
    assert (asked.method, asked.path) == ("GET", "/v2/n/m/manifests/latest")
    assert asked.headers["Accept"] == MANIFEST_TYPE
    assert asked.headers["User-Agent"] == options.agent
    assert "Authorization" not in asked.headers


def test_the_user_agent_begins_as_ollamas() -> None:
    assert user_agent("0.33.0").startswith("ollama/0.33.0 (")
    assert "arriero/" in user_agent("0.33.0")


async def test_what_is_not_there(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    with pytest.raises(NotThere, match=r"^file does not exist$"):
        await manifest(registry, options)


async def test_a_refusal_has_the_registrys_text(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    text = "\n\nThe model you are trying to pull requires a newer version of Ollama.\n"

    async def too_old(request: web.Request) -> web.StreamResponse:
        version = request.headers["User-Agent"].removeprefix("ollama/").partition(" ")[0]
        return web.Response(status=412, text=text) if version < "0.40" else web.Response(text="{}")

    registry.before = too_old
    with pytest.raises(Refused, match="412: The model you are trying to pull requires a newer version") as refused:
        await manifest(registry, options)
    assert refused.value.status == 412
    assert len(registry.asked) == 1
    assert await manifest(registry, dataclasses.replace(options, agent="ollama/0.41.0 (amd64 linux)")) == b"{}"


async def test_errors_of_the_server_and_lost_connections_are_tried_again(
    registry: ScriptedRegistry, options: RegistryOptions
) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))

    async def twice(request: web.Request) -> web.StreamResponse | None:
        if len(registry.asked) == 1:
            return web.Response(status=502, text="bad gateway")
        if len(registry.asked) == 2:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return None

    registry.before = twice
    assert await manifest(registry, options) == raw

    async def always(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=500, text="broken")

    registry.before, registry.asked = always, []
    with pytest.raises(Refused, match="500: broken"):
        await manifest(registry, options)
    assert len(registry.asked) == 3


async def test_a_manifest_has_a_limit(
    registry: ScriptedRegistry, options: RegistryOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arriero.store.registry.client.MAX_MANIFEST", 1000)
    registry.manifests["n/m:latest"] = b" " * 1001
    with pytest.raises(Refused, match="larger than 1000 bytes"):
        await manifest(registry, options)


async def test_private_addresses_need_leave(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    registry.model("n/m", "latest", ("model", b"GGUF"))
    with pytest.raises(NotAllowed, match="not a public address"):
        await manifest(registry, options, insecure=False)
    assert registry.asked == []
    named_one = dataclasses.replace(options, private=(registry.host,))
    assert await manifest(registry, named_one, insecure=False)
    assert await manifest(registry, dataclasses.replace(options, private=("127.0.0.0/8",)), insecure=False)


async def test_a_redirect_to_a_private_address_is_not_followed(
    registry: ScriptedRegistry, elsewhere: ScriptedRegistry, options: RegistryOptions
) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"http://{elsewhere.host}/secrets"})

    registry.before = away
    with pytest.raises(NotAllowed, match="not a public address"):
        await manifest(registry, dataclasses.replace(options, private=(registry.host,)), insecure=False)
    assert elsewhere.asked == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "http://[::1", "gopher://x"])
async def test_redirects_that_lead_astray(registry: ScriptedRegistry, options: RegistryOptions, location: str) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    registry.before = away
    with pytest.raises((NotAllowed, Broken)):
        await manifest(registry, options)


async def test_redirects_end(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    async def around(request: web.Request) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": request.path + "x"})

    registry.before = around
    with pytest.raises(Broken, match="redirects more than 10 times"):
        await manifest(registry, options)


async def test_no_redirect_from_https_to_http(options: RegistryOptions) -> None:
    async with Http(options) as http:
        with pytest.raises(NotAllowed, match="without encryption"):
            http.redirected(URL("https://a.example/x"), "http://a.example/y")
        assert str(http.redirected(URL("https://a.example/x"), "/y?a=%2F")) == "https://a.example/y?a=%2F"
    async with Http(options, insecure=True) as http:
        assert http.redirected(URL("https://a.example/x"), "http://a.example/y").scheme == "http"


async def test_nobody_answers(options: RegistryOptions, registry: ScriptedRegistry) -> None:
    await registry.stop()
    with pytest.raises(Unreachable, match=r"cannot reach 127\.0\.0\.1: "):
        await manifest(registry, options)


async def test_a_blob_that_answers_no_head(
    registry: ScriptedRegistry, elsewhere: ScriptedRegistry, options: RegistryOptions
) -> None:
    digest = registry.add(b"weights")
    status = 405

    async def no_head(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=status) if request.method == "HEAD" else None

    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"http://{elsewhere.host}/x"})

    registry.before = elsewhere.before = no_head
    async with Registry(named(f"{registry.host}/n/m"), options, insecure=True) as client:
        assert await client.blob_size(digest) == -1
        status = 403
        with pytest.raises(Refused, match="403"):
            await client.blob_size(digest)
        registry.before = away
        assert await client.blob_size(digest) == -1
        registry.before = None
        assert await client.blob_size(digest) == 7
        assert await client.blob_size(f"sha256:{'0' * 64}") is None


async def test_a_registry_without_tls(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    found = parse_remote(f"{registry.host}/n/m")
    assert isinstance(found, Repository)
    async with Registry(found, dataclasses.replace(options, private=("*",))) as client:
        with pytest.raises(Unreachable, match=r"does not speak TLS \(.*\); insecure"):
            await client.manifest()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_registry_says_when_to_ask_again(
    registry: ScriptedRegistry, options: RegistryOptions, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    raw = registry.model("n/m", "latest", ("model", b"GGUF"))

    async def busy(request: web.Request) -> web.StreamResponse | None:
        if len(registry.asked) < 2:
            return web.Response(status=status, text="slow\x1b[2Jdown", headers={"Retry-After": "7"})
        return None

    waits: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await real(0)

    registry.before = busy
    monkeypatch.setattr("arriero.store.registry.client.asyncio.sleep", sleep)
    assert await manifest(registry, options) == raw
    assert max(waits) == 7.0


async def test_a_refusal_cannot_steer_the_terminal(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    async def steers(request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text="a\x1b[2Jb\nc")

    registry.before = steers
    with pytest.raises(Refused, match=r"^400: a \[2Jb\nc$"):
        await manifest(registry, options)


async def test_a_range_of_numbers_that_nobody_can_read(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=b"ab", headers={"Content-Range": f"bytes 0-{'9' * 5000}/*"})

    digest = registry.add(b"ab")
    registry.blob_hook = odd
    async with Registry(named(f"{registry.host}/n/m"), options, insecure=True) as client:
        with pytest.raises(Broken, match="other bytes"):
            async with client.blob(digest).open(0, 2):
                pass


def test_waits_that_registries_ask_for_are_bounded() -> None:
    assert [wait_of(text) for text in ("", "0", "5", "99999", "-1", "soon", "9" * 5000)] == [0, 0, 5, 60, 0, 0, 0]
    assert (wait_of("Fri, 31 Dec 9999 23:59:59 GMT"), wait_of("Sat, 01 Jan 2000 00:00:00 GMT")) == (60, 0)


async def test_hugging_faces_tags(registry: ScriptedRegistry, options: RegistryOptions) -> None:
    """The registry chooses the file by the tag: ours is to ask for the tag as it was written, or for latest."""
    by_quant = {tag: registry.model("U/R-GGUF", tag, ("model", tag.encode())) for tag in ("latest", "Q8_0")}
    assert await manifest(registry, options, "U/R-GGUF") == by_quant["latest"]
    assert await manifest(registry, options, "U/R-GGUF:Q8_0") == by_quant["Q8_0"]

    async def unknown_quant(request: web.Request) -> web.StreamResponse:
        return web.Response(status=400, text='{"error":"The specified tag is not available in the repository."}')

    registry.before = unknown_quant
    with pytest.raises(RegistryError, match=r"400: .*The specified tag is not available"):
        await manifest(registry, options, "U/R-GGUF:Q9_9")


def test_proxies_of_the_environment_but_never_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert proxy_for(URL("https://registry.ollama.ai/v2/")) == "http://proxy.example:3128"
    assert proxy_for(URL("http://registry.ollama.ai/v2/")) is None
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]", "internal.example", "a.internal.example"):
        assert proxy_for(URL(f"https://{host}/")) is None
    monkeypatch.setenv("https_proxy", "proxy.example:3128")
    assert proxy_for(URL("https://registry.ollama.ai/v2/")) == "http://proxy.example:3128"
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")
    with pytest.raises(NotAllowed, match="socks5 proxy"):
        proxy_for(URL("https://registry.ollama.ai/v2/"))


async def test_through_a_proxy(
    registry: ScriptedRegistry,
    elsewhere: ScriptedRegistry,
    options: RegistryOptions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy on a private address is the user's own; what it is asked for is still checked."""
    monkeypatch.setenv("http_proxy", f"http://{elsewhere.host}")
    monkeypatch.delenv("no_proxy", raising=False)

    async def proxied(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"through the proxy")

    elsewhere.before = proxied
    async with Registry(named("models.example/n/m"), options) as client:
        assert await client.manifest() == b"through the proxy"
    assert elsewhere.asked[0].headers["Host"] == "models.example"
    async with Registry(named("10.0.0.1/n/m"), options) as client:
        with pytest.raises(NotAllowed):
            await client.manifest()
