"""A registry that plays what a real one does not do at will: faults, redirects, token challenges, quant tags.

It counts the bytes of blobs that it hands out, which is how tests see what was fetched twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

from arriero.store.manifests import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, Layer, encode_manifest

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, str]


@dataclass
class ScriptedRegistry:
    """`before` may answer any request itself; what it leaves alone is answered as the protocol has it."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    before: Hook | None = None
    blob_hook: Hook | None = None
    ranges: bool = True
    served: int = 0
    host: str = ""
    _runner: web.AppRunner | None = None

    def add(self, data: bytes) -> str:
        """Store a blob."""
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    def model(self, path: str, tag: str, *layers: tuple[str, bytes]) -> bytes:
        """Store a model of (kind, content) layers; return its manifest."""
        config = self.add(b'{"model_format":"gguf"}')
        found = [Layer(media_type=LAYER_TYPE + kind, digest=self.add(data), size=len(data)) for kind, data in layers]
        raw = encode_manifest(Layer(media_type=CONFIG_TYPE, digest=config, size=len(self.blobs[config])), found)
        self.manifests[f"{path}:{tag}"] = raw
        return raw

    def gets(self, digest: str) -> list[Asked]:
        """The GET requests for a blob."""
        return [one for one in self.asked if one.method == "GET" and one.path.endswith(digest)]

    async def start(self) -> None:
        """Listen on a free loopback port."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.host = "{}:{}".format(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, dict(request.headers), dict(request.query)))
        if self.before is not None and (own := await self.before(request)) is not None:
            return own
        parts = request.path.strip("/").split("/")
        if len(parts) < 4 or parts[0] != "v2":
            return web.Response(status=404, text="404 page not found")
        path, kind, name = "/".join(parts[1:-2]), parts[-2], parts[-1]
        if kind == "manifests":
            return await self._manifest(request, f"{path}:{name}")
        if kind == "blobs" and name in self.blobs:
            if self.blob_hook is not None and (own := await self.blob_hook(request)) is not None:
                return own
            return await self.send(request, self.blobs[name])
        return web.json_response({"errors": [{"code": "UNKNOWN"}]}, status=404)

    async def _manifest(self, request: web.Request, key: str) -> web.Response:
        if key not in self.manifests:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        return web.Response(body=self.manifests[key], content_type=MANIFEST_TYPE)

    async def send(
        self, request: web.Request, data: bytes, *, most: int | None = None, stall: asyncio.Event | None = None
    ) -> web.StreamResponse:
        """Send `data` as asked (a range or all), at most `most` bytes of it; then break off, or wait for `stall`."""
        start, end = 0, len(data)
        asked = request.headers.get("Range", "")
        headers = {}
        status = 200
        if asked and self.ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, len(data)) if last else len(data)
            status, headers = 206, {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
        body = data[start:end]
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        if request.method != "HEAD":
            sent = body if most is None else body[:most]
            await response.write(sent)
            self.served += len(sent)
            if len(sent) < len(body):
                if stall is not None:
                    await stall.wait()
                assert request.transport is not None
                request.transport.abort()
        return response
