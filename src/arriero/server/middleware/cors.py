"""CORS as Ollama has it: pages from this machine and desktop shells may call, others get 403.

Refusing matters beyond reading the answer: bodies are decoded whatever their Content-Type, so a "simple" request from
any page would run. Source: gin-contrib/cors as Ollama's server/routes.go configures it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from arriero.server.errors import NO_CONTENT, forbidden

_LOCAL = re.compile(r"https?://(localhost|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?\Z", re.IGNORECASE)
_SHELLS = re.compile(r"(app|file|tauri|vscode-webview|vscode-file)://.*\Z", re.IGNORECASE)
_METHODS = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
_HEADERS = ", ".join(
    [
        *("Authorization", "Content-Type", "User-Agent", "Accept", "X-Requested-With", "X-Api-Key", "X-Request-Id"),
        *("Idempotency-Key", "OpenAI-Beta", "OpenAI-Organization", "OpenAI-Project", "OpenAI-Poll-After-Ms"),
        *("anthropic-version", "anthropic-beta", "anthropic-dangerous-direct-browser-access"),
        *("anthropic-workspace-id", "anthropic-user-profile-id", "anthropic-organization-id", "anthropic-worker-id"),
        *("x-stainless-arch", "x-stainless-async", "x-stainless-custom-event-handler"),
        *("x-stainless-custom-poll-interval", "x-stainless-helper", "x-stainless-helper-method", "x-stainless-lang"),
        *("x-stainless-os", "x-stainless-package-version", "x-stainless-poll-helper", "x-stainless-raw-response"),
        *("x-stainless-read-timeout", "x-stainless-retry-count", "x-stainless-runtime"),
        *("x-stainless-runtime-version", "x-stainless-stream-helper", "x-stainless-timeout"),
        *("X-Arriero-Deadline", "X-Arriero-Cache"),
    ]
)
"""What the official packages send, from PyPI (openai, anthropic) and npm (openai, @anthropic-ai/sdk), and our own."""
_EXPOSED = (
    "X-Request-Id, Request-Id, X-Arriero-Ignored, X-Arriero-Truncated, X-Arriero-Tool-Repairs, X-Arriero-Cache, "
    "X-Arriero-Queue, Retry-After"
)
_MAX_AGE = "43200"  # 12 hours


class Cors:
    """Answers preflights, marks responses for allowed origins, refuses the others."""

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._extra = [_pattern(origin) for origin in origins]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has no Origin, an own one, or an allowed one."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        own = headers.get("host", "").lower()
        if origin is None or origin.lower() in (f"http://{own}", f"https://{own}"):
            await self._app(scope, receive, send)
            return
        if not self._allows(origin):
            await forbidden()(scope, receive, send)
            return
        marks = {"Access-Control-Allow-Origin": origin, "Vary": "Origin", "Access-Control-Expose-Headers": _EXPOSED}
        if scope["method"] == "OPTIONS":
            marks |= {
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _HEADERS,
                "Access-Control-Max-Age": _MAX_AGE,
            }
            await Response(status_code=NO_CONTENT, headers=marks)(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(marks)
            await send(message)

        await self._app(scope, receive, marked)

    def _allows(self, origin: str) -> bool:
        return bool(
            _LOCAL.match(origin) or _SHELLS.match(origin) or any(pattern.match(origin) for pattern in self._extra)
        )


def _pattern(origin: str) -> re.Pattern[str]:
    """Return a pattern for a configured origin, in which `*` stands for anything."""
    return re.compile(".*".join(map(re.escape, origin.strip().rstrip("/").split("*"))) + r"\Z", re.IGNORECASE)
