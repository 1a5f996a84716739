"""API keys: `Authorization: Bearer` or `x-api-key`, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from arriero.core.errors import ErrorInfo
from arriero.server.errors import api_of_scope, error_response
from arriero.server.tenant import SCOPE_KEY, key_tenant

_OPEN = frozenset({"/", "/live", "/ready", "/health"})
"""Probes, which say only that the server is there; read without a key."""


class Auth:
    """Refuses requests without one of `keys`, and says in the scope whose they are; without keys it lets all pass."""

    def __init__(self, app: ASGIApp, keys: Iterable[str]) -> None:
        self._app = app
        keys = list(keys)
        self._keys = [key.encode() for key in keys]
        self._tenants = [key_tenant(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse in the path's own error shape."""
        if scope["type"] == "http" and self._keys and not self._may_pass(scope):
            error = ErrorInfo("unauthorized", "a valid API key is needed (Authorization: Bearer, or x-api-key)")
            await error_response(error, api_of_scope(scope))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if scope["method"] in ("GET", "HEAD") and scope["path"] in _OPEN:
            return True
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = [token.strip()] if scheme.lower() == "bearer" else []
        given.append(headers.get("x-api-key", ""))
        # Every pair is compared, so that time tells nothing about which key came close.
        matches = [hmac.compare_digest(one.encode("latin-1"), key) for one in given for key in self._keys]
        if not any(matches):
            return False
        scope[SCOPE_KEY] = self._tenants[matches.index(True) % len(self._keys)]
        return True
